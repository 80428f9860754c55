"""Pipelines in which one daemon's worker can be owned: tests/hostile/owned.h.  Its neighbours are built with the address
sanitizer, and every segment has a guard page at either end."""
import os
import re
import shutil
import tempfile
from pathlib import Path

from pipeline import BIN, ROOT, Pipeline, wait_until

ASAN = Path(os.environ.get("TREFOIL_BIN_ASAN", ROOT / "build" / "asan" / "bin"))
ENV = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
NOBODY = 61899
REPORTS = ("AddressSanitizer", "runtime error:", "SUMMARY:", "arena: ", "stack smashing")


class Owned(Pipeline):
    """with Owned("hostd", device) as p: p.own("tail_beyond", 7) ..."""

    def __init__(self, role, device, one_uid=False):
        self.role = role
        self.programs = tempfile.TemporaryDirectory(prefix="trefoil-owned-")
        here = Path(self.programs.name)
        for f in ASAN.iterdir():
            # Copied: `trefoil` starts what lies beside its file, whatever a link's name, and another user may not see our build.
            shutil.copy2(ASAN.parent / "tests" / "hostile" / f.name if f.name == role else f, here / f.name)
        (here / "plans").mkdir()
        super().__init__(device, bin_dir=here, env={**ENV, "TREFOIL_OWNED": str(here / "plans")})
        if one_uid and os.geteuid() == 0:
            self.popen = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            for path in (here, here / "plans", Path(self.tmp.name)):
                os.chown(path, NOBODY, NOBODY)

    def __exit__(self, *what):
        try:
            super().__exit__(*what)
        finally:
            self.programs.cleanup()

    def command(self, *words):
        """What only asks need not be slow."""
        return super().command(*words) if words[0] == "up" else [str(BIN / "trefoil"), "--run-dir", str(self.run_dir), *words]

    def own(self, evil, seed, ms=100):
        """The next worker of that role is owned.  Returns its pid, once it has begun."""
        plan = Path(self.programs.name) / "plans" / f"{self.role}.plan"
        at = self.log_path.stat().st_size
        plan.with_suffix(".new").write_text(f"{evil} {seed} {ms}\n")
        plan.with_suffix(".new").rename(plan)
        self.run("restart", self.role)
        begun = re.compile(rf"owned: begins {evil} seed={seed} pid=(\d+) ")     # whole: a line may be there in part
        wait_until(lambda: begun.search(self.since(at)), 10)
        return int(begun.search(self.since(at))[1])

    def since(self, at):
        with open(self.log_path, "rb") as f:
            f.seek(at)
            return f.read().decode(errors="replace")

    def rows(self):
        return {r["name"]: r for r in self.status()["processes"]}

    def generations(self):
        return {link["name"]: link["generation"] for link in self.status()["links"]}

    def running(self):
        return [r["state"] for r in self.rows().values()] == ["running"] * 3

    def no_report(self):
        """Nothing that a sanitizer or a guard found, in no process."""
        text = self.text()
        found = [w for w in REPORTS if w in text]
        assert not found, f"{found}:\n{text[-6000:]}"

    def reports_of_workers(self):
        """Whatever a sanitizer has found, it was in a worker of that role: what an heir dies of is its own."""
        text = self.text()
        workers = re.findall(rf"^{self.role}: info worker ended pid=(\d+) ", text, re.M)
        others = [pid for pid in re.findall(r"^==(\d+)==ERROR", text, re.M) if pid not in workers]
        assert not others, f"reports of processes {others}:\n{text[-6000:]}"


def strangers(role):
    """Who has no link to that role."""
    return {"transportd": ["gattd"], "hostd": [], "gattd": ["transportd"]}[role]


def fds_of(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))

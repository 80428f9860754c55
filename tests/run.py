#!/usr/bin/env python3
"""Builds, runs every test, collects.  `make check`, `make asan`, `make tsan` and `make soak` call it; standard library only.

    tests/run.py check            everything (CONTRIBUTING.md says what that is)
    tests/run.py asan | tsan      the unit tests under that sanitizer; asan: the process tests too
    tests/run.py soak             kill tests with $TREFOIL_KILLS kills, hostile workers in as many rounds more, the kill walks
                                  whole, the simulation with $TREFOIL_SEEDS seeds

Each cmocka test, each pytest test and each check counts by itself.  A skipped test fails the run unless its name stands in
tests/skips.txt.  A program that crashes, hangs past its limit, or says less than its plan counts as failed, and so does one
that leaves processes behind.  The last line is `N passed, N failed, N skipped`; exit 0 only if all went well.
"""
import os
import re
import shutil
import signal
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "lib"))
from run_children import Children                         # noqa: E402
from run_results import Results, read_junit, read_tap     # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
JOBS = max(1, os.cpu_count() or 1)
KILLS = int(os.environ.get("TREFOIL_KILLS", "20"))
SEEDS = 2000                # of the simulation; $TREFOIL_SEEDS in a soak
C_SECONDS = 120             # a cmocka program
PY_SECONDS = 120            # one pytest test; its whole file has half an hour
DEEP = ["test_step_kill", "test_core_kill", "test_core_kill_octets", "test_transportd_step", "test_transportd_kill"]
SLOWER = {"asan": 3, "tsan": 8}
SANITIZER = {
    "asan": {"ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1", "UBSAN_OPTIONS": "print_stacktrace=1"},
    "tsan": {"TSAN_OPTIONS": "halt_on_error=1"},
}


def own_limit(path):
    """A test file may name its own limit near its top: `timeout: 300 s`.  None if it does not."""
    with open(path, encoding="utf-8", errors="replace") as f:
        found = re.search(r"timeout:\s*(\d+)\s*s\b", f.read(4000))
    return int(found[1]) if found else None


class Run:
    def __init__(self):
        self.results = Results(ROOT / "tests" / "skips.txt")
        self.children = Children()
        self.logs = BUILD / "log"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MODE", "O", "B")}

    # ---- one thing that passes or fails as a whole ---------------------------------------------------------------
    def check(self, name, command, limit=120):
        """Runs a check or a build, shows its output if it failed.  Returns whether it passed."""
        log = self.logs / (re.sub(r"[^\w.-]+", "-", name) + ".log")
        done = self.children.run(command, log, limit, cwd=ROOT, env=self.env)
        self.results.add(name, "passed" if done.ok else "failed", done.why(), done.seconds)
        self.results.say(name, done.seconds, [] if done.ok else [log])
        return done.ok

    def make(self, mode, *goals):
        """Builds what can be built: a test whose program does not compile fails by itself, later."""
        what = " ".join(g for g in goals if "=" not in g)
        name = f"build {mode} {what}" + (" with clang" if "CC=clang" in goals else "")
        return self.check(name, ["make", "-k", f"-j{JOBS}", f"MODE={mode}", *goals], 1800)

    def house(self):
        self.check("check floors", ["tools/check-floors"])
        self.check("check budgets", ["tools/check-budgets"])

    def cores(self):
        for core in sorted({p.parent for p in ROOT.glob("*/core/*.c")}):
            name = core.relative_to(ROOT).as_posix()
            low = [a for a in ("shm", "wire", "base", "crypto") if (BUILD / "debug" / f"{a}.a").exists()]
            self.check(f"check core {name}", ["tools/check-core", f"build/debug/{name}.a", *(f"build/debug/{a}.a" for a in low)])

    # ---- cmocka ------------------------------------------------------------------------------------------------
    def unit(self, mode, leave_out=()):
        """Every tests/**/test_*.c in that mode.  Those that start processes or mind the clock run one at a time."""
        folders = {"fuzz", *leave_out}
        sources = sorted(p for p in (ROOT / "tests").rglob("test_*.c") if p.relative_to(ROOT).parts[1] not in folders)
        how = self.fixed_addresses(mode), self.sanitizer(mode)
        alone = [p for p in sources if p.relative_to(ROOT).parts[1] in ("process", "simulation")]
        with ThreadPoolExecutor(JOBS) as pool:
            for _ in pool.map(lambda p: self.cmocka(mode, p, *how), (p for p in sources if p not in alone)):
                pass
        for p in alone:
            self.cmocka(mode, p, *how)
        self.left_behind(f"{mode} unit tests")

    def cmocka(self, mode, source, prefix, options):
        name = source.relative_to(ROOT / "tests").with_suffix("").as_posix()
        program = BUILD / mode / "tests" / name
        shown = f"{mode} {name}"
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            self.results.add(shown, "failed", "was not built")
            self.results.say(shown, 0, [])
            return
        log = self.logs / (shown.replace("/", "-").replace(" ", "-") + ".log")
        env = {**self.env, **options, "CMOCKA_MESSAGE_OUTPUT": "TAP", "TREFOIL_ROOT": str(ROOT),
               "TREFOIL_BIN": str(self.bin(mode)), "TREFOIL_MODE": mode}
        limit = (own_limit(source) or C_SECONDS) * SLOWER.get(mode, 1)
        done = self.children.run([*prefix, str(program)], log, limit, cwd=ROOT, env=env)
        bad = False
        for test, status, detail in read_tap(log, done):
            self.results.add(f"{shown}::{test}", status, detail)
            bad |= status == "failed"
        self.results.say(shown, done.seconds, [log] if bad else [])
        self.tell(log)

    # ---- models ------------------------------------------------------------------------------------------------
    def models(self):
        """The bounded searches of tests/model: each model and each mutant counts by itself."""
        shown, log = "model", self.logs / "model.log"
        done = self.children.run(["python3", "tests/model/run.py", "check"], log, 900, cwd=ROOT, env=self.env)
        bad = False
        for test, status, detail in read_tap(log, done):
            self.results.add(f"{shown}::{test}", status, detail)
            bad |= status == "failed"
        self.results.say(shown, done.seconds, [log] if bad else [])
        self.tell(log)

    def sanitizer(self, mode):
        options = dict(SANITIZER.get(mode, {}))
        if mode == "asan" and not self.leaks_can_be_found():
            options["ASAN_OPTIONS"] = options["ASAN_OPTIONS"].replace("detect_leaks=1", "detect_leaks=0")
        return options

    def leaks_can_be_found(self):
        """The leak checker traces its own process, which some containers forbid: asked with a program that leaks nothing."""
        probe, log = BUILD / "leak-probe", self.logs / "leak-probe.log"
        (BUILD / "leak-probe.c").write_text("int main(void) { return 0; }\n")
        made = self.children.run(["gcc", "-fsanitize=address", f"{probe}.c", "-o", str(probe)], log, 60).ok
        if made and self.children.run([str(probe)], log, 60).ok:
            return True
        print("asan: this machine does not let the leak checker work; leaks are not looked for", flush=True)
        return False

    def fixed_addresses(self, mode):
        """gcc 12's thread sanitizer does not stand the address randomness of newer kernels."""
        words = ["setarch", os.uname().machine, "-R"]
        return words if mode == "tsan" and self.children.run([*words, "true"], self.logs / "setarch.log", 10).ok else []

    # ---- the pipeline in one process ---------------------------------------------------------------------------
    def simulation(self, seeds):
        """tests/simulation: `seeds` seeds; each planted mistake has to be caught by its invariant; no address matters."""
        sim = BUILD / "debug" / "tests" / "simulation" / "sim"
        name = f"simulation: {seeds} seeds"
        self.check(name, [str(sim), "--seeds", str(seeds), *(["--zeros"] if seeds >= SEEDS else [])], max(600, seeds))
        self.tell(self.logs / (re.sub(r"[^\w.-]+", "-", name) + ".log"))
        self.check("simulation: the same at another address", [str(sim), "--twice", "30"])
        plants = self.logs / "simulation-plants.log"
        self.children.run([str(sim), "--plants"], plants, 20)
        named = plants.read_text().split()
        if not named:
            self.results.add("simulation: planted mistakes", "failed", "there are none")
        for plant in named:
            self.check(f"simulation: planted {plant} is caught", [str(sim), "--plant", plant, "--seeds", "40"])

    # ---- pytest ------------------------------------------------------------------------------------------------
    @staticmethod
    def bin(mode):
        return BUILD / "bin" if mode == "release" else BUILD / mode / "bin"

    def venv(self):
        return self.check("venv", ["tools/install-venv"], 900)

    def other_builds(self):
        """With mistakes made on purpose (test_poison.py), and daemons that take over, or must not (test_takeover*.py)."""
        self.make("planted", "all")
        for mode in ("migrating", "planted-migrating", "foreign", "stranger"):
            self.make(mode, "daemons")

    def pytests(self, mode, *patterns):
        """Each file in a pytest of its own, so that one that dies takes no other with it."""
        for pattern in patterns:
            for path in sorted((ROOT / "tests").glob(pattern)):
                self.pytest(mode, path)

    def pytest(self, mode, path):
        name = path.relative_to(ROOT / "tests").as_posix()
        shown = f"{mode} {name}"
        stem = shown.replace("/", "-").replace(" ", "-")
        log, junit = self.logs / f"{stem}.log", self.logs / f"{stem}.xml"
        junit.unlink(missing_ok=True)
        scale = SLOWER.get(mode, 1) * max(1.0, KILLS / 20)
        each = (own_limit(path) or PY_SECONDS) * scale
        env = {**self.env, "TREFOIL_ROOT": str(ROOT), "TREFOIL_BIN": str(self.bin(mode)), "TREFOIL_MODE": mode,
               "TREFOIL_BIN_NORECOVERY": str(BUILD / "norecovery" / "bin"), "TREFOIL_KILLS": str(KILLS),
               "TREFOIL_BIN_PLANTED": str(BUILD / "planted" / "bin"),
               "TREFOIL_TEST_SECONDS": str(int(each)), "PYTHONPATH": str(ROOT / "tests" / "lib"),
               "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
        if mode == "asan":      # the leak checker cannot work in a sandboxed worker
            env.update(ASAN_OPTIONS="detect_leaks=0", UBSAN_OPTIONS="print_stacktrace=1")
        command = [str(BUILD / "venv/bin/python"), "-m", "pytest", "-q", "-raP", "-p", "no:cacheprovider", "-p", "run_limits",
                   f"--rootdir={ROOT / 'tests'}", f"--junitxml={junit}", str(path)]
        done = self.children.run(command, log, max(each * 1.5, 1800), cwd=ROOT, env=env)
        bad = False
        for test, status, detail in read_junit(junit, done):
            self.results.add(f"{shown}::{test}", status, detail)
            bad |= status == "failed"
        self.results.say(shown, done.seconds, [log] if bad else [])
        self.tell(log)
        self.left_behind(shown)

    @staticmethod
    def tell(log):
        """Figures that a test wants seen though it passed."""
        for line in log.read_text(errors="replace").splitlines():
            if line.startswith("told: "):
                print(" " * 8 + line[6:], flush=True)

    def left_behind(self, shown):
        left = self.children.end_orphans()
        if left:
            self.results.add(f"{shown}: nothing left running", "failed", "left behind: " + ", ".join(left))
            self.results.say(f"{shown}: nothing left running", 0, [])


def do_check(run):
    run.house()
    run.make("release", "all")
    run.make("debug", "tests", "simulation")
    run.make("asan", "tests")
    run.make("norecovery", "all")
    run.other_builds()
    if shutil.which("clang"):
        run.make("debug", "tests", "CC=clang", "O=build/clang")
    else:
        print("clang is not here: compiled with gcc only", flush=True)
    run.cores()
    run.models()
    run.unit("debug")
    run.simulation(SEEDS)
    run.unit("asan")
    if run.venv():
        run.pytests("release", "tools/test_*.py", "mutants/test_*.py", "process/test_*.py", "interop/test_*.py")


def do_asan(run):
    run.make("asan", "tests")
    run.make("norecovery", "all")
    run.other_builds()
    run.unit("asan")
    if run.venv():
        run.pytests("asan", "process/test_*.py")


def do_tsan(run):
    run.make("tsan", "tests")
    run.unit("tsan", leave_out=["process"])     # it sees threads, not processes, and a fork at each kill takes it for ever


def do_soak(run):
    run.make("release", "all")
    run.make("norecovery", "all")
    run.make("planted", "all")
    run.make("asan", "tests")
    run.make("debug", "tests", "simulation")
    run.simulation(int(os.environ.get("TREFOIL_SEEDS", SEEDS)))
    run.env["TREFOIL_DEPTH"] = "1"      # the kill walks leave nothing out
    for name in DEEP:
        run.cmocka("debug", ROOT / "tests" / "process" / f"{name}.c", [], {})
    run.left_behind("kill walks")
    if run.venv():
        run.pytests("release", "process/test_kill*.py", "process/test_poison.py", "process/test_recording.py",
                    "process/test_hostile*.py", "mutants/test_*.py")


def main():
    what = {"check": do_check, "asan": do_asan, "tsan": do_tsan, "soak": do_soak}
    if len(sys.argv) != 2 or sys.argv[1] not in what:
        print(__doc__, file=sys.stderr)
        return 2
    started = time.monotonic()
    run = Run()
    signal.signal(signal.SIGTERM, run.children.on_terminate)
    try:
        what[sys.argv[1]](run)
    except KeyboardInterrupt:
        run.results.add("run", "failed", "interrupted")
    except Exception:           # our own mistake: no reason to lose what was found so far
        traceback.print_exc(file=sys.stdout)
        run.results.add("run", "failed", "the runner broke")
    finally:
        run.children.close()
    return run.results.close(time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())

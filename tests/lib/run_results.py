"""What became of each test: reads cmocka's TAP and pytest's JUnit file, holds skips against their list, and says the end."""
import re
import threading
import xml.etree.ElementTree as ElementTree

WORSE = {"passed": 0, "skipped": 1, "failed": 2}
TAIL_LINES = 80


def read_tap(log, done):
    """Yields (test, status, detail) of a cmocka program's output.  A plan that is not fulfilled is a failure, whatever it says.

    Tests print to the same stream, so a line counts only with the number that is due in its group.
    """
    with open(log, encoding="utf-8", errors="replace") as f:
        lines = f.read().splitlines()
    plan, due, seen, failed, groups = 0, 1, 0, 0, 0
    for line in lines:
        begins = re.fullmatch(r"1\.\.(\d+)", line)
        if begins and due > plan:
            plan, due, groups = int(begins[1]), 1, groups + 1
            continue
        group = re.fullmatch(r"not ok 0 - (\S+) (.*)", line)
        if group:
            failed += 1
            plan, due = 0, 1
            yield group[1], "failed", "group setup or teardown failed"
            continue
        result = re.search(rf"(not ok|ok) {due} (# SKIP|-) (\S+)(.*)$", line) if due <= plan else None
        if not result:
            continue
        due += 1
        seen += 1
        if result[2] == "# SKIP":
            yield result[3], "skipped", ""
        elif result[1] == "ok":
            yield result[3], "passed", ""
        else:
            failed += 1
            yield result[3], "failed", result[4].strip()
    if due <= plan:
        yield f"test {due} of {plan}", "failed", done.why() or "ended before its plan was fulfilled"
    elif not seen and not failed:
        yield "all", "failed", done.why() or "ran no test"
    elif not done.ok and not failed:
        yield "exit", "failed", done.why()


def read_junit(path, done):
    """Yields (test, status, detail) of one pytest run.  No file, or a file without tests, is a failure."""
    worst, detail = {}, {}
    try:
        cases = list(ElementTree.parse(path).iter("testcase"))
    except (OSError, ElementTree.ParseError):
        cases = []
    for case in cases:
        name = ".".join((case.get("classname") or "").split(".")[2:] + [case.get("name") or "?"])
        status, said = "passed", ""
        for child in case:
            if child.tag in ("failure", "error"):
                status, said = "failed", (child.get("message") or "").split("\n")[0][:200]
            elif child.tag == "skipped":
                status, said = "skipped", child.get("message") or ""
        if name not in worst or WORSE[status] > WORSE[worst[name]]:
            worst[name], detail[name] = status, said
    for name, status in worst.items():
        yield name, status, detail[name]
    if not worst:
        yield "all", "failed", done.why() or "ran no test"
    elif not done.ok and "failed" not in worst.values():
        yield "exit", "failed", done.why()


class Results:
    """Every test by its full name, `MODE path::test`.  Safe to call from several threads."""

    def __init__(self, skips_path):
        self.rows = []                  # (name, status, detail)
        self.said = 0
        self.lock = threading.Lock()
        self.allowed = {}               # name: reason
        self.used = set()
        self.wrong = []
        with open(skips_path, encoding="utf-8") as f:
            for n, line in enumerate(f, 1):
                line = line.rstrip("\n")
                if not line.strip() or line.startswith("#"):
                    continue
                name, _, reason = line.partition("\t")
                if not reason.strip():
                    self.wrong.append(f"tests/skips.txt:{n}: a name, a tab and a reason are expected")
                self.allowed[name] = reason.strip()

    def reason_of(self, name):
        """The listed reason; a name may be listed with its mode or, for all modes, without."""
        for key in (name, name.partition(" ")[2]):
            if self.allowed.get(key):
                self.used.add(key)
                return self.allowed[key]
        return None

    def add(self, name, status, detail="", seconds=0.0):
        with self.lock:
            if status == "skipped":
                reason = self.reason_of(name)
                if reason is None:
                    status, detail = "failed", f"skipped, and not in tests/skips.txt {detail}".rstrip()
                else:
                    detail = reason
            self.rows.append((name, status, detail))

    def say(self, what, seconds, logs):
        """One line for a program that is done: how many of its tests passed; and the end of its output if one did not."""
        with self.lock:
            mine = [r for r in self.rows if r[0] == what or r[0].startswith((what + ":", what + "::"))]
            count = {s: sum(r[1] == s for r in mine) for s in WORSE}
            verdict = "FAIL" if count["failed"] else "skip" if count["skipped"] and not count["passed"] else "ok"
            print(f"  {verdict:<5} {what}  ({count['passed']} of {len(mine)}, {seconds:.1f} s)", flush=True)
            for name, status, detail in mine:
                if status == "failed":
                    print(f"        FAILED {name}  {detail}", flush=True)
            for log in logs:
                self._show(log)

    @staticmethod
    def _show(log):
        with open(log, encoding="utf-8", errors="replace") as f:
            lines = f.read().splitlines()
        if len(lines) > TAIL_LINES:
            print(f"        | ({len(lines) - TAIL_LINES} lines before these: {log})")
        for line in lines[-TAIL_LINES:]:
            print(f"        | {line[:300]}")
        print(end="", flush=True)

    def close(self, seconds):
        """Lists failures and skips, says the last line.  Returns the exit code."""
        count = {s: sum(r[1] == s for r in self.rows) for s in WORSE}
        failed = [r for r in self.rows if r[1] == "failed"]
        skipped = [r for r in self.rows if r[1] == "skipped"]
        print(f"\n{len(self.rows)} results in {seconds:.0f} s")
        for title, rows in (("failed:", failed), ("skipped:", skipped)):
            if rows:
                print(title)
            for name, _, detail in rows:
                print(f"  {name}" + (f"  ({detail})" if detail else ""))
        for name in sorted(set(self.allowed) - self.used):
            print(f"tests/skips.txt: {name} was not skipped in this run")
        for line in self.wrong:
            print(line)
        if not self.rows:
            print("not one test was run")
        print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped", flush=True)
        return 1 if failed or self.wrong or not count["passed"] else 0

#!/usr/bin/env python3
"""Searches the models of this folder with spin, and their mutants.  Standard library, spin and gcc only.

    tests/model/run.py check     the bounded part that `make check` runs: below a minute of CPU, below 1 GiB
    tests/model/run.py full      that and more
    tests/model/run.py MODEL     one model, fully

Every search is exhaustive: all reachable states, no bitstate hashing, no partial order reduction; one that is cut short by depth
or memory fails.  A model passes if nothing is violated.  A mutant passes if the property that models.py names for it is violated:
the search ends there, so its states say how soon.  Each property of each model has a mutant that violates it.

Prints TAP (tests/lib/run_results.py reads it), with states, depth, memory and CPU seconds in each line; exit 0 if all is well.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from models import MODELS       # noqa: E402

HERE = Path(__file__).resolve().parent
CHECK_MB, FULL_MB = 1000, 6000
LIMIT_S = 1800                  # of one search
# All states by name (NOREDUCE), invalid end states left to the models' own assertions (-E).
SAFETY, LIVE = ["-DSAFETY", "-DNOREDUCE"], ["-DNP", "-DNOREDUCE", "-DCOLLAPSE"]


class Search:
    """One pan made and run.  `broke`: the property that was violated, "" if none; `why`: what makes the search worth nothing."""

    def __init__(self, model, defines, live, mb, quick):
        self.states = self.depth = 0
        self.mb = self.cpu = 0.0
        self.broke = self.why = ""
        before = os.times()
        with tempfile.TemporaryDirectory(prefix="trefoil-model-") as at:
            self._make_and_run(at, model, defines, live, mb, quick)
        after = os.times()
        self.cpu = after.children_user + after.children_system - before.children_user - before.children_system

    def _make_and_run(self, at, model, defines, live, mb, quick):
        kind = (LIVE if live else SAFETY) + ([] if quick or mb == CHECK_MB or live else ["-DCOLLAPSE"])
        steps = [
            ["spin", *defines.split(), "-a", str(HERE / f"{model}.pml")],
            ["gcc", "-O0" if quick else "-O1", "-w", *kind, f"-DMEMLIM={mb}", "-o", "pan", "pan.c"],
            ["./pan", "-E", "-b", "-m20000", "-w20" if quick else "-w23", *(["-l", "-f"] if live else [])],
        ]
        for step in steps:
            try:
                done = subprocess.run(step, cwd=at, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                      timeout=LIMIT_S, check=False)
            except subprocess.TimeoutExpired:
                self.why = f"not done after {LIMIT_S} s"
                return
            if step[0] != "./pan" and (done.returncode or "Error:" in done.stdout):
                self.why = f"{step[0]}: " + (done.stdout.strip().splitlines() or ["failed"])[0]
                return
        self._read(done.stdout)

    def _read(self, said):
        named = re.search(r"assertion violated .*\|\| ?!\((\w+)\)\) \(at depth", said)
        if named:
            self.broke = named[1]
        elif re.search(r"^pan:\d+: non-progress cycle", said, re.M):
            self.broke = "progress"
        found = {key: re.search(what, said) for key, what in (
            ("states", r"(\S+) states, stored"), ("depth", r"depth reached (\d+)"), ("mb", r"(\S+)\s+total actual memory"),
            ("errors", r"errors: (\d+)"))}
        if not all(found.values()):
            self.why = "pan: " + (said.strip().splitlines() or ["said nothing"])[0]
            return
        self.states, self.depth, self.mb = int(float(found["states"][1])), int(found["depth"][1]), float(found["mb"][1])
        errors = int(found["errors"][1])
        if errors and not self.broke:
            self.why = "pan: " + said.strip().splitlines()[0]
        elif not errors and ("Search not completed" in said or "max search depth" in said or "MEMLIM" in said):
            self.why = "the search was cut short"

    def figures(self):
        return f"{self.states} states, depth {self.depth}, {self.mb:.0f} MB, {self.cpu:.1f} s"


class Tap:
    def __init__(self, plan):
        self.n = self.failed = 0
        self.cpu = self.mb = 0.0
        print(f"1..{plan}", flush=True)

    def say(self, good, name, search, text):
        self.n += 1
        self.failed += not good
        self.cpu += search.cpu
        self.mb = max(self.mb, search.mb)
        print(f"{'ok' if good else 'not ok'} {self.n} - {name} {text}; {search.figures()}", flush=True)


def own_words(model):
    """Words that a model's text asks the preprocessor for: its parameters and its mutants."""
    text = (HERE / f"{model}.pml").read_text()
    asked = set(re.findall(r"^#ifn?def (\w+)", text, re.M)) | set(re.findall(r"defined\((\w+)\)", text))
    parameters = set(re.findall(r"^#ifndef (\w+)\n#define \1\b", text, re.M))
    properties = set(re.findall(r"(\w+) = 1[,;]", "\n".join(re.findall(r"^hidden byte .*", text, re.M))))
    return asked - parameters, properties


def table_faults(model):
    """What models.py and the model's text do not agree on."""
    m = MODELS[model]
    mutants, properties = own_words(model)
    caught = {p for p, _ in m.mutants.values()}
    if mutants != set(m.mutants):
        return f"{model}: mutants in the text and in models.py differ: {sorted(mutants ^ set(m.mutants))}"
    if properties - caught:
        return f"{model}: no mutant violates {sorted(properties - caught)}"
    return ""


def searches(names, full):
    """Yields (test's name, model, defines, live, property expected, words)."""
    for name in names:
        m = MODELS[name]
        for live, lists in ((False, (m.check, m.full)), (True, (m.live_check, m.live_full))):
            for defines in [*lists[0], *(lists[1] if full else [])]:
                shown = defines.replace("-D", "").replace(" ", ",")
                yield f"{name}({shown}){':live' if live else ''}", name, defines, live, None
        for mutant, (expected, more) in m.mutants.items():
            own = {w.split("=")[0]: w for w in m.small.split()}
            own.update({w.split("=")[0]: w for w in more.split()})
            yield f"{name}:{mutant}", name, f"-D{mutant} " + " ".join(own.values()), expected == "progress", expected


def main():
    what = sys.argv[1] if len(sys.argv) == 2 else ""
    if what not in ("check", "full", *MODELS):
        print(__doc__, file=sys.stderr)
        return 2
    for tool in ("spin", "gcc"):
        if not shutil.which(tool):
            print(f"model: {tool} is not here; tools/install-deps installs it", file=sys.stderr)
            return 1
    faults = [f for f in map(table_faults, MODELS) if f]
    if faults:
        print(*faults, sep="\n", file=sys.stderr)
        return 1
    rows = list(searches([what] if what in MODELS else MODELS, what != "check"))
    tap = Tap(len(rows))
    for shown, model, defines, live, expected in rows:
        s = Search(model, defines, live, CHECK_MB if what == "check" or expected else FULL_MB, bool(expected))
        good = not s.why and s.broke == (expected or "")
        if expected:
            text = f"caught by {s.broke}" if s.broke else "NOT CAUGHT"
            text += "" if good or not s.broke else f", not by {expected}"
        else:
            text = f"{s.broke} is VIOLATED" if s.broke else "holds"
        tap.say(good, shown, s, s.why or text)
    print(f"told: {tap.n} searches, {tap.failed} failed; {tap.cpu:.0f} s of CPU, {tap.mb:.0f} MB at most", flush=True)
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())

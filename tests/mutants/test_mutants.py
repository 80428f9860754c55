"""Each mistake of tests/mutants/table.py is planted in a copy of the sources, and its catcher has to fail on it, in its own
words; on the copy as it is, each catcher passes.  And the two-build replay of all cores.  (timeout: 600 s)"""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from builder import ROOT, SECONDS, WARN, Builder, Failed
from table import MUTANTS, UNCATCHABLE, Mutant

SCRATCH = ROOT / "build" / "mutants"
ADDRESS = {"": "10000000000", "zero": "10000000000", "pattern": "27654321000"}
BATCH = {"": 4, "zero": 1, "pattern": 32}
TOO_MUCH = 4096             # octets of a difference that are shown
SAYS = {
    "shadow": r"arena: ",
    "walk": r"shown before|not shown again|after recovery|output (lost|doubled|torn)|(final|later) arena|worker aborted",
    "streams": r"lost, doubled or torn|never (sent|came)|framing is lost|gave up by itself|the socket was closed",
    "replay": r"differ",
    "fence": r"both sides sleep",
}
SAYS["octets"] = SAYS["walk"]


@pytest.fixture(scope="module")
def builder():
    made = Builder(SCRATCH)
    yield made
    shutil.rmtree(SCRATCH, ignore_errors=True)


def run(*words):
    env = {**os.environ, "CMOCKA_TEST_ABORT": "1", "TREFOIL_DEPTH": "0", "CMOCKA_MESSAGE_OUTPUT": "STDOUT"}
    try:
        r = subprocess.run([str(w) for w in words], capture_output=True, text=True, errors="replace", check=False,
                           timeout=SECONDS, env=env)
    except subprocess.TimeoutExpired:
        return False, "it hangs"
    return r.returncode == 0, r.stdout + r.stderr


def first_difference(a, b):
    """Where two dumps of a play differ, in its own words; "" if they do not."""
    if a == b:
        return ""
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    heads = [m for m in re.finditer(rb"(mill|hostd|gattd|output|turn|to)[ a-z]* \d+[^\n]{0,40}\n", a[:at])]
    where = heads[-1][0].decode().strip() if heads else "the beginning"
    return f"the two builds differ at octet {at}, {at - (heads[-1].end() if heads else 0)} behind: {where}"


def replay(builder, changed=None):
    """Two builds of the same play; returns (do they agree, what was said)."""
    left = {}
    for variant in ("zero", "pattern"):
        out = SCRATCH / f"left-{variant}"
        program = builder.program("play", variant, changed)
        ok, said = run(program, out, ADDRESS[variant], BATCH[variant])
        if not ok:
            return False, said
        left[variant] = out.read_bytes()
    said = first_difference(left["zero"], left["pattern"])
    return not said, said or f"{len(left['zero'])} octets, the same in both builds"


def check_core(builder, file, changed=None):
    core = str(Path(file).parent)
    low = [builder.archive(folder) for folder in ("shm", "wire")]
    return run(ROOT / "tools/check-core", builder.archive(core, changed), *low)


def judge(builder, m, planted):
    """Runs the catcher of m.  Returns (did it pass, what it said)."""
    if m.catcher == "fence" and len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two processors")
    changed, more = (m.file, [m.flag] if m.flag else []) if planted else (None, [])
    if m.catcher == "compiler":
        sources = [m.file] if m.file.endswith(".c") else ["shm/step.c", "gattd/core/change.c"]     # a header: who includes it
        try:
            for source in sources:
                builder.compile(source, "", WARN, "compiler")
        except Failed as e:
            return False, str(e)
        return True, ""
    if m.catcher == "replay":
        return replay(builder, changed)
    if m.catcher == "check-core":
        return check_core(builder, m.file, changed)
    if m.catcher == "shadow":
        return run(builder.program("play", "", changed, more), SCRATCH / "left", ADDRESS[""], BATCH[""])
    return run(builder.program(m.catcher, "", changed, more))


def planted_in(builder, m):
    """The text of the mutant's file, and what a mistake makes of it."""
    path = builder.tree / m.file
    text = path.read_text()
    if m.old and text.count(m.old) != 1:
        pytest.fail(f"{m.file}: {text.count(m.old)} places have the text of this mutant, one is wanted: {m.old!r}")
    return path, text, text.replace(m.old, m.new) if m.old else text


CATCHERS = list({m.catcher: m for m in MUTANTS}.values())


@pytest.mark.parametrize("m", CATCHERS, ids=[m.catcher for m in CATCHERS])
def test_catcher_passes_on_the_source_as_it_is(builder, m):
    ok, said = judge(builder, m, False)
    assert ok, said[-TOO_MUCH:]
    for line in said.splitlines():
        if line.startswith("told: "):
            print(f"told: mutants, {m.catcher} unharmed: {line[6:]}")


@pytest.mark.parametrize("m", MUTANTS, ids=[m.name for m in MUTANTS])
def test_mutant_is_caught(builder, m: Mutant):
    if m.catcher not in ("compiler", "check-core"):     # all that it leans on is there, and passes, before the mistake is made
        for variant in ("zero", "pattern") if m.catcher == "replay" else ("",):
            builder.program("play" if m.catcher in ("shadow", "replay") else m.catcher, variant)
    path, text, wrong = planted_in(builder, m)
    try:
        path.write_text(wrong)
        ok, said = judge(builder, m, True)
    finally:
        path.write_text(text)
    assert not ok, f"{m.catcher} does not notice it"
    assert re.search(m.says or SAYS[m.catcher], said), f"{m.catcher} fails, but for another reason: {said[-TOO_MUCH:]}"


def test_the_fence_that_nobody_catches_is_there():
    file, text = UNCATCHABLE
    assert text in (ROOT / file).read_text()


def test_two_builds_of_the_cores_agree(builder):
    ok, said = replay(builder)
    assert ok, said
    print(f"told: two-build replay of hostd, gattd and the mill: {said}")


def test_two_builds_of_transportd_agree(builder):
    left = []
    for variant in ("zero", "pattern"):
        out = SCRATCH / f"line-{variant}"
        ok, said = run(builder.program("play_line", variant), out)
        assert ok, said
        left.append(out.read_bytes())
    assert not first_difference(*left)
    print(f"told: two-build replay of transportd: {len(left[0])} octets, the same in both builds")

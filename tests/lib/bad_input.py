"""For the tests of bad input: what a pipeline could leave behind, and what is expected of one that must not come up."""
import ctypes
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from pipeline import BIN, characteristic, wait_until

ADDRESS = "F0:F1:F2:F3:F4:F5"
FAILED, USAGE, NO_DAEMON = 1, 2, 3
DEVICE = {
    "name": "Trefoil bad input", "address": ADDRESS, "advertising_interval": 20,
    "gatt_services": [{"uuid": "F000", "characteristics": [
        characteristic("F001", "READ,WRITE,WRITE_WITHOUT_RESPONSE", handle=0x101, echo="F002", max_length=244),
        characteristic("F002", "READ,NOTIFY", handle=0x111, max_length=244),
    ]}],
    "trefoil": {"limits": {"connections": 4}},
}
PR_SET_CHILD_SUBREAPER = 36


def children():
    """Every live process below this one; orphans come to us, see the fixture."""
    below, todo = set(), [os.getpid()]
    while todo:
        for task in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
            try:
                found = [int(p) for p in task.read_text().split()]
            except OSError:
                continue
            todo += found
            below.update(p for p in found if "Z" not in Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()[0])
    return below


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def traces(tmp):
    """What a pipeline could leave: processes, files, sockets in use under `tmp`, mounts, shared memory files."""
    sockets = [line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines() if str(tmp) in line]
    shared = sorted(f for f in os.listdir("/dev/shm") if "trefoil" in f) if os.path.isdir("/dev/shm") else []
    return (children(), sorted(str(f) for f in Path(tmp).rglob("*")), sorted(sockets),
            Path("/proc/self/mounts").read_text(), shared)


@pytest.fixture(autouse=True)
def nothing_is_left():
    """The state of things around each test; what it leaves is its failure."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = children()
    yield
    wait_until(lambda: children() <= before, 5)


@pytest.fixture
def tmp():
    """A directory of its own with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="tf-bad-") as at:
        yield Path(at)


def up(run_dir, *words, limit_s=30, **more):
    """`trefoil up` that is expected to end by itself."""
    return subprocess.run([BIN / "trefoil", "--run-dir", run_dir, "up", *words], capture_output=True, text=True, timeout=limit_s,
                          **more)


def complaint(text):
    """The lines of standard error that complain: not what the daemons tell of their life."""
    return [line for line in text.splitlines() if not any(f": {level} " in line for level in ("info", "debug"))
            and "airsim: listening" not in line]


def refused(r, *says, code=FAILED):
    """Exit code, no `ready`, and one line that says everything."""
    lines = complaint(r.stderr)
    assert r.returncode == code, (r.returncode, r.stderr)
    assert r.stdout == "", r.stdout
    assert len(lines) == 1, r.stderr
    for what in says:
        assert what in lines[0], f"{what!r} is not in: {lines[0]}"
    return lines[0]

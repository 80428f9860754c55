"""The far side (hammer far) with a pipeline on it, for the parts of `make bench`."""
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lib"))
from pipeline import NAMES, Pipeline, characteristic  # noqa: E402

BIN = Path(os.environ.get("TREFOIL_BIN", ROOT / "build" / "bin"))
SHELL = re.findall(r"ROW\((\w+)\)", re.search(r"#define SHELL_COUNTERS\(ROW\)(.*?)\nenum", (ROOT / "shm/stats.h").read_text(), re.S)[1])


def device(connections):
    """What the loads of bench/load.h work on: 0x101 is written, 0x111 is echoed to 0x121, 0x131 is one octet."""
    return {
        "name": "Trefoil bench", "address": "F0:F1:F2:F3:F4:F5", "advertising_interval": 20,
        "gatt_services": [{"uuid": "F000", "characteristics": [
            characteristic("F001", "READ,WRITE,WRITE_WITHOUT_RESPONSE", handle=0x101, max_length=244),
            characteristic("F002", "READ,WRITE,WRITE_WITHOUT_RESPONSE", handle=0x111, echo="F003", max_length=244),
            characteristic("F003", "READ,NOTIFY", handle=0x121, max_length=244),
            characteristic("F004", "READ,WRITE", handle=0x131, value="1", max_length=1)]}],
        "trefoil": {"limits": {"connections": connections}},
    }


class Far:
    """with Far(connections) as f: f.load("write", seconds=5)      A pipeline on a far side of its own."""

    """@together  the three workers and the far side on one processor, so that no wake-up goes from one to another"""

    def __init__(self, connections=8, buffers=8, together=False, args=()):
        self.tmp = tempfile.TemporaryDirectory(prefix="trefoil-bench-")
        self.path = str(Path(self.tmp.name) / "hci.sock")
        self.together = together
        self.proc = subprocess.Popen([str(BIN / "hammer"), "far", "--listen", self.path, "--buffers", str(buffers)],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.proc.stdout.readline() == "listening\n"
        self.pipeline = Pipeline(device(connections), args=["--transport", f"unix:{self.path}", *args], bin_dir=BIN)

    def __enter__(self):
        self.pipeline.start()
        self.find_workers()
        return self

    def find_workers(self):
        rows = {r["name"]: r for r in self.pipeline.status()["processes"]}
        self.supervisors = {n: rows[n]["pid"] for n in NAMES}
        self.workers = {n: rows[n]["worker_pid"] for n in NAMES}
        if self.together:
            for pid in (self.proc.pid, *self.workers.values()):
                os.sched_setaffinity(pid, {max(os.sched_getaffinity(0))})

    def say(self, line):
        self.proc.stdin.write(line + "\n")
        self.proc.stdin.flush()

    def answer(self):
        line = self.proc.stdout.readline()
        assert line, "the far side has ended"
        r = json.loads(line)
        assert r.get("good", True), f"the run was not clean: {r}"
        return r

    def load(self, kind, **options):
        options.setdefault("pids", ",".join(str(self.workers[n]) for n in NAMES))
        self.say(" ".join([kind, *(f"{k}={v}" for k, v in options.items())]))
        return self.answer()

    def yardstick(self):
        self.say("yardstick")
        return self.answer()["socketpair_us"]

    def memfd(self, name, what):
        """A path to a segment of the worker's that its supervisor holds: "stats", "arena"."""
        for fd in Path(f"/proc/{self.supervisors[name]}/fd").iterdir():
            try:
                if os.readlink(fd).startswith(f"/memfd:trefoil-{what}"):
                    return fd
            except OSError:
                continue
        raise AssertionError(f"no {what} segment of {name}")

    def counters(self, name):
        """The worker's own counters, shell's and core's, as the stats segment shows them (shm/stats.h)."""
        raw = self.memfd(name, "stats").read_bytes()
        values = dict(zip(SHELL, struct.unpack_from(f"<{len(SHELL)}Q", raw, SHELL_AT)))
        core = core_counters(name)
        values.update(zip(core, struct.unpack_from(f"<{len(core)}Q", raw)))
        return values

    def __exit__(self, kind, value, trace):
        self.pipeline.__exit__(kind, value, trace)
        self.proc.stdin.close()
        self.proc.wait(10)
        self.tmp.cleanup()


COUNTERS = int(re.search(r"\bCOUNTERS = (\d+)", "".join((ROOT / "shm" / n).read_text() for n in ("step.h", "core.h", "arena.h")))[1])
SHELL_AT = (COUNTERS * 8 + 63) // 64 * 64          # in the stats segment: the core's counters, then the shell's
CORE_ROWS = {"transportd": ("transportd/line.h", "LINE"), "hostd": ("hostd/core/host.h", "HOST"), "gattd": ("gattd/core/gatt.h", "GATT")}


def core_counters(name):
    path, word = CORE_ROWS[name]
    text = (ROOT / path).read_text()
    block = re.search(rf"#define {word}_COUNTERS\(ROW\)(.*?)\nenum", text, re.S)[1]
    return re.findall(r"ROW\((\w+)\)", block)

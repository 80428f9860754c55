"""What the tests of poison, recordings and replay share: a device with a pair of values for each central, and the centrals."""
import json
import os
import signal
import struct
import subprocess
import time
from pathlib import Path

from pipeline import BIN, ROOT, characteristic

PLANTED = Path(os.environ.get("TREFOIL_BIN_PLANTED", ROOT / "build" / "planted" / "bin"))
ADDRESS = "F0:F1:F2:F3:F4:F5"
HAMMERS = 3
PLAIN = 0x181                   # a value that no hammer minds


def device(connections=6):
    pairs = [c for n in range(HAMMERS) for c in (
        characteristic(f"F1{n}1", "READ,WRITE,WRITE_WITHOUT_RESPONSE", handle=0x101 + 0x20 * n, echo=f"F1{n}2", max_length=244),
        characteristic(f"F1{n}2", "READ,NOTIFY", handle=0x111 + 0x20 * n, max_length=244))]
    plain = characteristic("F1F1", "READ,WRITE,WRITE_WITHOUT_RESPONSE", handle=PLAIN, max_length=20)
    return {"name": "Trefoil poison", "address": ADDRESS, "advertising_interval": 20,
            "gatt_services": [{"uuid": "F100", "characteristics": [*pairs, plain]}],
            "trefoil": {"limits": {"connections": connections}}}


class Hammer:
    """bench/hammer number n: a central with a pair of values of its own, which judges each octet at its own controller."""

    def __init__(self, p, n, mode):
        at = 0x101 + 0x20 * n
        words = [str(BIN / "hammer"), mode, "--air", p.air, "--peer", ADDRESS, "--write", hex(at), "--echo", hex(at + 0x10),
                 "--echo-cccd", hex(at + 0x11)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        assert line == "working\n", (line, self.process.communicate(timeout=20))

    def report(self):
        self.process.send_signal(signal.SIGTERM)
        return json.loads(self.process.communicate(timeout=30)[0])

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Load:
    """with Load(p) as load: ...    Three centrals at work; at the end each octet must have come once and in order."""

    def __init__(self, p, modes=("counter", "flood", "flood"), judge=True):
        self.p, self.modes, self.judge, self.hammers = p, modes, judge, []

    def __enter__(self):
        self.hammers = [Hammer(self.p, n, mode) for n, mode in enumerate(self.modes)]
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None and self.judge:
                time.sleep(0.3)                         # service is back: all go on
                reports = [h.report() for h in self.hammers]
                assert all(r["good"] and r["requests"] > 10 for r in reports), (reports, self.p.text()[-4000:])
        finally:
            for h in self.hammers:
                h.kill()


def read_stats(supervisor):
    """The flight words of a supervisor's worker (shm/stats.h): what, position, header."""
    for fd in Path(f"/proc/{supervisor}/fd").iterdir():
        try:
            if os.readlink(fd).startswith("/memfd:trefoil-stats"):
                with open(fd, "rb") as f:
                    return struct.unpack_from("<3Q", f.read(1024), 512)
        except OSError:
            continue
    raise AssertionError("no stats segment")


def replay(bin_dir, name, path, *more, check=None):
    """Runs `NAME --replay PATH`; its exit code, negative for a signal, and all that it said."""
    r = subprocess.run([str(Path(bin_dir) / name), "--replay", str(path), *more], capture_output=True, text=True, timeout=60)
    if check is not None:
        assert r.returncode == check, (name, path, r.returncode, r.stdout, r.stderr)
    return r.returncode, r.stdout + r.stderr

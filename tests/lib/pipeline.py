"""A Trefoil pipeline for tests: starts `trefoil up` in a run dir of its own, looks at it, ends it, and checks what is left."""
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("TREFOIL_BIN", ROOT / "build" / "bin"))
NAMES = ("transportd", "hostd", "gattd")


def characteristic(uuid, properties, permissions="READABLE,WRITEABLE", **ours):
    return {"uuid": uuid, "properties": properties, "permissions": permissions, "trefoil": ours}


class Pipeline:
    """with Pipeline(device) as p: ...    `device` is the device file as a dict, or None."""

    def __init__(self, device=None, args=(), bin_dir=BIN, env=None, expect_ready=True):
        self.bin = Path(bin_dir)
        self.tmp = tempfile.TemporaryDirectory(prefix="trefoil-test-")
        self.run_dir = Path(self.tmp.name) / "run"
        self.log_path = Path(self.tmp.name) / "up.log"
        self.device = device
        self.args = list(args)
        self.env = dict(os.environ, **(env or {}))
        self.expect_ready = expect_ready
        self.up = None
        self.popen = {}                 # more for subprocess.Popen: another user

    @property
    def air(self):
        return str(self.run_dir / "air.sock")

    def command(self, *words):
        return [str(self.bin / "trefoil"), "--run-dir", str(self.run_dir), *words]

    def start(self):
        words = ["up", *self.args]
        if self.device is not None:
            path = Path(self.tmp.name) / "device.json"
            path.write_text(json.dumps(self.device))
            words += ["--config", str(path)]
        self.log = open(self.log_path, "wb")
        self.up = subprocess.Popen(self.command(*words), stdout=subprocess.PIPE, stderr=self.log, env=self.env, **self.popen)
        if self.expect_ready:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=30):
        ready, _, _ = select.select([self.up.stdout], [], [], timeout)
        line = self.up.stdout.readline() if ready else b""
        assert line == b"ready\n", f"no `ready` but {line!r}\n{self.text()}"

    def text(self):
        return self.log_path.read_text(errors="replace")

    def run(self, *words, check=True, **more):
        r = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=30, **more)
        assert not check or r.returncode == 0, f"{words}: exit {r.returncode}\n{r.stderr}\n{self.text()}"
        return r

    def status(self):
        return json.loads(self.run("status", "--json").stdout)

    def process(self, name):
        return next(p for p in self.status()["processes"] if p["name"] == name)

    def children(self):
        """Every process below `up`, by pid."""
        below, todo = [], [self.up.pid]
        while todo:
            try:
                tasks = list((Path("/proc") / str(todo.pop()) / "task").iterdir())
                found = [int(p) for t in tasks for p in (t / "children").read_text().split()]
            except OSError:             # it has ended meanwhile
                continue
            below += found
            todo += found
        return below

    def stopped(self):
        """A process of ours that has stopped itself (SIGSTOP); 0: there is none."""
        for pid in self.children():
            try:
                if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T":
                    return pid
            except OSError:
                pass
        return 0

    def back(self, name, supervisor):
        """Is that daemon at work, under another supervisor than the one with this pid?"""
        r = self.run("status", "--json", check=False)
        rows = [x for x in json.loads(r.stdout)["processes"] if x["name"] == name] if r.returncode == 0 else []
        return any(x["pid"] != supervisor and x["state"] == "running" for x in rows)

    def stop(self, timeout=20):
        """Ends `up` and returns its exit code; nothing may be left: no process, no file in the run dir."""
        below = self.children()
        if self.up.poll() is None:
            self.up.send_signal(signal.SIGTERM)
        code = self.up.wait(timeout)
        self.log.close()
        left = [p for p in below if Path(f"/proc/{p}").exists() and not zombie(p)]
        assert not left, f"processes left behind: {left}\n{self.text()}"
        assert not self.run_dir.exists(), f"left in the run dir: {sorted(f.name for f in self.run_dir.iterdir())}"
        return code

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if self.up and self.up.poll() is None:
            if kind is None:
                assert self.stop() == 0, self.text()
            else:
                print(self.text()[-20000:])
                self.up.kill()
                self.up.wait()
                time.sleep(0.5)
        self.tmp.cleanup()


def zombie(pid):
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return True


def wait_until(what, timeout=10, step=0.005):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(step)
    raise AssertionError(f"not within {timeout} s: {what}")

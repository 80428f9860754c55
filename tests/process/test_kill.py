"""The kill test: workers and supervisors are killed under load, and a central notices nothing.

Two centrals (bench/hammer: bare HCI hosts, which judge the octets at their own controllers) write counters, read them back
and receive each write as a notification, as fast as they can; an operator's stream of values is notified to one of them as
well.  Meanwhile each worker and each supervisor gets SIGKILL, KILLS times each (20 unless the environment says otherwise).
Before a kill the worker is stopped for a moment and looked at: what it was doing is told at the end.  (timeout: 600 s)"""
import ctypes
import fcntl
import json
import mmap
import os
import random
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from pipeline import BIN, NAMES, ROOT, Pipeline, characteristic, wait_until

KILLS = int(os.environ.get("TREFOIL_KILLS") or 20)
ADDRESS = "F0:F1:F2:F3:F4:F5"
LINKS = {"transportd": {"down": "hostd.up"}, "hostd": {"up": "transportd.down", "down": "gattd.up"}, "gattd": {"up": "hostd.down"}}
ROLE = {"up": 1, "down": 2}

DEVICE = {
    "name": "Trefoil kill test",
    "address": ADDRESS,
    "advertising_interval": 20,
    "gatt_services": [{
        "uuid": "F000",
        "characteristics": [
            characteristic("F001", "READ,WRITE,WRITE_WITHOUT_RESPONSE", handle=0x101, echo="F002", max_length=244),
            characteristic("F002", "READ,NOTIFY", handle=0x111, max_length=244),
            characteristic("F003", "READ,WRITE", handle=0x121, echo="F004", max_length=244),
            characteristic("F004", "READ,NOTIFY", handle=0x131, max_length=244),
            characteristic("F005", "READ,NOTIFY", handle=0x141, max_length=244),
        ],
    }],
    "trefoil": {"limits": {"connections": 4}},
}


PIDFD_GETFD = 438


def take_fds(pid):
    """Duplicates of the stream sockets and pipes of another process."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd, taken = os.pidfd_open(pid), []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if not target.startswith(("socket:", "pipe:")) or int(link.name) < 3:
            continue
        fd = libc.syscall(PIDFD_GETFD, pidfd, int(link.name), 0)
        if fd < 0:
            continue
        if target.startswith("socket:"):
            with socket.socket(fileno=os.dup(fd)) as s:
                if s.type != socket.SOCK_STREAM:
                    os.close(fd)
                    continue
        taken.append(fd)
    os.close(pidfd)
    return taken


class Look:
    """The shared memory of one daemon, through its supervisor's descriptors, read only."""

    def __init__(self, name, pid):
        self.name, self.map = name, {}
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(fd)
            except OSError:
                continue
            if target.startswith("/memfd:trefoil-"):
                self.map[target[len("/memfd:trefoil-"):].split(" ")[0]] = fd
        self.arena = self.open("arena")
        self.positions_at = struct.unpack_from("<I", self.arena, 64 + 24 + 16)[0] + 8
        self.mine = {role: self.open(f"{name}.{role}") for role in LINKS[name]}
        self.peer = {role: self.open(theirs) for role, theirs in LINKS[name].items()}
        self.waiting = take_fds(pid) if name == "transportd" else []

    def open(self, name):
        fd = os.open(self.map[name], os.O_RDONLY)
        try:
            return mmap.mmap(fd, 0, prot=mmap.PROT_READ)
        finally:
            os.close(fd)

    def outside(self):
        """Octets in what transportd reads and writes outside of shared memory: the controller's socket, and the pipe to it."""
        return sum(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0] for fd in self.waiting)

    def close(self):
        for fd in self.waiting:
            os.close(fd)

    def step_open(self):
        return struct.unpack_from("<I", self.arena, 0)[0] != 0

    def positions(self):
        v = struct.unpack_from("<6Q", self.arena, self.positions_at)
        return v[:3], v[3:]

    def unpublished(self):
        heads, tails = self.positions()
        for role in self.mine:
            tail, = struct.unpack_from("<Q", self.mine[role], 0)
            head, = struct.unpack_from("<Q", self.mine[role], 128)
            if tail != tails[ROLE[role]] or head != heads[ROLE[role]]:
                return True
        return False


def in_system_call(pid):
    try:
        return Path(f"/proc/{pid}/syscall").read_text().split()[0].isdigit()
    except OSError:
        return False


def stopped(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "tT"
    except OSError:
        return False


def classify(look, pid):
    if look.step_open():
        return "an open step"
    if look.unpublished():
        return "a commit not yet published"
    return "a system call" if in_system_call(pid) else "between steps"


WANTED = ("an open step", "a commit not yet published", "a system call", None)


def stop_in(look, pid, wanted, looks=400):
    """SIGSTOP the worker when it is at `wanted`, as near as a bounded number of looks comes to it; returns what it is at."""
    at = None
    for attempt in range(looks if wanted else 1):
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: stopped(pid), 2, 0)
        at = classify(look, pid)
        if wanted is None or at == wanted:
            break
        if attempt < looks - 1:
            os.kill(pid, signal.SIGCONT)
            time.sleep(random.random() * 0.0005)
    return at


def in_flight(look):
    """With the worker stopped and the centrals waiting, their requests have come as far as to it."""
    heads, _ = look.positions()
    return look.step_open() or look.unpublished() or look.outside() > 0 or any(
        struct.unpack_from("<Q", look.peer[role], 0)[0] != heads[ROLE[role]] for role in look.peer)


def comes_in_flight(look):
    """The centrals wait for their answers, so what is under way comes as far as to the stopped worker: into its rings, or
    into transportd's socket."""
    try:
        return wait_until(lambda: in_flight(look), 1, 0.0005)
    except AssertionError:
        return False


class Load:
    """Two hammers and a stream of operator values."""

    def __init__(self, p):
        self.p, self.values, self.end = p, 0, False
        base = [str(p.bin / "hammer"), "counter", "--air", p.air, "--peer", ADDRESS]
        self.hammers = [
            self.hammer(base + ["--write", "0x101", "--echo", "0x111", "--echo-cccd", "0x112", "--set", "0x141", "--set-cccd", "0x142"]),
            self.hammer(base + ["--write", "0x121", "--echo", "0x131", "--echo-cccd", "0x132"]),
        ]
        self.setter = subprocess.Popen(p.command("gatt", "set", "0x141", "-"), stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        self.thread = threading.Thread(target=self.feed)
        self.thread.start()

    def hammer(self, words):
        h = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = h.stderr.readline()
        if line != "working\n":
            raise AssertionError(f"hammer does not work: {line!r} {h.communicate()}")
        return h

    def feed(self):
        try:
            while not self.end:
                self.setter.stdin.write(struct.pack("<I", self.values + 1).hex().encode() + b"\n")
                self.setter.stdin.flush()
                self.values += 1
                time.sleep(0.001)
        except BrokenPipeError:
            pass

    def finish(self):
        """Everything outstanding comes in; returns the hammers' reports."""
        self.end = True
        self.thread.join(20)
        try:
            self.setter.stdin.close()
        except BrokenPipeError:
            pass
        code = self.setter.wait(20)
        errors = self.setter.stderr.read().decode()
        time.sleep(0.3)
        for h in self.hammers:
            h.send_signal(signal.SIGTERM)
        reports = [json.loads(h.communicate(timeout=20)[0]) for h in self.hammers]
        return code, errors, reports

    def kill(self):
        self.end = True
        for h in [*self.hammers, self.setter]:
            if h.poll() is None:
                h.kill()


def process_ids(p, name):
    row = p.process(name)
    return row["pid"], row["worker_pid"], row["restarts"]


def kill_one(p, name, which, wanted, met):
    """Kill, and wait until the new worker has taken over; returns seconds without service as `status` sees them."""
    supervisor, worker, restarts = process_ids(p, name)
    look = Look(name, supervisor)
    at = stop_in(look, worker, wanted)
    met[name, which, at] += 1
    flight = comes_in_flight(look)
    look.close()
    start = time.monotonic()
    os.kill(worker if which == "worker" else supervisor, signal.SIGKILL)

    def back():
        r = p.run("status", "--json", check=False)
        if r.returncode:
            return False
        row = next(x for x in json.loads(r.stdout)["processes"] if x["name"] == name)
        return row["restarts"] == restarts + 1 and row["state"] == "running"

    wait_until(back, 8)
    return flight, time.monotonic() - start


def run_kills(p, kills, targets):
    met, flights, worst = Counter(), 0, 0.0
    load = Load(p)
    try:
        time.sleep(0.2)
        for round_ in range(kills):
            for name, which in targets:
                flight, took = kill_one(p, name, which, WANTED[round_ % len(WANTED)], met)
                flights += flight
                worst = max(worst, took)
                time.sleep(0.01 + random.random() * 0.02)
        code, errors, reports = load.finish()
    finally:
        load.kill()
    return met, flights, worst, code, errors, reports, load.values


def tell(met, worst):
    for (name, which, at), n in sorted(met.items()):
        print(f"told: {name:10} {which:10} {n:4} kills at {at}")
    print(f"told: slowest until `status` said running again: {worst * 1000:.0f} ms")


def judge(code, errors, reports, values):
    assert code == 0, errors
    for r in reports:
        assert r["good"], r
        assert r["requests"] == r["responses"] > 0, r
        assert r["echo"]["last"] == r["echo"]["notifications"] >= r["requests"] // 2, r
        assert r["echo"]["lost"] == r["echo"]["doubled"] == 0, r
    assert reports[0]["set"]["last"] == reports[0]["set"]["notifications"] == values, (reports[0], values)


ALL = [(name, which) for which in ("worker", "supervisor") for name in NAMES]


def test_kills_are_not_noticed():
    """No connection drops; each request is answered once; each notification comes once, in order; `status` counts each kill."""
    with Pipeline(DEVICE) as p:
        met, flights, worst, code, errors, reports, values = run_kills(p, KILLS, ALL)
        tell(met, worst)
        for r in reports:
            print(f"told: {r['requests']} requests, {r['echo']['notifications']} + {r['set']['notifications']} notifications, "
                  f"lost {r['echo']['lost'] + r['set']['lost']}, doubled {r['echo']['doubled'] + r['set']['doubled']}, "
                  f"slowest answer {r['worst_us'] / 1000:.1f} ms")
        judge(code, errors, reports, values)
        assert flights == KILLS * len(ALL), f"{flights} kills of {KILLS * len(ALL)} fell with a record in flight"
        for name in NAMES:
            assert p.process(name)["restarts"] == 2 * KILLS
        assert sum(n for (_, _, at), n in met.items() if at == "an open step") > 0
        assert sum(n for (_, _, at), n in met.items() if at == "a system call") > 0


def test_one_supervisor_killed_again_and_again():
    """Kills from outside are nobody's fault: the twentieth in a row is answered as fast as the first, and ends nothing."""
    with Pipeline(DEVICE) as p:
        slowest = 0
        for _ in range(20):
            row = p.process("hostd")
            start = time.monotonic()
            os.kill(row["pid"], signal.SIGKILL)
            wait_until(lambda: p.process("hostd")["restarts"] > row["restarts"] and p.process("hostd")["state"] == "running", 5)
            slowest = max(slowest, time.monotonic() - start)
        print(f"told: 20 kills of one supervisor in a row, slowest seen back after {slowest * 1000:.0f} ms")
        assert p.process("hostd")["restarts"] == 20
        assert p.up.poll() is None


def test_end_while_a_supervisor_is_dead():
    """`up` ends while a supervisor that it has not brought back yet is dead: no socket and no process is left."""
    for _ in range(5):
        with Pipeline(DEVICE) as p:
            os.kill(p.process("hostd")["pid"], signal.SIGKILL)
            p.up.send_signal(signal.SIGTERM)
            assert p.stop() == 0                # and looks at what is left


def test_without_recovery_it_fails():
    """The same load and kills on a build whose recovery is switched off must be noticed by the centrals: else the test proves
    nothing.  That the build works until the first kill is seen first."""
    bin_dir = Path(os.environ.get("TREFOIL_BIN_NORECOVERY", ROOT / "build" / "norecovery" / "bin"))
    if not bin_dir.exists():
        pytest.fail(f"{bin_dir} is not built: make MODE=norecovery")
    with Pipeline(DEVICE, bin_dir=bin_dir) as p:
        load = Load(p)
        time.sleep(0.3)
        code, errors, reports = load.finish()
        judge(code, errors, reports, load.values)               # without kills all is well
    kills, seen = 0, []
    for _ in range(8):
        done, reports = kill_open_steps(bin_dir, 30)
        kills += done
        seen = [r["why"] or r["broken"] or f"lost {r['echo']['lost']}, doubled {r['echo']['doubled']}" for r in reports if not r["good"]]
        if seen:
            break
    print(f"told: without recovery: {kills} kills in open steps, the centrals saw: {seen}")
    assert seen, f"nothing was noticed after {kills} kills although recovery is off: {reports}"


def kill_open_steps(bin_dir, count):
    """Kill the workers of the protocol cores in the middle of a step, `count` times at most; (kills, the centrals' reports)."""
    p = Pipeline(DEVICE, bin_dir=bin_dir).start()
    load, kills = Load(p), 0
    try:
        for name in ("hostd", "gattd") * (count // 2):
            supervisor, worker, restarts = process_ids(p, name)
            look = Look(name, supervisor)
            if stop_in(look, worker, "an open step", 1500) != "an open step":
                os.kill(worker, signal.SIGCONT)
                continue
            os.kill(worker, signal.SIGKILL)
            kills += 1
            wait_until(lambda: p.process(name)["restarts"] > restarts and p.process(name)["state"] == "running", 8)
            time.sleep(0.02)
    except (AssertionError, LookupError, OSError, StopIteration, json.JSONDecodeError) as e:
        print(f"told: without recovery: after {kills} kills {type(e).__name__}")    # the pipeline itself has gone down, perhaps
    finally:
        _, _, reports = load.finish()
        load.kill()
        p.up.terminate()
        p.up.wait(30)
        p.tmp.cleanup()
    return kills, reports

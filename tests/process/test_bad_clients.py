"""Garbage on the sockets of a running pipeline, from local clients and from host stacks on the air: whoever sends it loses its
connection, and nobody else anything.

A central works the pipeline meanwhile; processes and their descriptors are compared before and after.  What a test proves
stands in its docstring.  timeout: 60 s"""
import array
import json
import os
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from bad_input import ADDRESS, DEVICE, complaint, nothing_is_left  # noqa: F401
from pipeline import NAMES, Pipeline, wait_until


# ---- garbage on the sockets of a running pipeline ----------------------------------------------------------------------

def varint(n):
    out = b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def frame(number, body=b"", serial=1):
    """A Frame (proto/control.proto) with that message in it."""
    return field(1, serial) + field(number, body)


HELLO, LINK_OFFER, ATTACH, START, DRAIN, RESTART, FD_STORED = 2, 3, 4, 6, 10, 11, 12
STATUS, STATISTICS, OPERATOR, FAILED = 14, 16, 18, 20
GREETING = frame(HELLO, field(1, "operator") + field(2, 1) + field(3, 1))


def dial(p, name):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(str(p.run_dir / f"{name}.sock"))      # waits while the backlog is full
    s.settimeout(5)
    return s


def send_fds(s, octets, count):
    """A datagram with so many descriptors on it."""
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
    try:
        s.sendmsg([octets], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
    finally:
        for fd in fds:
            os.close(fd)


def refused_by(s, name, what):
    """The other side has closed the connection, or says that it does not take this (Failed); it is never silent."""
    try:
        got = s.recv(65536)
    except (ConnectionResetError, BrokenPipeError):
        return
    except socket.timeout:
        raise AssertionError(f"{name}: {what}: neither an answer nor an end")
    assert not got or is_failed(got), f"{name}: {what}: {got[:60].hex()}"


def is_failed(got):
    """Is that frame a Failed?"""
    at = 0
    while at < len(got):
        key, at = number_at(got, at)
        value, at = number_at(got, at)
        if key & 7 == 2:
            if key >> 3 == FAILED:
                return True
            at += value
    return False


def number_at(octets, at):
    value = shift = 0
    while True:
        value |= (octets[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if octets[at - 1] < 0x80:
            return value, at


def descriptors(p):
    """Open descriptors of each process of the pipeline, and where it stands."""
    found = {}
    for pid in [p.up.pid, *p.children()]:
        try:
            found[pid] = len(os.listdir(f"/proc/{pid}/fd"))
        except PermissionError:     # a worker under another uid, and we not root
            continue
    return found


def settled(p):
    """The same, when nothing has changed for a while: an end of a connection takes a moment to be seen."""
    was, now = None, descriptors(p)
    while was != now:
        time.sleep(0.3)
        was, now = now, descriptors(p)
    return now


def resident_kib(pid):
    return next(int(line.split()[1]) for line in open(f"/proc/{pid}/status", encoding="ascii") if line.startswith("VmRSS"))


class Unmoved:
    """While the block runs a central works the pipeline, and at its end nothing has happened: every request answered, same
    processes, no restarts, as many descriptors as before."""

    def __init__(self, p):
        self.p = p

    def __enter__(self):
        p = self.p
        self.hammer = subprocess.Popen(
            [p.bin / "hammer", "counter", "--air", p.air, "--peer", ADDRESS, "--write", "0x101", "--echo", "0x111",
             "--echo-cccd", "0x112"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.hammer.stderr.readline() == "working\n", self.hammer.communicate(timeout=10)
        p.status()
        self.before = settled(p)
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            self.hammer.kill()
            self.hammer.communicate()
            return
        now = settled(self.p)
        assert now == self.before, f"open descriptors by pid, before {self.before}, now {now}"
        rows = self.p.status()["processes"]
        assert [(r["restarts"], r["state"], r["strikes"]) for r in rows] == [(0, "running", 0)] * 3, rows
        self.hammer.send_signal(signal.SIGTERM)
        report = json.loads(self.hammer.communicate(timeout=20)[0])
        assert report["good"] and report["requests"] == report["responses"] > 0, report
        assert len(complaint(self.p.text())) < 200, "a client can flood the log"


GARBAGE = [
    ("nothing", b"\0"), ("ones", b"\xff" * 100), ("text", b"GET / HTTP/1.0\r\n\r\n"), ("zeros", bytes(4096)),
    ("the most", bytes(range(256)) * 256), ("too much", b"\x0a" * (100 * 1024)),
    ("no body", field(1, 1)), ("cut Hello", GREETING[:-1]), ("a length that lies", b"\x12\xff\xff\xff\xff\x0f"),
    ("unknown message", frame(99)), ("Hello of another protocol", frame(HELLO, field(1, "operator") + field(2, 99))),
    ("status before Hello", frame(STATUS)), ("restart before Hello", frame(RESTART, field(1, "hostd"))),
    ("drain before Hello", frame(DRAIN)), ("request before Hello", frame(OPERATOR, field(1, bytes(16)) + field(2, "status"))),
    ("statistics before Hello", frame(STATISTICS)), ("link offer before Hello", frame(LINK_OFFER, field(1, "up") + field(2, 1))),
]


@pytest.mark.parametrize("name", NAMES)
def test_garbage_on_control_sockets(name):
    """Frames that are empty, random, oversized, cut, of another protocol, or that come before their time: the client loses its
    connection, and the pipeline nothing."""
    with Pipeline(DEVICE) as p, Unmoved(p):
        for what, octets in GARBAGE:
            with dial(p, name) as s:
                s.send(octets)
                refused_by(s, name, what)
        with dial(p, name) as s:        # after a Hello it is the same
            s.send(GREETING)
            assert s.recv(65536)
            s.send(b"\xff" * 50)
            refused_by(s, name, "garbage behind a Hello")


@pytest.mark.parametrize("name", NAMES)
def test_descriptors_where_none_belong(name):
    """Descriptors on a frame that has none, more than any frame may have, and on garbage: refused, and all of them closed."""
    with Pipeline(DEVICE) as p, Unmoved(p):
        for octets, count in ((GREETING, 1), (GREETING, 16), (GREETING, 250), (b"\xff", 5), (frame(LINK_OFFER), 2),
                              (frame(ATTACH), 4), (frame(STATUS), 1)):
            with dial(p, name) as s:
                send_fds(s, octets, count)
                refused_by(s, name, f"{octets[:20].hex()} with {count} descriptors")


@pytest.mark.parametrize("name", NAMES)
def test_messages_of_others(name):
    """An operator that sends what only a neighbour, a worker or a supervisor may: told that it is not taken, or dropped."""
    with Pipeline(DEVICE) as p, Unmoved(p):
        for number, fds in ((LINK_OFFER, 2), (ATTACH, 4), (START, 2), (FD_STORED, 0), (HELLO, 0), (99, 0)):
            with dial(p, name) as s:
                s.send(GREETING)
                assert s.recv(65536)
                send_fds(s, frame(number), fds)
                refused_by(s, name, f"message {number} from an operator")


@pytest.mark.parametrize("name", NAMES)
def test_requests_that_are_wrong(name):
    """Operator requests with a short id, an unknown verb, a body that is none or huge: each is answered, and none is done."""
    bad = [field(1, bytes(15)) + field(2, "status"), field(1, bytes(16)) + field(2, "fly"),
           field(1, os.urandom(16)) + field(2, ""),
           field(1, os.urandom(16)) + field(2, "gatt_set") + field(3, b""),
           field(1, os.urandom(16)) + field(2, "gatt_set") + field(3, b"\xff" * 40),
           field(1, os.urandom(16)) + field(2, "gatt_set") + field(3, bytes(20000)),
           field(1, os.urandom(16)) + field(2, "status") + field(3, bytes(20000)),
           field(1, os.urandom(16)) + field(2, "x" * 30000)]
    with Pipeline(DEVICE) as p, Unmoved(p):
        for body in bad:
            with dial(p, name) as s:
                s.send(GREETING)
                assert s.recv(65536)
                s.send(frame(OPERATOR, body))
                s.recv(65536)       # an answer, or the end; never silence


@pytest.mark.parametrize("name", NAMES)
def test_a_client_that_stops_reading(name):
    """A client that asks and never reads loses its link; the supervisor's memory stays as it was; others are served meanwhile."""
    with Pipeline(DEVICE) as p, Unmoved(p):
        pid = p.process(name)["pid"]
        before = resident_kib(pid)
        with dial(p, name) as s:
            s.send(GREETING)
            s.setblocking(False)
            end, dropped = time.monotonic() + 15, False
            while time.monotonic() < end and not dropped:
                try:
                    for _ in range(100):
                        s.send(frame(STATUS))
                except BlockingIOError:
                    assert p.process(name)["state"] == "running"
                    dropped = bool(select.select([s], [], [], 0)[0]) and hung_up(s)
                except (BrokenPipeError, ConnectionResetError):
                    dropped = True
            assert resident_kib(pid) - before < 8192
            assert p.process(name)["pid"] == pid


def hung_up(s):
    poll = select.poll()
    poll.register(s, select.POLLHUP)
    return bool(poll.poll(0))


@pytest.mark.parametrize("name", NAMES)
def test_too_many_clients(name):
    """More clients than there is room for: the first ones stay, the others are refused, and when they have gone there is room
    again; nothing else changes."""
    with Pipeline(DEVICE) as p, Unmoved(p):
        clients = [dial(p, name) for _ in range(90)]
        clients[0].send(GREETING)
        assert clients[0].recv(65536), "the first one was not kept"
        wait_until(lambda: any(hung_up(s) for s in clients), 5)
        for s in clients:
            s.close()
        wait_until(lambda: p.run("status", "--json", check=False).returncode == 0, 5)
        assert p.text().count("too many clients") <= 3


def test_somebody_who_is_not_allowed():
    """A user without the group cannot even connect (mode 0660)."""
    if os.geteuid() != 0:
        for name in NAMES:
            with Pipeline(DEVICE) as p:
                assert os.stat(p.run_dir / f"{name}.sock").st_mode & 0o777 == 0o660
        return
    code = ("import os, socket, sys\nos.setgroups([])\nos.setgid(12345)\nos.setuid(12345)\n"
            "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
            "try:\n    s.connect(sys.argv[1])\nexcept PermissionError:\n    sys.exit(7)\n")
    with Pipeline(DEVICE) as p:
        for name in NAMES:
            path = p.run_dir / f"{name}.sock"
            assert os.stat(path).st_mode & 0o777 == 0o660
            assert subprocess.run(["python3", "-c", code, path], timeout=10).returncode == 7
        assert os.stat(p.run_dir).st_mode & 0o027 == 0


def test_garbage_on_the_air():
    """Host stacks on air.sock that send no H4, packets cut short, endless ones, or stop reading: each loses its own controller,
    and no one else anything."""
    with Pipeline(DEVICE) as p, Unmoved(p):
        for octets in (b"\xff", b"\x00" * 1000, b"GET / HTTP/1.0\r\n\r\n", b"\x01\x03", b"\x01\x03\x0c\xff" + bytes(20),
                       b"\x02\x40\x00\xff\xff" + bytes(1000), b"\x04\x0e\x04\x01\x03\x0c\x00", os.urandom(65536)):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect(p.air)
                try:
                    s.sendall(octets)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(65536):
                        pass
                except (BrokenPipeError, ConnectionResetError):
                    pass
        with socket.socket(socket.AF_UNIX) as s:        # scans everything, and never reads
            s.connect(p.air)
            s.sendall(b"\x01\x03\x0c\x00" + b"\x01\x01\x20\x08" + b"\xff" * 8 + b"\x01\x0b\x20\x07\x00\x10\x00\x10\x00\x00\x00" +
                      b"\x01\x0c\x20\x02\x01\x00")
            time.sleep(1)


def polls(pid):
    """Requests that wait in the io_urings of a process; each holds what it waits for open."""
    rings = [fd for fd in os.listdir(f"/proc/{pid}/fd") if links_to(pid, fd) == "anon_inode:[io_uring]"]
    return sum(Path(f"/proc/{pid}/fdinfo/{fd}").read_text().count("  op=") for fd in rings)


def links_to(pid, fd):
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")
    except FileNotFoundError:
        return None


def test_hosts_that_come_and_go():
    """A thousand hosts connect to the air, send the start of a packet and go: each one's end is seen, whenever it comes, and
    neither a socket nor a request in the kernel stays behind; then two hundred clients of each daemon."""
    with Pipeline(DEVICE) as p, Unmoved(p):
        who = [pid for pid in [p.up.pid, *p.children()] if readable(pid)]
        time.sleep(0.3)
        before = {pid: polls(pid) for pid in who}
        for _ in range(1000):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect(p.air)
                s.sendall(b"\x01\x03\x0c")
                s.shutdown(socket.SHUT_WR)
                assert s.recv(1) == b""
        for name in NAMES * 200:
            with dial(p, name) as s:
                s.send(GREETING)
        wait_until(lambda: all(polls(pid) <= before[pid] + 4 for pid in who), 5)


def readable(pid):
    return os.access(f"/proc/{pid}/fdinfo", os.R_OK | os.X_OK)

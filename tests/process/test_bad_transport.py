"""Transports that cannot be used, and controllers that misbehave: one clear line, exit 1, no crash, nothing left.

Processes, sockets, files and mounts are compared before and after.  What a test proves stands in its docstring.  timeout: 60 s"""
import socket
import struct
import threading
import time

import pytest

from bad_input import FAILED, complaint, nothing_is_left, refused, tmp, traces, up  # noqa: F401
from pipeline import Pipeline, wait_until


# ---- transports --------------------------------------------------------------------------------------------------------

TRANSPORTS = [
    ("pigeon:1", ["pigeon", "expected", "unix:<path>", "tcp-client:<host>:<port>", "sim"]),
    ("", ["expected"]),
    ("unix:", ["unix:", "path", "expected"]),
    ("unix:/nowhere/at/all", ["/nowhere/at/all", "No such file"]),
    ("unix:" + "x" * 200, ["unix:", "200"]),
    ("sim:3", ["sim", "3", "expected"]),
    ("tcp-client:", ["tcp-client:", "expected"]),
    ("tcp-client:127.0.0.1", ["tcp-client:127.0.0.1", "expected"]),
    ("tcp-client:127.0.0.1:", ["tcp-client", "expected"]),
    ("tcp-client:127.0.0.1:port", ["tcp-client", "port", "expected"]),
    ("tcp-client:127.0.0.1:70000", ["tcp-client", "70000", "expected"]),
    ("tcp-client:127.0.0.1:1", ["tcp-client:127.0.0.1:1", "refused"]),
    ("usb:0", ["usb:", "not built in"]),
    ("serial:/dev/null", ["serial:", "not built in"]),
    ("hci-socket:0", ["hci-socket:", "not built in"]),
]


@pytest.mark.parametrize("name, says", TRANSPORTS, ids=[t[0] or "empty" for t in TRANSPORTS])
def test_transport(tmp, name, says):
    """A transport that cannot be parsed, opened, or is not built in: one line that says which part and why, exit 1, at once, and
    nothing is left."""
    before, start = traces(tmp), time.monotonic()
    refused(up(tmp / "run", "--transport", name), *says)
    assert time.monotonic() - start < 10
    wait_until(lambda: traces(tmp) == before, 5)


@pytest.mark.parametrize("name", ["tcp:127.0.0.1:notaport", "pigeon:3", "unix:/nowhere/at/all"])
def test_air(tmp, name):
    """An --air that cannot be opened: one line, exit 1, nothing is left."""
    before = traces(tmp)
    refused(up(tmp / "run", "--air", name), name)
    wait_until(lambda: traces(tmp) == before, 5)


class Controller(threading.Thread):
    """A fake controller on a unix socket: `script(connection)` is what it does."""

    def __init__(self, path, script):
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.listener.settimeout(30)
        self.script = script
        self.start()

    def run(self):
        try:
            connection, _ = self.listener.accept()
            with connection:
                connection.settimeout(30)
                self.script(connection)
        except OSError:
            pass
        finally:
            self.listener.close()


def serve(connection, answer, send=None):
    """Reads commands; answer(opcode) gives the return parameters, or whole octets to send if it is a tuple; None: end.  send(packet)
    sends an answer, if it is to go in another way than all at once."""
    at = b""
    while True:
        while len(at) < 4 or len(at) < 4 + at[3]:
            more = connection.recv(4096)
            if not more:
                return
            at += more
        opcode, at = struct.unpack_from("<H", at, 1)[0], at[4 + at[3]:]
        what = answer(opcode)
        if what is None:
            return
        if isinstance(what, tuple):
            connection.sendall(what[0])
            if what[0][0] > 5:
                connection.recv(4096)
                return
        else:
            (send or connection.sendall)(struct.pack("<BBBBH", 4, 0x0E, 3 + len(what), 1, opcode) + what)


def healthy(opcode):
    """As much of a controller as bring-up needs."""
    return {
        0x1001: b"\0" + struct.pack("<BHBHH", 13, 0, 13, 0xFFFF, 0), 0x1002: b"\0" + b"\xff" * 64,
        0x1003: b"\0" + struct.pack("<Q", 0x0000006000000000), 0x1009: b"\0" + bytes(range(6)),
        0x1005: b"\0" + struct.pack("<HBHH", 251, 0, 8, 0), 0x2002: b"\0" + struct.pack("<HB", 251, 8),
        0x2003: b"\0" + bytes(8), 0x2018: b"\0" + bytes(8), 0x201C: b"\0" + b"\xff" * 8, 0x200F: b"\0\x08",
        0x202F: b"\0" + struct.pack("<HHHH", 251, 2120, 251, 2120), 0x2023: b"\0" + struct.pack("<HH", 27, 328),
        0x2007: b"\0\0", 0x204B: b"\0\0\0", 0x202A: b"\0\x08", 0x203B: b"\0\x01",
    }.get(opcode, b"\0")


def after(count, what):
    """A healthy controller for that many commands, and then something else."""
    seen = [0]

    def answer(opcode):
        seen[0] += 1
        return healthy(opcode) if seen[0] <= count else what
    return lambda connection: serve(connection, answer)


def with_descriptors(connection, packet, at):
    """The octet at that place brings three descriptors along, which nobody asked for."""
    connection.sendall(packet[:at])
    connection.sendmsg([packet[at:at + 1]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("<3i", 0, 0, 0))])
    connection.sendall(packet[at + 1:])


@pytest.mark.parametrize("at", [0, 2, 6])
def test_controller_that_passes_descriptors(tmp, at):
    """Descriptors where none belong, on the controller's socket, with each of its packets: its octets are read to the last all the
    same, the pipeline comes up, ends with exit 0 and leaves nothing."""
    before = traces(tmp)
    Controller(tmp / "hci", lambda c: serve(c, healthy, lambda packet: with_descriptors(c, packet, at)))
    with Pipeline(args=["--transport", f"unix:{tmp / 'hci'}"]) as p:
        assert p.status()["controller"]["address"], p.text()
    (tmp / "hci").unlink()
    wait_until(lambda: traces(tmp) == before, 5)


CONTROLLERS = [
    ("closes at once", lambda c: None, ["controller gone"]),
    ("closes in the middle of bring-up", after(3, None), ["controller gone"]),
    ("a bad type byte at once", lambda c: (c.sendall(b"\x77garbage"), c.recv(1)), ["0x77"]),
    ("a bad type byte behind good packets", after(3, (b"\x09\x0e\x04\x01",)), ["0x09"]),
    ("a command, which is not a controller's to send", after(2, (b"\x01\x03\x0c\x00",)), [""]),
    ("closes in the middle of a packet", lambda c: (c.recv(1), c.sendall(b"\x04\x0e\x40\x01")), ["controller gone"]),
    ("never answers", lambda c: [None for _ in iter(lambda: c.recv(4096), b"")], ["reset"]),
    ("refuses Reset", lambda c: serve(c, lambda o: b"\x0c"), ["Reset"]),
    ("has no LE", lambda c: serve(c, lambda o: b"\0" + bytes(8) if o == 0x1003 else healthy(o)), ["LE"]),
    ("has no buffers", lambda c: serve(c, lambda o: b"\0" + bytes(7) if o in (0x1005, 0x2002) else healthy(o)), ["buffer"]),
]


@pytest.mark.parametrize("script, says", [c[1:] for c in CONTROLLERS], ids=[c[0] for c in CONTROLLERS])
def test_bad_controller(tmp, script, says):
    """A controller that closes, sends what is no H4, or refuses what every host needs: the pipeline says so in a line and ends
    with exit 1; no worker crashes, nothing is left."""
    before = traces(tmp)
    Controller(tmp / "hci", script)
    r = up(tmp / "run", "--transport", f"unix:{tmp / 'hci'}", limit_s=50)
    (tmp / "hci").unlink()
    assert r.returncode == FAILED and r.stdout == "", r
    lines = complaint(r.stderr)
    assert len(lines) == 1, r.stderr
    for what in says:
        assert any(what.lower() in line.lower() for line in lines), f"{what!r}: {r.stderr}"
    assert "signal=11" not in r.stderr and "signal=6" not in r.stderr, r.stderr
    wait_until(lambda: traces(tmp) == before, 5)

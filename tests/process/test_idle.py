"""Nobody wakes up for nothing: an idle pipeline with one connection makes no context switch at all.

The central is a bare HCI host in this process: it connects, and then neither sends nor reads.  timeout: 60 s"""
import os
import socket
import struct
import time
from pathlib import Path

from pipeline import Pipeline, characteristic, wait_until

ADDRESS = "F0:F1:F2:F3:F4:F5"
SECONDS = float(os.environ.get("TREFOIL_IDLE_SECONDS", "10"))
VALUE, INDICATED, CCCD = 0x0102, 0x0111, 0x0112
DEVICE = {
    "name": "Trefoil idle", "address": ADDRESS, "advertising_interval": 20,
    "gatt_services": [{"uuid": "F000", "characteristics": [
        characteristic("F001", "READ,WRITE", handle=VALUE, value="idle", echo="F002"),
        characteristic("F002", "READ,INDICATE", handle=INDICATED)]}],
    "trefoil": {"limits": {"connections": 1}},        # full with one: no advertising while it is there
}


class Central:
    """A bare LE central on a controller of the air.  It has no thread and no timer: silent unless a method is called."""

    def __init__(self, air):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(air)
        self.at = b""
        for opcode, parameters in ((0x0C03, b""), (0x0C01, b"\xff" * 8), (0x2001, b"\x1f" + bytes(7)),
                                   (0x2005, bytes.fromhex("0504030201C0"))):
            self.command(opcode, parameters)
            self.until(lambda p, o=opcode: p[:2] == b"\x04\x0e" and p[4:6] == struct.pack("<H", o))

    def command(self, opcode, parameters):
        self.socket.sendall(struct.pack("<BHB", 1, opcode, len(parameters)) + parameters)

    def packet(self):
        head = {4: (3, lambda p: p[2]), 2: (5, lambda p: struct.unpack_from("<H", p, 3)[0])}
        while True:
            if self.at:
                size, length = head[self.at[0]]
                if len(self.at) >= size and len(self.at) >= size + length(self.at):
                    n = size + length(self.at)
                    one, self.at = self.at[:n], self.at[n:]
                    return one
            more = self.socket.recv(65536)
            assert more, "the controller has gone"
            self.at += more

    def until(self, good):
        while True:
            p = self.packet()
            if good(p):
                return p

    def connect(self, address):
        peer = bytes.fromhex(address.replace(":", ""))[::-1]
        self.command(0x200D, struct.pack("<HHBB6sBHHHHHH", 96, 96, 0, 1, peer, 1, 24, 24, 0, 500, 0, 0))
        p = self.until(lambda p: p[:2] == b"\x04\x3e" and p[3] == 1)
        assert p[4] == 0, f"connection failed: {p.hex()}"
        self.handle = struct.unpack_from("<H", p, 5)[0] & 0xFFF

    def send(self, pdu):
        frame = struct.pack("<HH", len(pdu), 4) + pdu
        self.socket.sendall(struct.pack("<BHH", 2, self.handle, len(frame)) + frame)

    def heard(self):
        return self.until(lambda p: p[0] == 2)[9:]

    def att(self, pdu):
        """Sends a PDU and returns the next one that comes."""
        self.send(pdu)
        return self.heard()

    def indicated(self):
        """Subscribes, writes, and confirms what it is told of that."""
        assert self.att(struct.pack("<BHH", 0x12, CCCD, 2)) == b"\x13"
        assert self.att(struct.pack("<BH", 0x12, VALUE) + b"idle") == b"\x13"
        assert self.heard() == struct.pack("<BH", 0x1D, INDICATED) + b"idle"
        self.send(b"\x1e")

    def disconnect(self):
        self.command(0x0406, struct.pack("<HB", self.handle, 0x13))
        self.until(lambda p: p[:2] == b"\x04\x05")


def programs(p):
    """All processes of the pipeline, by pid: `up` and everything below it."""
    return {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in [p.up.pid, *p.children()]}


def switches(pid):
    """Context switches of all threads of a process, given up and taken away."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if "ctxt_switches" in line:
                total += int(line.split()[1])
    return total


def quiet_since(pids, seconds):
    """Nobody has switched for that long."""
    was = {pid: switches(pid) for pid in pids}
    time.sleep(seconds)
    return was == {pid: switches(pid) for pid in pids}


def test_idle_makes_no_context_switch():
    """With one connection and nothing to do, no worker, no supervisor, neither `up` nor airsim is scheduled in 10 s; then one
    packet makes the counters of the three workers and of airsim move, and those of the supervisors and `up` not.  An indication
    that was confirmed and a central that was there before leave no timer behind."""
    with Pipeline(DEVICE) as p:
        other, central = Central(p.air), Central(p.air)
        other.connect(ADDRESS)
        other.indicated()
        other.disconnect()
        central.connect(ADDRESS)
        central.indicated()
        assert central.att(struct.pack("<BH", 0x0A, VALUE)) == b"\x0bidle"
        who = programs(p)
        assert sorted(who.values()) == sorted(["trefoil", "airsim", *2 * ["transportd"], *2 * ["hostd"], *2 * ["gattd"]]), who
        rows = p.status()["processes"]
        workers = {r["worker_pid"] for r in rows}
        wait_until(lambda: quiet_since(who, 1.2), 20)     # a timer of a second, left behind by what was before, is in here

        before = {pid: switches(pid) for pid in who}
        time.sleep(SECONDS)
        after = {pid: switches(pid) for pid in who}
        moved = {f"{who[pid]} {pid}": after[pid] - before[pid] for pid in who if after[pid] != before[pid]}
        assert not moved, f"context switches in {SECONDS} s of doing nothing: {moved}"

        assert central.att(struct.pack("<BH", 0x0A, VALUE)) == b"\x0bidle"
        wait_until(lambda: quiet_since(who, 0.3), 10)
        woken = {pid for pid in who if switches(pid) != after[pid]}
        airsim = {pid for pid, name in who.items() if name == "airsim"}
        assert woken == workers | airsim, [f"{who[pid]} {pid}" for pid in woken ^ (workers | airsim)]
        central.socket.close()
        other.socket.close()


def test_idle_without_a_connection():
    """The same while nothing but advertising is on: no worker and no supervisor is scheduled, only airsim, which is the air."""
    with Pipeline(DEVICE) as p:
        who = {pid: name for pid, name in programs(p).items() if name != "airsim"}
        p.status()
        wait_until(lambda: quiet_since(who, 0.5), 20)
        before = {pid: switches(pid) for pid in who}
        time.sleep(SECONDS / 4)
        moved = {f"{who[pid]} {pid}": switches(pid) - before[pid] for pid in who if switches(pid) != before[pid]}
        assert not moved, f"context switches in {SECONDS / 4} s of doing nothing: {moved}"

"""The programs of `make bench` run, count right, and notice what is wrong.  No time is judged.  timeout: 60 s"""
import json
import socket
import struct
import subprocess
import sys

import pytest

from pipeline import BIN, NAMES, ROOT

sys.path.insert(0, str(ROOT / "bench"))
from far import Far  # noqa: E402
from part_restart import Watch, kill  # noqa: E402


def hammer(*words):
    r = subprocess.run([str(BIN / "hammer"), *map(str, words)], capture_output=True, text=True, timeout=30)
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


@pytest.mark.parametrize("medium", ["ring", "ck_ring", "pipe", "seqpacket", "futex", "relay", "relay-step", "step"])
def test_medium_carries_every_message(medium):
    """Each medium carries numbered messages from one process to the other, and back where it has round trips."""
    r = hammer("ring", medium, "--messages", 3000, "--size", 256)
    assert r["absent"] or r["per_second"][0] > 0
    assert not r["absent"] or medium == "ck_ring", "only ck_ring may not be there"
    if medium not in ("relay", "relay-step", "step") and not r["absent"]:
        assert hammer("ring", medium, "--messages", 300, "--trip", *(["--sleep"] if medium == "ring" else []))["trip_ns"]["p50"] > 0


def test_chain():
    for more in ([], ["--loop"]):
        assert len(hammer("chain", "--trips", 20, "--pause-us", 100, *more)["trips_ns"]) == 20


def test_loads_count_what_went_through():
    """What the far side sent and heard is what each worker says that it took; also over the kill of each worker."""
    with Far(8) as far:
        before = {n: far.counters(n) for n in NAMES}
        runs = [far.load("write", seconds=0.2, warm=0), far.load("write", connections=8, window=24, every=16, seconds=0.2, warm=0),
                far.load("notify", connections=8, seconds=0.2, warm=0), far.load("read", trips=10, pause_us=100)]
        after = {n: far.counters(n) for n in NAMES}
        sent, came = sum(r["acl_to_host"] for r in runs), sum(r["acl_from_host"] for r in runs)
        for name, into, out in (("transportd", "in_acl_packets", "out_acl_packets"), ("hostd", "pdus_in", "pdus_out"),
                                ("gattd", "pdus_in", "pdus_out")):
            moved = {k: after[name][k] - before[name][k] for k in (into, out)}
            assert moved == {into: sent, out: came}, (name, moved, sent, came)
        assert runs[2]["notifications"] > 0 and len(runs[3]["trips_ns"]) == 10
        far.say("notify connections=8 seconds=2 warm=0 pids=")
        for name in NAMES:
            assert kill(far, name, Watch(far, name))["all_us"] > 0
        assert far.answer()["good"]


class BadHost:
    """Plays a hostd for the far side: lets one connection come about, then says what it is told to say."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(path)
        self.socket.sendall(bytes.fromhex("010A200101"))          # LE Set Advertising Enable
        assert self.until(0x04)[1] == 0x0E
        assert self.until(0x04)[3] in (0x01, 0x0A)                 # LE Connection Complete
        assert self.until(0x02)[9] == 0x02                         # Exchange MTU Request
        self.att(bytes.fromhex("03F700"))
        assert self.until(0x02)[9] == 0x12                         # the CCCD
        self.att(b"\x13")
        assert self.until(0x02)[9] == 0x52                         # the load has begun: Write Command

    def until(self, kind):
        while True:
            head = self.socket.recv(3, socket.MSG_WAITALL)
            assert len(head) == 3
            more = head[2] if head[0] == 0x04 else 2
            packet = head + self.socket.recv(more, socket.MSG_WAITALL)
            if head[0] == 0x02:
                packet += self.socket.recv(struct.unpack_from("<H", packet, 3)[0], socket.MSG_WAITALL)
            if head[0] == kind and packet[:2] != b"\x04\x13":
                return packet

    def att(self, pdu):
        self.socket.sendall(struct.pack("<BHHHH", 2, 0x40, len(pdu) + 4, len(pdu), 4) + pdu)

    def notify(self, number):
        self.att(struct.pack("<BHI", 0x1B, 0x121, number) + bytes(239) + bytes([number & 255]))


WRONGS = {
    "lost": ([1, 3], "number 3 after 1"),
    "doubled": ([1, 2, 2], "number 2 after 2"),
    "too many": ([1, 2, 3], "3 packets outstanding, 2 buffers"),
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_far_side_notices(wrong, tmp_path):
    """A notification lost or doubled, and more packets than the controller has buffers, end the run as bad."""
    numbers, why = WRONGS[wrong]
    path = str(tmp_path / "hci.sock")
    far = subprocess.Popen([str(BIN / "hammer"), "far", "--listen", path, "--buffers", "2" if wrong == "too many" else "200"],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert far.stdout.readline() == "listening\n"
    far.stdin.write(f"notify connections=1 warm=0 seconds=5{' stalled=0' if wrong == 'too many' else ''}\n")
    far.stdin.flush()
    host = BadHost(path)
    for n in numbers:
        host.notify(n)
    report = json.loads(far.stdout.readline())
    assert not report["good"] and why in report["why"], report
    assert far.wait(10) == 1
    far.stdin.close()
    host.socket.close()


def test_run_says_its_parts():
    r = subprocess.run([str(ROOT / "bench" / "run"), "nothing"], capture_output=True, text=True)
    assert r.returncode == 2 and "no part nothing" in r.stderr

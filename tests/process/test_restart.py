"""`trefoil restart`, `trefoil status` and the capture file.  What a test proves stands in its docstring.  timeout: 90 s"""
import json
import os
import re
import signal
import struct
import subprocess
import time

import pytest

from pipeline import BIN, NAMES, Pipeline, characteristic, wait_until, zombie

ADDRESS = "F0:F1:F2:F3:F4:F5"
DEVICE = {
    "name": "Trefoil restart", "address": ADDRESS, "advertising_interval": 20,
    "gatt_services": [{"uuid": "F000", "characteristics": [
        characteristic("F001", "READ,WRITE,WRITE_WITHOUT_RESPONSE", handle=0x101, echo="F002", max_length=244),
        characteristic("F002", "READ,NOTIFY", handle=0x111, max_length=244),
    ]}],
    "trefoil": {"limits": {"connections": 4}},
}


class Hammer:
    """bench/hammer on the pipeline's air: a central that judges each octet at its own controller."""

    def __init__(self, p, mode="counter"):
        words = [str(p.bin / "hammer"), mode, "--air", p.air, "--peer", ADDRESS, "--write", "0x101", "--echo", "0x111",
                 "--echo-cccd", "0x112"]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        assert line == "working\n", (line, self.process.communicate(timeout=20))

    def finish(self):
        self.process.send_signal(signal.SIGTERM)
        report = json.loads(self.process.communicate(timeout=20)[0])
        assert report["good"] and self.process.returncode == 0, report
        return report

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.mark.parametrize("name", NAMES)
def test_restart_under_load(name):
    """`trefoil restart NAME` replaces that worker, and only that, ten times while a central writes, reads and listens as fast as
    it can: nothing is lost, doubled or out of order; the command returns when the new worker runs; `status` counts it."""
    with Pipeline(DEVICE) as p, Hammer(p) as load:
        before = {r["name"]: r for r in p.status()["processes"]}
        workers = {before[name]["worker_pid"]}
        for n in range(10):
            assert p.run("restart", name).stdout == f"{name} restarted\n"
            row = p.process(name)
            assert row["state"] == "running" and row["restarts"] == n + 1 and row["worker_pid"] not in workers
            workers.add(row["worker_pid"])
            time.sleep(0.02)
        after = {r["name"]: r for r in p.status()["processes"]}
        assert all(after[n]["pid"] == before[n]["pid"] for n in NAMES)
        assert all(after[n]["worker_pid"] == before[n]["worker_pid"] and after[n]["restarts"] == 0 for n in NAMES if n != name)
        connections = p.status()["connections"]
        report = load.finish()
        assert len(connections) == 1
        assert report["requests"] == report["responses"] > 100 and report["echo"]["notifications"] > 50
        assert json.loads(p.run("restart", name, "--json").stdout) == {"restarted": name}


def test_restart_all_in_a_flood():
    """All three in turn, while write commands and notifications fill every ring: each value comes once, in order."""
    with Pipeline(DEVICE) as p, Hammer(p, "flood") as load:
        for _ in range(4):
            for name in NAMES:
                p.run("restart", name)
        report = load.finish()
        assert report["echo"]["notifications"] == report["requests"] > 100
        assert [r["restarts"] for r in p.status()["processes"]] == [4, 4, 4]


def test_restarts_that_come_together():
    """Several ask at the same moment, of one daemon and of all: each is either done or told that one is under way, no command
    fails otherwise, and service goes on."""
    with Pipeline(DEVICE) as p, Hammer(p) as load:
        jobs = [subprocess.Popen(p.command("restart", n), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                for n in NAMES * 3]
        for job in jobs:
            _, err = job.communicate(timeout=20)
            assert job.returncode == 0 or (job.returncode == 1 and "under way" in err), err
        for name in NAMES:
            wait_until(lambda n=name: p.process(n)["state"] == "running")
            assert 1 <= p.process(name)["restarts"] <= 3
        load.finish()


def test_cold_between_two_lives():
    """A cold start that is asked for while no worker is there, but the next one waits for its turn, is a cold start: new links."""
    def link():
        return next(k["generation"] for k in p.status()["links"] if k["name"] == "hostd-gattd")

    with Pipeline(DEVICE) as p:
        before, waits = link(), False
        while not waits:                # each death makes the wait for the next life longer: 250 ms at last
            row = wait_until(lambda: [r for r in p.status()["processes"] if r["name"] == "gattd" and r["state"] == "running"])[0]
            os.kill(row["worker_pid"], signal.SIGTERM)
            waits = p.text().count("gattd: info worker ended") > 4
        p.run("restart", "--cold", "gattd")
        assert link() > before, p.text()
        Hammer(p).finish()


@pytest.mark.parametrize("name", NAMES)
def test_a_daemon_that_does_not_stay(tmp_path, name):
    """A supervisor that dies each time it is started is not started for ever: `up` says which one in a line, exit 1, within
    seconds, and nothing is left: no process, no file."""
    for program in BIN.iterdir():
        (tmp_path / program.name).write_bytes(program.read_bytes())
        (tmp_path / program.name).chmod(0o755)
    (tmp_path / name).write_text("#!/bin/sh\nkill -SEGV $$\n")
    p = Pipeline(DEVICE, bin_dir=tmp_path, expect_ready=False).start()
    try:
        below, start = set(), time.monotonic()
        while p.up.poll() is None and time.monotonic() - start < 20:
            below.update(p.children())
            time.sleep(0.02)
        assert p.up.wait(1) == 1, p.text()
        errors = [line for line in p.text().splitlines() if " error " in line]
        assert len(errors) == 1 and errors[0].startswith("up: error") and name in errors[0], errors
        assert not p.run_dir.exists()
        wait_until(lambda: all(zombie(pid) for pid in below), 5)
    finally:
        if p.up.poll() is None:
            p.up.kill()
            p.up.wait()


def test_status_json():
    """`trefoil status --json` has what CONTRACT.md promises, of the right kinds, and its numbers are true: pids exist and are who
    they should be, links and connections are counted."""
    with Pipeline(DEVICE) as p:
        s = p.status()
        assert s["connections"] == []
        for row, name in zip(s["processes"], NAMES, strict=True):
            assert row["name"] == name and row["state"] == "running" and row["restarts"] == 0
            assert 0 <= row["uptime_ms"] < 60_000
            for pid in (row["pid"], row["worker_pid"]):
                assert open(f"/proc/{pid}/comm", encoding="ascii").read().strip() == name
            assert f"PPid:\t{row['pid']}\n" in open(f"/proc/{row['worker_pid']}/status", encoding="ascii").read()
        c = s["controller"]
        assert re.fullmatch(r"([0-9A-F]{2}:){5}[0-9A-F]{2}/P", c["address"])
        assert isinstance(c["manufacturer"], int) and isinstance(c["version"], int) and c["version"] > 5
        assert len({link["name"] for link in s["links"]}) == len(s["links"]) >= 2
        for link in s["links"]:
            assert link["state"] == "up" and link["generation"] >= 1 and link["records"] >= 0 and link["fill"] >= 0
        assert isinstance(s["isolation"], str) and s["isolation"]
        uids = {os.stat(f"/proc/{r['worker_pid']}").st_uid for r in s["processes"]}
        assert len(uids) == 3 if os.geteuid() == 0 else "one uid" in s["isolation"]
        with Hammer(p) as load:
            s = p.status()
            row, = s["connections"]
            assert 0 <= row["handle"] <= 0x0EFF and row["transport"] == "le" and row["role"] == "peripheral"
            assert row["encrypted"] is False and row["mtu"] == 247
            assert re.fullmatch(r"([0-9A-F]{2}:){5}[0-9A-F]{2}(/P)?", row["peer"])
            more = p.status()
            for a, b in zip(s["links"], more["links"], strict=True):
                assert a["name"] == b["name"] and a["generation"] == b["generation"] and b["records"] > a["records"]
            load.finish()
        wait_until(lambda: p.status()["connections"] == [])


def test_status_text():
    """Without --json a person reads the same: a line for each daemon, the controller, the links, the isolation and each
    connection."""
    with Pipeline(DEVICE) as p, Hammer(p) as load:
        text, s = p.run("status").stdout, p.status()
        lines = text.splitlines()
        for row in s["processes"]:
            line = next(line for line in lines if line.startswith(row["name"]))
            assert "running" in line and str(row["pid"]) in line and str(row["worker_pid"]) in line
        assert any(line.startswith("controller") and s["controller"]["address"] in line for line in lines)
        assert sum(line.startswith("link") for line in lines) == len(s["links"])
        assert any(line.startswith("isolation") and s["isolation"] in line for line in lines)
        assert any(line.startswith("connection") and "peripheral" in line and "MTU 247" in line for line in lines)
        load.finish()


# ---- capture -----------------------------------------------------------------------------------------------------------

def read_btsnoop(data):
    """Records of a btsnoop file: (flags, time in us since the year 0, packet with its H4 type).  Asserts its form."""
    assert data[:8] == b"btsnoop\0" and struct.unpack(">II", data[8:16]) == (1, 1002), data[:16]
    at, records = 16, []
    while at < len(data):
        assert len(data) - at >= 24, f"cut record head at {at}"
        original, included, flags, drops, when = struct.unpack_from(">IIIIQ", data, at)
        assert original == included <= 65541 and drops == 0, f"record at {at}"
        packet = data[at + 24:at + 24 + included]
        assert len(packet) == included, f"cut record at {at}"
        records.append((flags, when, packet))
        at += 24 + included
    return records


def whole(packet):
    """Has the packet the length that its own head says?"""
    kinds = {1: (4, 3, "<B"), 2: (5, 3, "<H"), 4: (3, 2, "<B")}
    head, at, form = kinds[packet[0]]
    return len(packet) == head + struct.unpack_from(form, packet, at)[0]


def test_capture(tmp_path):
    """`trefoil up --btsnoop FILE` writes what crossed the controller's socket, both ways, as records that are whole, in order of
    time, with the right direction and kind; and goes on in the same file over restarts of transportd: every write and every
    notification of the load is in it, once."""
    path = tmp_path / "capture.btsnoop"
    with Pipeline(DEVICE, args=["--btsnoop", str(path)]) as p:
        with Hammer(p) as load:
            for _ in range(3):
                p.run("restart", "transportd")
            report = load.finish()
        wait_until(lambda: p.status()["connections"] == [])
    records = read_btsnoop(path.read_bytes())
    assert records[0][2] == b"\x01\x03\x0c\x00" and sum(r[2] == b"\x01\x03\x0c\x00" for r in records) == 1
    times = [r[1] for r in records]
    assert times == sorted(times)
    assert abs(times[-1] - 0x00DCDDB30F2F8000 - time.time() * 1e6) < 120e6
    for flags, _, packet in records:
        assert packet[0] in (1, 2, 4) and whole(packet), packet.hex()
        assert flags & 1 == {1: 0, 4: 1}.get(packet[0], flags & 1)
        assert bool(flags & 2) == (packet[0] != 2)
    att = [(f & 1, p[9:]) for f, _, p in records if p[0] == 2 and p[7:9] == b"\x04\x00"]
    writes = [pdu[3:] for received, pdu in att if received and pdu[:3] == b"\x12\x01\x01"]
    told = [pdu[3:] for received, pdu in att if not received and pdu[:3] == b"\x1b\x11\x01"]
    assert len(writes) == len(told) == report["echo"]["notifications"] > 0
    assert writes == told == [struct.pack("<I", n + 1) for n in range(len(writes))]
    assert os.stat(path).st_mode & 0o077 == 0, "a capture has everything in it: its owner's only"

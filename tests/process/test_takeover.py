"""A worker of a new binary takes over a running arena, under load; or it does not, and the old one runs on.

The binaries lie in a folder of their own, so that one can be replaced as an installation would do it: a new file, renamed over
the old one.  `migrating` and `foreign` are test builds with one more field in their state, with and without a migration from
the plain one (shm/test_layout.h).  timeout: 240 s"""
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from pipeline import BIN, NAMES, ROOT, Pipeline, characteristic, wait_until

ADDRESS = "F0:F1:F2:F3:F4:F5"
DEVICE = {
    "name": "Trefoil takeover", "address": ADDRESS, "advertising_interval": 20,
    "gatt_services": [{"uuid": "F000", "characteristics": [
        characteristic("F001", "READ,WRITE,WRITE_WITHOUT_RESPONSE", handle=0x101, echo="F002", max_length=244),
        characteristic("F002", "READ,NOTIFY", handle=0x111, max_length=244),
        characteristic("F003", "READ,WRITE,WRITE_WITHOUT_RESPONSE", handle=0x121, echo="F004", max_length=244),
        characteristic("F004", "READ,NOTIFY", handle=0x131, max_length=244),
        characteristic("F005", "READ,WRITE,WRITE_WITHOUT_RESPONSE", handle=0x141, echo="F006", max_length=244),
        characteristic("F006", "READ,NOTIFY", handle=0x151, max_length=244),
    ]}],
    "trefoil": {"limits": {"connections": 4}},
}
VERSION = {"transportd": 1, "hostd": 2, "gattd": 2}             # of a plain build
MORE = {"plain": 0, "migrating": 100, "foreign": 200}
CONNECTION_TIMEOUT, REMOTE_USER_TERMINATED, REMOTE_POWER_OFF = 0x08, 0x13, 0x15      # Core 5.4, Vol 1, Part F, 1.3
STOPS = {"asked": 1, "before the copy": 2, "in the copy": 3, "copied": 4, "told": 5, "switched": 6}


def build(kind):
    folder = BIN if kind == "plain" else ROOT / "build" / kind / "bin"
    if not (folder / "gattd").exists():
        pytest.fail(f"{folder} is not built: make MODE={kind}")
    return folder


def install(folder, name, kind):
    """Another file in the place of that binary; of the plain build, too, it is another one: a rebuild of the same layout."""
    new = folder / f".{name}.new"
    shutil.copy2(build(kind) / name, new)
    with open(new, "ab") as f:
        f.write(os.urandom(16))
    new.rename(folder / name)


class Load:
    """Three centrals: two that count and read back, one that floods."""

    def __init__(self, p):
        self.pipeline, self.hammers = p, []
        for mode, write, echo in (("counter", 0x101, 0x111), ("counter", 0x121, 0x131), ("flood", 0x141, 0x151)):
            words = [str(BIN / "hammer"), mode, "--air", p.air, "--peer", ADDRESS, "--write", hex(write), "--echo", hex(echo),
                     "--echo-cccd", hex(echo + 1)]
            self.hammers.append(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
            line = self.hammers[-1].stderr.readline()
            assert line == "working\n", (line, self.hammers[-1].communicate(timeout=20))

    def records(self):
        return min(link["records"] for link in self.pipeline.status()["links"])

    def finish(self):
        start = self.records()
        wait_until(lambda: self.records() > start + 500, 30)    # it goes on, on each link
        for h in self.hammers:
            h.send_signal(signal.SIGTERM)
        for h in self.hammers:
            report = json.loads(h.communicate(timeout=30)[0])
            assert report["good"] and h.returncode == 0, report
            assert report["echo"]["lost"] == report["echo"]["doubled"] == 0, report
            assert report["requests"] > 0, report

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for h in self.hammers:
            if h.poll() is None:
                h.kill()
                h.wait()


@pytest.fixture(name="folder")
def fixture_folder(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in BIN.iterdir():
        if program.is_file() and os.access(program, os.X_OK):
            shutil.copy2(program, folder / program.name)
    return folder


def runs(p, name):
    """The file that the worker of that daemon executes."""
    return Path(f"/proc/{p.process(name)['worker_pid']}/exe").stat().st_ino


def check_row(p, name, taken, refused):
    row = p.process(name)
    assert (row["takeovers"], row["takeovers_refused"], row["state"]) == (taken, refused, "running"), row
    assert row["strikes"] == row["quarantined"] == 0, row


@pytest.mark.parametrize("name", NAMES)
def test_takeover_under_load(folder, name):
    """The same layout from another file: goes on in the same arena.  Another layout with a migration: goes on in a new one.
    A layout that nothing describes, and the way back: refused with a line that says why, and the old worker, the same
    process, works on.  Nothing is lost, doubled or out of order; no connection ends; the neighbours' workers stay."""
    with Pipeline(DEVICE, bin_dir=folder) as p, Load(p) as load:
        others = {r["name"]: r["worker_pid"] for r in p.status()["processes"] if r["name"] != name}
        for taken, kind in ((1, "plain"), (2, "migrating"), (3, "migrating")):
            install(folder, name, kind)
            assert p.run("restart", name).stdout == f"{name} restarted\n"
            assert runs(p, name) == (folder / name).stat().st_ino
            check_row(p, name, taken, 0)
            assert f"version={VERSION[name] + MORE[kind]} arena={'migrated' if taken == 2 else chr(34) + 'as it was' + chr(34)}" in p.text()
            time.sleep(0.1)
        worker, file = p.process(name)["worker_pid"], runs(p, name)
        for refused, kind in ((1, "foreign"), (2, "plain")):
            install(folder, name, kind)
            r = p.run("restart", name, check=False)
            assert r.returncode == 1 and r.stderr.count("\n") == 1, r
            assert f"layout version {VERSION[name] + MORE[kind]} (" in r.stderr, r
            assert f"no migration from version {VERSION[name] + 100} is registered" in r.stderr, r
            assert p.process(name)["worker_pid"] == worker and runs(p, name) == file
            check_row(p, name, 3, refused)
            time.sleep(0.1)
        assert len(p.status()["connections"]) == 3
        load.finish()
        assert p.process(name)["restarts"] == 3
        assert all(p.process(n)["worker_pid"] == pid and p.process(n)["restarts"] == 0 for n, pid in others.items())


@pytest.mark.parametrize("name", NAMES)
def test_a_crash_changes_no_binary(folder, name):
    """The file is replaced, and nobody has asked for a restart: a worker that is killed, and a supervisor that is killed, come
    back with the binary that ran, in its arena; also after a takeover, where the supervisor's new life is of yet another file."""
    with Pipeline(DEVICE, bin_dir=folder) as p, Load(p) as load:
        before = runs(p, name)
        install(folder, name, "migrating")
        for round_ in range(2):
            os.kill(p.process(name)["worker_pid"], signal.SIGKILL)
            wait_until(lambda n=round_: p.process(name)["restarts"] == n + 1 and p.process(name)["state"] == "running")
            assert runs(p, name) == before
        p.run("restart", name)
        taken = runs(p, name)
        assert taken == (folder / name).stat().st_ino
        install(folder, name, "plain")
        old = p.process(name)["pid"]
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: p.back(name, old))
        assert runs(p, name) == taken
        assert Path(f"/proc/{p.process(name)['pid']}/exe").stat().st_ino == (folder / name).stat().st_ino
        os.kill(p.process(name)["worker_pid"], signal.SIGKILL)
        wait_until(lambda: p.process(name)["state"] == "running" and p.process(name)["worker_pid"])
        assert runs(p, name) == taken
        check_row(p, name, 1, 0)
        load.finish()


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("name", NAMES)
def test_killed_in_the_takeover(folder, name, stop):
    """The new worker is killed at one place of its takeover: it is begun again, twice, or the arena has been switched and the
    next one goes on in it.  Killed a third time before that, the old binary is back in the old arena."""
    before_switch = stop not in ("told", "switched")
    with Pipeline(DEVICE, bin_dir=folder, env={"TREFOIL_TAKEOVER_STOP": str(STOPS[stop])}) as p, Load(p) as load:
        old = runs(p, name)
        install(folder, name, "migrating")
        job = subprocess.Popen(p.command("restart", name), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        kills = 3 if before_switch and stop != "asked" else 1
        for _ in range(kills):
            os.kill(wait_until(p.stopped), signal.SIGKILL)
        _, err = job.communicate(timeout=20)
        if stop in ("told", "switched", "asked"):
            assert job.returncode == 0, err
            assert runs(p, name) == (folder / name).stat().st_ino
            check_row(p, name, 1, 0)
        else:
            assert job.returncode == 1 and "did not come up in 3 starts" in err, err
            wait_until(lambda: p.process(name)["state"] == "running")       # the answer does not wait for that
            assert runs(p, name) == old
            check_row(p, name, 0, 1)
        load.finish()


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("name", NAMES)
def test_its_supervisor_is_killed_in_the_takeover(folder, name, stop):
    """The supervisor is killed while the new worker stands at one place of its takeover, and comes back as the new binary,
    or, every other time, as the old one, which lies in its place again: one store in the ledger decided, whoever looks at
    it.  Up to the copy that is made whole the old worker's binary is back, in the old arena; behind the switch it is the
    new one, in the new arena, and there is no way back but a migration."""
    taken = stop in ("told", "switched")
    with Pipeline(DEVICE, bin_dir=folder, env={"TREFOIL_TAKEOVER_STOP": str(STOPS[stop])}) as p, Load(p) as load:
        old, supervisor = runs(p, name), p.process(name)["pid"]
        install(folder, name, "migrating")
        new = (folder / name).stat().st_ino
        job = subprocess.Popen(p.command("restart", name), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(p.stopped)
        if taken:
            wait_until(lambda: "a new binary has taken over" in p.text())
        if STOPS[stop] % 2:
            install(folder, name, "plain")
        os.kill(supervisor, signal.SIGKILL)
        job.communicate(timeout=20)
        assert job.returncode
        wait_until(lambda: p.back(name, supervisor))
        assert runs(p, name) == (new if taken else old)
        check_row(p, name, taken, 0)
        os.kill(p.process(name)["worker_pid"], signal.SIGKILL)
        wait_until(lambda: p.process(name)["state"] == "running" and p.process(name)["restarts"] >= 2)
        assert runs(p, name) == (new if taken else old)
        install(folder, name, "plain")
        r = p.run("restart", name, check=False)
        assert (r.returncode, "no migration from version" in r.stderr) == ((1, True) if taken else (0, False)), r
        load.finish()


@pytest.mark.parametrize("name", NAMES)
def test_another_protocol(folder, name):
    """A binary that speaks to its supervisor otherwise is refused.  When the supervisor itself has come back as that build, the
    worker's old binary cannot be started any more: then its own takes over, warm."""
    with Pipeline(DEVICE, bin_dir=folder) as p, Load(p) as load:
        install(folder, name, "stranger")
        worker, supervisor = p.process(name)["worker_pid"], p.process(name)["pid"]
        r = p.run("restart", name, check=False)
        assert r.returncode == 1 and "speaks to supervisors otherwise" in r.stderr
        assert p.process(name)["worker_pid"] == worker
        os.kill(supervisor, signal.SIGKILL)
        wait_until(lambda: p.back(name, supervisor))
        assert runs(p, name) == (folder / name).stat().st_ino
        check_row(p, name, 1, 1)
        load.finish()


def test_what_is_no_worker(folder):
    """In the binary's place lies nothing, a file that cannot be executed, a script, a program that is not ours, another daemon:
    each is one clear line and exit 1, and the worker is not touched."""
    with Pipeline(DEVICE, bin_dir=folder) as p, Load(p) as load:
        worker, path = p.process("gattd")["worker_pid"], folder / "gattd"
        wrong = {"nothing": None, "text": b"hello", "script": b"#!/bin/sh\nexit 0\n", "program": Path("/bin/true").read_bytes(),
                 "daemon": (folder / "hostd").read_bytes()}
        for n, (kind, octets) in enumerate(wrong.items(), 1):
            path.unlink(missing_ok=True)
            if octets is not None:
                path.write_bytes(octets)
                path.chmod(0o755)
            r = p.run("restart", "gattd", check=False)
            assert r.returncode == 1 and r.stderr.count("\n") == 1 and "worker of before goes on" in r.stderr, (kind, r)
            assert p.process("gattd")["worker_pid"] == worker
            check_row(p, "gattd", 0, n)
        load.finish()


@pytest.mark.parametrize("name", NAMES)
def test_cold(folder, name):
    """`restart --cold` starts a binary whose layout nothing knows.  With hostd and gattd the peers are told: Disconnect;
    with transportd the controller itself goes, and they find out by their supervision timeout.  New connections work."""
    with Pipeline(DEVICE, bin_dir=folder) as p:
        with Load(p) as load:
            install(folder, name, "foreign")
            assert p.run("restart", "--cold", name).stdout == f"{name} restarted\n"
            reasons = [json.loads(h.communicate(timeout=20)[0])["disconnect_reason"] for h in load.hammers]
            expected = {CONNECTION_TIMEOUT} if name == "transportd" else {REMOTE_USER_TERMINATED, REMOTE_POWER_OFF}
            assert set(reasons) <= expected, reasons
        assert runs(p, name) == (folder / name).stat().st_ino
        wait_until(lambda: all(r["state"] == "running" for r in p.status()["processes"]))
        check_row(p, name, 0, 0)
        with Load(p) as load:
            time.sleep(0.2)
            load.finish()

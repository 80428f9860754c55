"""Recordings and quarantine files behind a takeover: they are those of the new binary, whichever the supervisor is.

The daemons are builds with planted mistakes (base/planted.h) in a folder of their own, so that a binary can be replaced; the new
one has another layout, with a migration from the old one (shm/test_layout.h).  timeout: 180 s"""
import os
import re
import shutil
import signal
import struct
import subprocess
import time

import pytest

from bare_central import BareCentral
from pipeline import ROOT, Pipeline, wait_until
from poison import ADDRESS, PLAIN, PLANTED, Load, device, replay

MIGRATING, FOREIGN, NEW = (ROOT / "build" / kind / "bin" for kind in ("migrating", "foreign", "planted-migrating"))
POISON = {name: f"P!{name[0]}I".encode() + bytes(8) for name in ("gattd", "hostd")}
LAST = "the same at each step, and the last state whole"


@pytest.fixture(name="folder")
def fixture_folder(tmp_path):
    for built in (PLANTED, MIGRATING, FOREIGN, NEW):
        assert (built / "gattd").exists(), f"{built} is not built: make MODE={built.parent.name}"
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in PLANTED.iterdir():
        if program.is_file() and os.access(program, os.X_OK):
            shutil.copy2(program, folder / program.name)
    return folder


def install(folder, name, built):
    new = folder / f".{name}.new"
    shutil.copy2(built / name, new)
    new.rename(folder / name)


def version(path):
    """Of the layout that a recording or a quarantine file is made for: struct recording_head."""
    return struct.unpack_from("<I", path.read_bytes(), 32)[0]


def kill_supervisor(p, name):
    old = p.process(name)["pid"]
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: p.back(name, old))


def read_back(c):
    assert c.ask(bytes([0x0A, PLAIN & 0xFF, PLAIN >> 8]))[0] == 0x0B


@pytest.mark.parametrize("supervisor", ["goes on", "is the new binary", "is the old binary"])
@pytest.mark.parametrize("name", ["gattd", "hostd"])
def test_files_behind_a_migration(name, supervisor, folder, tmp_path):
    """The recording of before ends with the old arena, kept as .old, and the old binary replays it to its last state; a new
    one has begun, which the new binary replays to its last state; a record that killed the new worker twice lies in a
    file that kills the new binary again, and that a good build of the same layout handles.  So it is too where the
    supervisor was killed behind the takeover, and came back as the new binary, or as the old one that lies in its place
    again."""
    kept = tmp_path / "kept"
    with Pipeline(device(), bin_dir=folder, args=["--record", str(kept), "--quarantine", str(kept)]) as p:
        with Load(p, ("counter", "counter")), BareCentral(p.air) as c:
            install(folder, name, NEW)
            p.run("restart", name)
            assert "arena=migrated" in p.text()
            if supervisor != "goes on":
                if supervisor == "is the old binary":
                    install(folder, name, PLANTED)
                kill_supervisor(p, name)
            c.connect(ADDRESS).write(PLAIN, POISON[name])
            assert c.wait_disconnected() == 0x13
            wait_until(lambda: p.process(name)["state"] == "running")
            assert p.process(name)["quarantined"] == 1 and p.process(name)["takeovers"] == 1
        assert "nothing is recorded" not in p.text() and "no quarantine file" not in p.text(), p.text()
    old, new = version(kept / f"{name}.recording.old"), version(kept / f"{name}.recording")
    assert new == old + 100 and version(kept / f"{name}-1.quarantine") == new
    assert LAST in replay(PLANTED, name, kept / f"{name}.recording.old", check=0)[1]
    said = replay(NEW, name, kept / f"{name}.recording", check=0)[1]
    assert LAST in said and int(re.search(r"(\d+) records", said)[1]) > 100, said
    replay(NEW, name, kept / f"{name}-1.quarantine", check=-signal.SIGILL)
    assert replay(MIGRATING, name, kept / f"{name}-1.quarantine", check=0)[1].endswith(": handled\n")
    for file in (kept / f"{name}.recording", kept / f"{name}-1.quarantine"):
        assert "cannot be replayed: " in replay(PLANTED, name, file, check=1)[1]
    assert not list(kept.glob("*.new"))


@pytest.mark.parametrize("supervisor", ["goes on", "is the old binary"])
def test_cold_start_behind_a_migration(supervisor, folder, tmp_path):
    """Poison upon poison until the cold start, behind a migration: the new arena is of the worker's layout, and so are its
    recording and every quarantine file, whatever the supervisor is."""
    kept = tmp_path / "kept"
    with Pipeline(device(), bin_dir=folder, args=["--record", str(kept), "--quarantine", str(kept)]) as p:
        with BareCentral(p.air) as c:
            install(folder, "gattd", NEW)
            p.run("restart", "gattd")
            if supervisor != "goes on":
                install(folder, "gattd", PLANTED)
                kill_supervisor(p, "gattd")
            c.connect(ADDRESS)
            for _ in range(3):
                c.write(PLAIN, POISON["gattd"])
            c.wait_disconnected()
            wait_until(lambda: 'verdict="cold start"' in p.text())
            wait_until(lambda: p.process("gattd")["state"] == "running")
        with BareCentral(p.air) as c:
            read_back(c.connect(ADDRESS))
    assert LAST in replay(MIGRATING, "gattd", kept / "gattd.recording", check=0)[1]
    quarantined = sorted(kept.glob("*.quarantine"))
    assert len(quarantined) == 3
    for file in quarantined:
        replay(NEW, "gattd", file, check=-signal.SIGILL)
        replay(MIGRATING, "gattd", file, check=0)


@pytest.mark.parametrize("name", ["gattd", "hostd"])
def test_cold_takeover(name, folder, tmp_path):
    """`restart --cold` with a binary whose layout nothing knows: its recording is begun for its layout."""
    kept = tmp_path / "kept"
    with Pipeline(device(), bin_dir=folder, args=["--record", str(kept)]) as p:
        install(folder, name, FOREIGN)
        p.run("restart", "--cold", name)
        wait_until(lambda: all(r["state"] == "running" for r in p.status()["processes"]))
        with Load(p, ("counter",)):
            time.sleep(0.2)
    said = replay(FOREIGN, name, kept / f"{name}.recording", check=0)[1]
    assert LAST in said and int(re.search(r"(\d+) records", said)[1]) > 50, said
    assert LAST in replay(PLANTED, name, kept / f"{name}.recording.old", check=0)[1]


@pytest.mark.parametrize("stop", [3, 5, 6])
def test_killed_in_the_takeover(stop, folder, tmp_path):
    """The supervisor is killed while the arena is copied, and behind the decision: the recording of the arena that counts
    goes on under its name, in its layout, and no other file is left beside it but the old one."""
    kept = tmp_path / "kept"
    taken = stop > 3
    with Pipeline(device(), bin_dir=folder, args=["--record", str(kept)], env={"TREFOIL_TAKEOVER_STOP": str(stop)}) as p:
        with Load(p, ("counter", "counter")):
            install(folder, "gattd", NEW)
            supervisor = p.process("gattd")["pid"]
            job = subprocess.Popen(p.command("restart", "gattd"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            wait_until(p.stopped)
            if taken:
                wait_until(lambda: "a new binary has taken over" in p.text())
            os.kill(supervisor, signal.SIGKILL)
            job.communicate(timeout=20)
            wait_until(lambda: p.back("gattd", supervisor))
    assert LAST in replay(NEW if taken else PLANTED, "gattd", kept / "gattd.recording", check=0)[1]
    names = {f.name for f in kept.iterdir() if f.name.startswith("gattd")}
    assert names == ({"gattd.recording", "gattd.recording.old"} if taken else {"gattd.recording"})


def test_a_takeover_that_is_given_up(folder, tmp_path):
    """The new binary dies three times before it has taken over: the old one's recording goes on as if nothing had been."""
    kept = tmp_path / "kept"
    with Pipeline(device(), bin_dir=folder, args=["--record", str(kept)], env={"TREFOIL_TAKEOVER_STOP": "4"}) as p:
        with Load(p, ("counter", "counter")):
            install(folder, "gattd", NEW)
            job = subprocess.Popen(p.command("restart", "gattd"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for _ in range(3):
                os.kill(wait_until(p.stopped), signal.SIGKILL)
            job.communicate(timeout=20)
            wait_until(lambda: p.process("gattd")["state"] == "running")
    said = replay(PLANTED, "gattd", kept / "gattd.recording", check=0)[1]
    assert LAST in said and int(re.search(r"(\d+) lives", said)[1]) > 1, said
    assert {f.name for f in kept.iterdir() if f.name.startswith("gattd")} == {"gattd.recording"}

"""Records that kill or hang a worker, planted in the real gattd and hostd (MODE=planted, base/planted.h), under load.

Three centrals (bench/hammer) work the pipeline and judge each octet at their own controllers; one more writes the poison.
What a test proves stands in its docstring.  (timeout: 150 s)"""
import os
import re
import signal
import stat
import time
from pathlib import Path

import pytest

from bare_central import BareCentral
from pipeline import BIN, Pipeline, wait_until
from poison import ADDRESS, PLAIN, PLANTED, Load, device, read_stats, replay

LETTERS = {"A": signal.SIGABRT, "S": signal.SIGSEGV, "I": signal.SIGILL, "W": signal.SIGABRT}   # W: by the watchdog
STRIKE = re.compile(r'^(\w+): error strike signal=(\d+) count=(\d+) link=(\d+) position=(\d+) kind=(\d+) len=(\d+) '
                    r'verdict="(.*)"', re.M)
SKIPPED = re.compile(r"^(\w+): warn record skipped link=(\d+) position=(\d+)", re.M)


def poison(daemon, letter):
    """A value that the planted daemon dies of; nobody else minds it."""
    return f"P!{daemon[0]}{letter}".encode() + bytes(8)


def planted(**more):
    assert (PLANTED / "gattd").exists(), f"{PLANTED} is not built: make MODE=planted"
    return Pipeline(device(), bin_dir=PLANTED, **more)


def strikes(p):
    return [(m[1], int(m[2]), int(m[3]), int(m[5]), m[8]) for m in STRIKE.finditer(p.text())]


def test_release_has_none_of_it():
    """No binary of the release build has a planted mistake in it; those of the planted build that should, do."""
    mark = b"trefoil: planted mistakes are in this binary"
    having = {d: {b.name for b in d.iterdir() if mark in b.read_bytes()} for d in (BIN, PLANTED)}
    assert having == {BIN: set(), PLANTED: {"gattd", "hostd"}}, having
    assert {"gattd", "hostd", "transportd"} <= {b.name for b in BIN.iterdir()}


def batches(listing):
    """Of each life in a listing: the greatest number of records in a step, and whether it skipped one."""
    lives = []
    for line in listing.splitlines():
        if line.endswith(": life"):
            lives.append([0, 0, False])
        elif lives and line.endswith(": commit"):
            lives[-1][1] = 0
        elif lives and "record link=" in line:
            lives[-1][1] += 1
            lives[-1][0] = max(lives[-1][0], lives[-1][1])
            lives[-1][2] |= "skipped" in line
            if lives[-1][2] and "skipped" in line:
                lives[-1].append(lives[-1][0])      # as it was until then
    return lives


def careful_until_skipped(listing):
    """In the life that skipped the record no step took more than one until that was done."""
    return [life[3] for life in batches(listing) if life[2]]


@pytest.mark.parametrize("daemon,letter", [("gattd", "A"), ("gattd", "S"), ("gattd", "W"),
                                           ("hostd", "I"), ("hostd", "S"), ("hostd", "W")])
def test_a_record_that_kills(daemon, letter, tmp_path):
    """First death: retry, one record a step.  Second: the record is named and quarantined, skipped in a step of its own, and
    its connection is ended.  The other three lose nothing and keep theirs.  The quarantine file replays the death, by the same
    signal, after having named the same record; a good binary handles it."""
    kept = tmp_path / "kept"
    with planted(args=["--quarantine", str(kept), "--record", str(kept)]) as p:
        with Load(p) as _, BareCentral(p.air) as c:
            before = p.process(daemon)
            c.connect(ADDRESS).write(PLAIN, poison(daemon, letter))
            assert c.wait_disconnected() == 0x13
            wait_until(lambda: p.process(daemon)["state"] == "running")
            row = p.process(daemon)
            assert len(p.status()["connections"]) == 3
            c.connect(ADDRESS)                          # and the same central may come again
            assert c.ask(bytes([0x0A, PLAIN & 0xFF, PLAIN >> 8]))[0] == 0x0B
        assert (row["strikes"], row["quarantined"], row["restarts"]) == (2, 1, before["restarts"] + 2), row
        for name in {"transportd", "hostd", "gattd"} - {daemon}:
            assert p.process(name)["restarts"] == p.process(name)["strikes"] == 0
        first, second = strikes(p)
        assert first[:3] == (daemon, LETTERS[letter], 1) and first[4].startswith("retry")
        assert second[:3] == (daemon, LETTERS[letter], 2) and second[4] == "quarantine the record"
        assert first[3] == second[3]
        assert [(m[1], int(m[3])) for m in SKIPPED.finditer(p.text())] == [(daemon, first[3])]
    file, = kept.glob("*.quarantine")
    assert file.name == f"{daemon}-1.quarantine" and stat.S_IMODE(file.stat().st_mode) == 0o600
    code, said = replay(PLANTED, daemon, file, check=-LETTERS[letter])
    assert f"it died at this: record link=up position={first[3]} " in said and "handled" not in said
    code, said = replay(BIN, daemon, file, check=0)
    assert f"position={first[3]} " in said and said.endswith(": handled\n")
    _, said = replay(PLANTED, daemon, kept / f"{daemon}.recording", "--log", "debug", check=0)
    assert careful_until_skipped(said) == [1], careful_until_skipped(said)


@pytest.mark.parametrize("daemon", ["gattd", "hostd"])
def test_the_ladder(daemon, tmp_path):
    """Poison upon poison, from one connection: each rung in its order.  Quarantine of the record; reset of its connection's
    state; cold start, after which the pipeline serves again; and where that is poisoned as well within seconds: given up, with a line
    that says so, exit 1."""
    kept = tmp_path / "kept"
    rungs = ["quarantine the record", "reset its connection", "cold start"]
    p = planted(args=["--quarantine", str(kept)]).start()
    try:
        with BareCentral(p.air) as c:
            c.connect(ADDRESS)
            for _ in range(3):
                c.write(PLAIN, poison(daemon, "I"))
            c.wait_disconnected()
            wait_until(lambda: "cold start" in [s[4] for s in strikes(p)])
        assert [s[4] for s in strikes(p) if s[2] > 1] == rungs, strikes(p)
        wait_until(lambda: p.process(daemon)["state"] == "running")
        with BareCentral(p.air) as c:
            c.connect(ADDRESS)
            assert c.ask(bytes([0x0A, PLAIN & 0xFF, PLAIN >> 8]))[0] == 0x0B
            for _ in range(3):
                c.write(PLAIN, poison(daemon, "I"))
            assert p.up.wait(20) == 1
        assert [s[4] for s in strikes(p) if s[2] > 1] == rungs + ["quarantine the record", "reset its connection", "give up"]
        assert f"{daemon}: error given up" in p.text()
        assert not p.run_dir.exists()
    finally:
        if p.up.poll() is None:
            p.up.kill()
        p.up.wait()
        p.log.close()
        p.tmp.cleanup()
    assert sorted(f.name for f in kept.iterdir()) == [f"{daemon}-{n}.quarantine" for n in range(1, 7)]
    for file in kept.iterdir():
        replay(PLANTED, daemon, file, check=-signal.SIGILL)
        replay(BIN, daemon, file, check=0)


@pytest.mark.parametrize("daemon", ["gattd", "hostd"])
def test_kills_from_outside_at_one_position(daemon):
    """A record that never ends holds the worker at one position: the flight words say so before each SIGKILL.  A hundred of them
    there cost no strike and quarantine nothing, and each new worker is at the same record again.  Left alone it is the
    watchdog's, twice, and then quarantined: so the position was one that can be."""
    kills, places = 100, set()
    with planted() as p, Load(p), BareCentral(p.air) as c:
        c.connect(ADDRESS).write(PLAIN, poison(daemon, "W"))
        supervisor = p.process(daemon)["pid"]
        wait_until(lambda: stands_at(supervisor, len(poison(daemon, "W"))))
        killed = 0
        for n in range(kills):
            worker = wait_until(lambda: worker_of(supervisor, killed), step=0.001)
            place = wait_until(lambda: stands_at(supervisor, len(poison(daemon, "W"))), step=0.001)
            places.add(place)
            os.kill(worker, signal.SIGKILL)
            killed = worker
        wait_until(lambda: worker_of(supervisor, killed))
        row = p.process(daemon)
        assert (row["strikes"], row["quarantined"], row["restarts"]) == (0, 0, kills), row
        assert len(places) == 1, places
        assert not strikes(p)
        assert c.wait_disconnected() == 0x13                # the watchdog's turn
        wait_until(lambda: p.process(daemon)["quarantined"] == 1)
        assert [s[3] for s in strikes(p)] == [place[1]] * 2
    print(f"told: {daemon}: {kills} SIGKILLs at position {place[1]}: no strike")


def worker_of(supervisor, former):
    """The worker of now, where it is another one than `former`."""
    try:
        with open(f"/proc/{supervisor}/task/{supervisor}/children", encoding="ascii") as f:
            pids = [int(pid) for pid in f.read().split()]
    except OSError:
        return None
    pids = [pid for pid in pids if pid != former]
    return pids[0] if pids else None


def stands_at(supervisor, value_len):
    """(link, position) of the record in flight, if it has stood there for a while, and is as long as the poison is."""
    what, position, header = read_stats(supervisor)
    if what != 2 or (header & 0xFFFFF) < value_len:
        return None
    time.sleep(0.01)
    return (what - 1, position) if read_stats(supervisor) == (what, position, header) else None


def test_nothing_is_written_unasked(tmp_path, monkeypatch):
    """Without --quarantine and --record a crash leaves no file, and no daemon has one open for writing."""
    monkeypatch.chdir(tmp_path)
    with planted() as p, BareCentral(p.air) as c:
        c.connect(ADDRESS).write(PLAIN, poison("gattd", "A"))
        c.wait_disconnected()
        for pid in p.children():
            for fd in os.scandir(f"/proc/{pid}/fd"):
                target = os.readlink(fd.path)
                regular = target.startswith("/") and not target.startswith(("/dev/", "/memfd:", "/proc/", str(p.log_path)))
                flags = (Path(f"/proc/{pid}/fdinfo") / fd.name).read_text()
                may_write = int(re.search(r"flags:\s*(\d+)", flags)[1], 8) & os.O_ACCMODE != os.O_RDONLY
                assert not (regular and may_write), (pid, target)
        assert {f.name for f in p.run_dir.iterdir() if f.is_file()} <= {"lock", ".lock", "up.lock"}, list(p.run_dir.iterdir())
    assert not list(tmp_path.iterdir())


def test_the_number_of_files_is_bounded(tmp_path):
    """Sixteen quarantine files for each daemon and no more; a full directory is said, and the ladder works as without files."""
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o700)
    for n in range(1, 17):
        (kept / f"gattd-{n}.quarantine").write_bytes(b"mine")
    with planted(args=["--quarantine", str(kept)]) as p, BareCentral(p.air) as c:
        c.connect(ADDRESS).write(PLAIN, poison("gattd", "A"))
        c.wait_disconnected()
        assert "no quarantine file" in p.text()
    assert all(f.read_bytes() == b"mine" for f in kept.iterdir()) and len(list(kept.iterdir())) == 16


@pytest.mark.parametrize("option", ["--quarantine", "--record"])
def test_directories_that_others_may_look_into(option, tmp_path):
    """A directory for packets and keys must be nobody else's: mode 0700, no link; else one line says why, and nothing starts."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("closed")
    (tmp_path / "file").write_bytes(b"")
    for name, why in (("open", "mode 0700"), ("link", "no directory"), ("file", "no directory"), ("not/there", "cannot be made")):
        p = Pipeline(device(), args=[option, str(tmp_path / name)], expect_ready=False).start()
        assert p.up.wait(10) == 1
        assert why in p.text() and name in p.text() and len(p.text().splitlines()) == 1, p.text()
        p.log.close()
        p.tmp.cleanup()

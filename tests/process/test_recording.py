"""`trefoil up --record DIR` and `--replay FILE`: what a core saw, seen again.  What a test proves stands in its docstring.

Two centrals (bench/hammer) work the pipeline while workers and supervisors die.  (timeout: 120 s)"""
import os
import re
import shutil
import signal
import stat
import struct
import time

import pytest

from bare_central import BareCentral
from pipeline import BIN, NAMES, Pipeline, wait_until
from poison import ADDRESS, PLAIN, PLANTED, Load, device, replay

HALVES_AT, DATA_AT, ENTRY = 512, 4096, 56
ENTRY_COMMIT, ENTRY_OWN, CALL_READ = 9, 10, 7      # runtime/recording.h, transportd/stream_os.h
SAME = re.compile(r"(\d+) steps, (\d+) records, (\d+) times on time, (\d+) lives.*the same at each step, and the last state whole;"
                  r" epoch (\d+), arena at (0x\w+), recorded at (0x\w+)", re.S)


def run(kept, *args, kills=0, supervisors=False, values=(), load=True):
    """A pipeline that records under load while each worker (and supervisor) is killed `kills` times; ends cleanly."""
    with Pipeline(device(), args=["--record", str(kept), *args]) as p:
        with Load(p, ("counter", "flood") if load else ()):
            for _ in range(kills):
                for name in NAMES:
                    row = p.process(name)
                    os.kill(row["pid" if supervisors else "worker_pid"], signal.SIGKILL)
                    wait_until(lambda r=row, n=name: back(p, n, r["restarts"]))
                    time.sleep(0.01)
            if values:
                with BareCentral(p.air) as c:
                    c.connect(ADDRESS)
                    for value in values:
                        c.write(PLAIN, value)
                    c.ask(bytes([0x0A, PLAIN & 0xFF, PLAIN >> 8]))
    return kept


def back(p, name, restarts):
    try:
        row = p.process(name)
    except (AssertionError, StopIteration):     # its supervisor is away
        return False
    return row["restarts"] > restarts and row["state"] == "running"


def same(name, kept):
    """Replays; (steps, records, lives).  Equal at each step and at the end, at another address."""
    _, said = replay(BIN, name, kept / f"{name}.recording", check=0)
    m = SAME.search(said)
    assert m, said
    assert m[6] != m[7]
    return int(m[1]), int(m[2]), int(m[4])


@pytest.mark.parametrize("size,whole", [("64", True), ("3", False)])
def test_a_replay_gives_the_same(size, whole, tmp_path):
    """Workers are killed under load; then each recording of transportd, hostd and gattd gives the same undo logs, objects, output records and
    positions at each of its steps, and at the end the whole arena, octet by octet, mapped elsewhere.  With room for all of it
    the recording goes back to the start and over every death; with little it has been begun anew, many times.  A capture is written
    beside it, and not again by a replay."""
    kept = run(tmp_path / "kept", "--record-size", size, "--btsnoop", str(tmp_path / "captured"), kills=6)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    for file in kept.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600 and file.stat().st_size <= (int(size) << 20) + DATA_AT
    told = []
    for name in NAMES:
        steps, records, lives = same(name, kept)
        assert records > 300 and steps > 100
        assert lives >= 7 if whole else lives >= 1
        generation = max(struct.unpack_from("<Q", (kept / f"{name}.recording").read_bytes(), HALVES_AT * n)[0] for n in (1, 2))
        assert generation == 1 if whole else generation > 2, generation
        told.append(f"{name} {steps} steps, {records} records, {lives} lives, {generation} images")
    print(f"told: replayed and equal, room {size} MiB: {'; '.join(told)}")


def test_supervisors_die_and_it_goes_on(tmp_path):
    """The file is kept above with everything else: a supervisor's death ends no recording."""
    kept = run(tmp_path / "kept", kills=3, supervisors=True)
    for name in NAMES:
        assert same(name, kept)[2] >= 4
    assert not list(kept.glob("*.old"))


def test_the_whole_pipeline_is_killed(tmp_path):
    """All processes are killed at once, under load: what was committed is in the files and replays, step by step, though nobody
    ended it."""
    kept = tmp_path / "kept"
    p = Pipeline(device(), args=["--record", str(kept)]).start()
    load = Load(p, ("counter", "flood"), judge=False)
    with load:
        time.sleep(0.3)
        below = p.children()
        p.up.send_signal(signal.SIGSTOP)            # else it would bring them back, or end them properly
        for pid in below:
            os.kill(pid, signal.SIGKILL)
        p.up.kill()
        p.up.wait()
        wait_until(lambda: not any(alive(pid) for pid in below))
    p.log.close()
    p.tmp.cleanup()
    for name in NAMES:
        _, said = replay(BIN, name, kept / f"{name}.recording", check=0)
        assert "the same at each step (no last state" in said and int(re.search(r"(\d+) records", said)[1]) > 100, said


def test_a_recording_that_is_still_being_made(tmp_path):
    """A file may be replayed while its worker goes on: what was committed when it was read is the same."""
    kept = tmp_path / "kept"
    with Pipeline(device(), args=["--record", str(kept), "--record-size", "64"]) as p, Load(p, ("counter", "flood")):
        steps = {name: [] for name in NAMES}
        for _ in range(3):
            time.sleep(0.1)
            for name in NAMES:
                _, said = replay(BIN, name, kept / f"{name}.recording", check=0)
                assert "the same at each step" in said
                steps[name].append(int(re.search(r"(\d+) steps", said)[1]))
        assert all(a < b < c for a, b, c in steps.values()), steps


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A recording with values in it that a planted core treats in another way."""
    return run(tmp_path_factory.mktemp("rec") / "kept", values=[b"plain", b"P!hD1111", b"P!gD0000"], load=False)


@pytest.mark.parametrize("name", ("hostd", "gattd"))      # in which something is planted
def test_another_core_is_found_out(name, small):
    """The binary that recorded gives the same; one whose core treats one record in another way does not: the first step that
    differs is named, and the record is among what came in it."""
    same(name, small)
    code, said = replay(PLANTED, name, small / f"{name}.recording", check=1)
    step = int(re.search(r"differs at step (\d+): ", said)[1])
    assert step > 0
    came = re.findall(r"in that step: record link=up position=\d+ kind=0x(\w+) len=(\d+)", said)
    assert {"gattd": ("22", "13"), "hostd": ("02", "19")}[name] in came, said


def places(data):
    """Where what counts lies in a recording: (what, offset)."""
    half = 1 if struct.unpack_from("<Q", data, HALVES_AT * 2)[0] > struct.unpack_from("<Q", data, HALVES_AT)[0] else 0
    control = HALVES_AT * (1 + half)
    image, log = struct.unpack_from("<QQ", data, control + 8)
    half_octets, = struct.unpack_from("<Q", data, 72)
    begin = DATA_AT + half * half_octets
    entries = begin + (image + log + 63 & ~63)
    tail = (struct.unpack_from("<Q", data, control + 56)[0] >> 32) * 8
    return [("magic", 0), ("core", 17), ("limits", 44), ("size of a half", 73), ("generation", control),
            ("size of the image", control + 9), ("tail", control + 60), ("last state", control + 72), ("image", begin + 70), ("end of the image", begin + image - 1),
            ("first entry", entries + 8), ("an entry", entries + tail // 2), ("last entry", entries + tail - 1)]


def entries(data):
    """Of the half that counts: (offset, kind, number of an own entry, payload's length, place among the entries), and its generation."""
    half = 1 if struct.unpack_from("<Q", data, HALVES_AT * 2)[0] > struct.unpack_from("<Q", data, HALVES_AT)[0] else 0
    generation, image, log = struct.unpack_from("<3Q", data, HALVES_AT * (1 + half))
    first = DATA_AT + half * struct.unpack_from("<Q", data, 72)[0] + (image + log + 63 & ~63)
    end = first + (struct.unpack_from("<Q", data, HALVES_AT * (1 + half) + 56)[0] >> 32) * 8
    at, found = first, []
    while at < end:
        size, kind, _, what = struct.unpack_from("<IBBH", data, at + 8)
        found.append((at, kind, what, size, at - first))
        at += ENTRY + (size + 7 & ~7)
    return found, generation


def hashed(h, data):
    """base/hash.h: hash_octets."""
    words = [len(data), *struct.unpack(f"<{len(data) // 8}Q", data[:len(data) & ~7]), int.from_bytes(data[len(data) & ~7:], "little")]
    for word in words:
        h = (h ^ word) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
        h ^= h >> 29
    return h


def check(data, entry, generation):
    """runtime/recording.c: recording_entry_check; hash_word is hash_octets without a length."""
    at, _, _, size, place = entry
    h = 0x54726566
    for word in (generation, place):
        h = (h ^ word) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
        h ^= h >> 29
    return hashed(hashed(h, bytes(data[at + 8:at + ENTRY])), bytes(data[at + ENTRY:at + ENTRY + size]))


def test_one_octet_from_the_controller(small, tmp_path):
    """transportd: in one of the reads that a recording holds, one octet of a packet is another one, with the right hash.  The step
    that then gives another record is named, and the read is among what came in it."""
    data = bytearray((small / "transportd.recording").read_bytes())
    found, generation = entries(data)
    assert all(struct.unpack_from("<Q", data, e[0])[0] == check(data, e, generation) for e in found)
    reads = [e for e in found if e[1:3] == (ENTRY_OWN, CALL_READ) and e[3] > 12]
    entry = reads[len(reads) // 2]
    data[entry[0] + ENTRY + entry[3] - 1] ^= 0x01
    struct.pack_into("<Q", data, entry[0], check(data, entry, generation))
    (tmp_path / "other").write_bytes(data)
    _, said = replay(BIN, "transportd", tmp_path / "other", check=1)
    step = sum(e[1] == ENTRY_COMMIT for e in found[:found.index(entry)]) + 1
    assert f"differs at step {step}: the records given are others\n" in said, (step, said)
    assert f"in that step: read result={entry[3]} " in said


def test_damage_is_said(small, tmp_path):
    """One bit that is wrong, anywhere in what counts, and the file is refused with a line that says so; the core does not run."""
    for name in NAMES:
        data = (small / f"{name}.recording").read_bytes()
        for what, at in places(data):
            bad = tmp_path / "bad"
            bad.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1:])
            code, said = replay(BIN, name, bad, check=1)
            assert "cannot be replayed: " in said and len(said.splitlines()) == 1 and "steps" not in said, (what, said)


def test_files_that_are_none(small, tmp_path):
    """Not a file, empty, cut short, noise, another daemon's: a line for each, exit 1."""
    data = (small / "gattd.recording").read_bytes()
    files = {"empty": (b"", "size"), "cut": (data[:-8], "cannot be"), "short": (data[:5000], "cannot be"),
             "noise": (os.urandom(20000), "does not begin")}
    for name, (octets, why) in files.items():
        (tmp_path / name).write_bytes(octets)
        assert why in replay(BIN, "gattd", tmp_path / name, check=1)[1], name
    for path, why in ((tmp_path, "no regular file"), (tmp_path / "none", "No such file"),
                      (small / "hostd.recording", "it is one of hostd")):
        code, said = replay(BIN, "gattd", path, check=1)
        assert why in said and len(said.splitlines()) == 1, said


def test_a_second_start_keeps_the_first(tmp_path):
    """What was recorded before a cold start is kept as .old, once; sizes that are none are refused."""
    kept = run(tmp_path / "kept", load=False)
    first = {f.name: f.read_bytes() for f in kept.iterdir()}
    run(kept, load=False)
    for name, octets in first.items():
        assert (kept / f"{name}.old").read_bytes() == octets
    run(kept, load=False)
    assert len(list(kept.iterdir())) == 6
    p = Pipeline(device(), args=["--record", str(kept), "--record-size", "no"], expect_ready=False).start()
    assert p.up.wait(10) != 0
    p.log.close()
    p.tmp.cleanup()


def kill_supervisor(p, name):
    old = p.process(name)["pid"]
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: p.back(name, old))


def test_a_directory_that_is_gone(tmp_path):
    """Who asked for a recording hears at the start that there can be none (test_poison.py).  Later the pipeline is worth
    more: where the directory is gone, or others may look into it, cold starts and new lives of a supervisor work, and say
    it once; what was being recorded goes on where it can.  When the directory is back, so is the recording."""
    kept, gone = tmp_path / "kept", tmp_path / "gone"
    with Pipeline(device(), args=["--record", str(kept), "--quarantine", str(kept)]) as p:
        (kept / "gattd.recording").unlink()
        kept.rename(gone)
        (gone / "hostd.recording").unlink()
        (gone / "transportd.recording").unlink()
        gone.rmdir()
        for _ in range(2):
            p.run("restart", "--cold", "gattd")
            wait_until(lambda: all(r["state"] == "running" for r in p.status()["processes"]))
        told = [line for line in p.text().splitlines() if "nothing is recorded from here on" in line]
        assert len(told) == 1 and told[0].startswith("gattd: warn"), told
        kept.mkdir()
        kept.chmod(0o755)
        kill_supervisor(p, "gattd")
        assert 'gattd: warn --record why="' in p.text() and "mode 0700" in p.text() and " error " not in p.text(), p.text()
        p.run("restart", "--cold", "gattd")
        with Load(p, ("counter",)):
            time.sleep(0.1)
        assert not list(kept.iterdir())
        kept.chmod(0o700)
        kill_supervisor(p, "gattd")
        with Load(p, ("counter",)):
            time.sleep(0.1)
        assert [f.name for f in kept.iterdir()] == ["gattd.recording"]
    assert same("gattd", kept)[1] > 50


def test_a_life_that_is_not_asked_to_record(tmp_path):
    """A supervisor comes back without --record, as where a unit file was edited: its recording ends there, sound, and is
    dropped.  It comes back with it: a new one begins with the state as it is, under load."""
    kept, folder = tmp_path / "kept", tmp_path / "bin"
    folder.mkdir()
    for program in BIN.iterdir():
        if program.is_file():
            shutil.copy2(program, folder / program.name)
    script, words = folder / "gattd", tmp_path / "words"
    script.unlink()
    script.write_text(f'#!/bin/bash\n[ -e {words} ] && set -- "${{@/--record/--quarantine}}"\nexec {BIN}/gattd "$@"\n')
    script.chmod(0o755)
    with Pipeline(device(), args=["--record", str(kept)], bin_dir=folder) as p:
        with Load(p, ("counter",)):
            pass
        words.touch()
        kill_supervisor(p, "gattd")
        assert "gattd: info the recording ends: it is not asked for any more" in p.text()
        first = (kept / "gattd.recording").read_bytes()
        assert not open_files(p.process("gattd")["pid"], kept)
        with Load(p, ("counter",)):
            pass
        assert (kept / "gattd.recording").read_bytes() == first
        words.unlink()
        kill_supervisor(p, "gattd")
        with Load(p, ("counter",)):
            pass
        assert (kept / "gattd.recording.old").read_bytes() == first
    assert same("gattd", kept)[1] > 50
    assert "the same at each step (no last state" in replay(BIN, "gattd", kept / "gattd.recording.old", check=0)[1]


def open_files(pid, folder):
    """What that process holds of the files in a folder."""
    targets = [os.readlink(fd.path) for fd in os.scandir(f"/proc/{pid}/fd")]
    return [t for t in targets if t.startswith(f"{folder}/")]

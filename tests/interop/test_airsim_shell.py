"""airsim as a program: where it listens, what it refuses, how it ends.  Needs no Bumble."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from conftest import Airsim, Program, program

RESET, RESET_DONE = b"\x01\x03\x0c\x00", b"\x04\x0e\x04\x01\x03\x0c\x00"


def answers(path):
    """Does a controller answer on that socket?"""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(str(path))
        s.sendall(RESET)
        return s.recv(100) == RESET_DONE


@pytest.mark.parametrize("spec, says", [
    ("tcp:127.0.0.1:notaport", "not a number"), ("tcp:127.0.0.1:70000", "not a number"), ("tcp:somewhere:1", "IPv4"),
    ("tcp:1", "tcp:ADDRESS:PORT"), ("unix:", "path"), ("unix:/nowhere/at/all", "No such file"),
    ("unix:/" + "x" * 120, "path"), ("pigeon:3", "unix:PATH or tcp:ADDRESS:PORT"),
])
def test_a_bad_listen_name_is_one_line(run_dir, spec, says):
    """A listener that cannot be parsed or opened: one line that names it and what was expected, exit 1, nothing left behind."""
    r = subprocess.run([program("airsim"), "--run-dir", run_dir, "--air", spec], capture_output=True, text=True, timeout=10)
    lines = [line for line in r.stderr.splitlines() if "listening" not in line]
    assert r.returncode == 1
    assert len(lines) == 1 and spec[:20] in lines[0] and says in lines[0], r.stderr
    assert not run_dir.exists()


@pytest.mark.parametrize("arguments", [["--controllers", "0"], ["--controllers", "513"], ["--acl-length", "x"], ["--what"],
                                       ["stray"], ["--seed", "-1"], ["--acl-packets", "256"]])
def test_usage(run_dir, arguments):
    """A wrong option: exit 2, and nothing is touched."""
    r = subprocess.run([program("airsim"), "--run-dir", run_dir, *arguments], capture_output=True, text=True, timeout=10)
    assert r.returncode == 2 and r.stderr and not run_dir.exists()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_ends_cleanly(run_dir, how):
    """SIGTERM and SIGINT: exit 0 with a host connected; socket and run dir are gone."""
    air = Airsim(run_dir)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(air.sock))
        s.sendall(RESET)
        assert s.recv(100) == RESET_DONE
        assert air.end(how) == 0
        assert s.recv(100) == b""
    assert not run_dir.exists()


def test_a_live_socket_is_not_taken(run_dir, airsim):
    """A second airsim on the same run dir refuses with one line, and the first one keeps its socket."""
    r = subprocess.run([program("airsim"), "--run-dir", run_dir], capture_output=True, text=True, timeout=10)
    assert r.returncode == 1 and "in use" in r.stderr and len(r.stderr.splitlines()) == 1
    assert answers(airsim.sock)


def test_a_stale_socket_is_replaced(run_dir):
    """A socket file that a killed airsim left is taken over."""
    air = Airsim(run_dir)
    air.process.kill()
    air.process.wait()
    assert air.sock.exists()
    air = Airsim(run_dir)
    assert answers(air.sock)
    assert air.end() == 0


def test_a_file_is_not_removed(run_dir):
    """What lies at the socket's place and is no socket is nobody's to remove."""
    run_dir.mkdir()
    (run_dir / "air.sock").write_text("mine")
    r = subprocess.run([program("airsim"), "--run-dir", run_dir], capture_output=True, text=True, timeout=10)
    assert r.returncode == 1
    assert (run_dir / "air.sock").read_text() == "mine"


def test_handed_over_and_ready(run_dir):
    """The systemd way: it serves the socket it was handed as air.sock, says READY=1, and leaves the file to its owner."""
    run_dir.mkdir()
    path = run_dir / "air.sock"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        listener.bind(str(path))
        listener.listen(8)
        notify.bind(str(run_dir / "notify"))
        notify.settimeout(5)
        p = subprocess.Popen(
            [program("airsim")], close_fds=False, stderr=subprocess.DEVNULL, preexec_fn=lambda: os.dup2(listener.fileno(), 3),
            env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "air.sock", "NOTIFY_SOCKET": str(run_dir / "notify")})
        try:
            assert notify.recv(100) == b"READY=1"
            assert answers(path)
        finally:
            p.terminate()
            assert p.wait(10) == 0
        assert path.exists()


def test_a_child_ends_with_its_parent(run_dir):
    """--child: when the parent dies, however it dies, airsim ends and leaves nothing."""
    code = ("import subprocess, sys, time\n"
            "p = subprocess.Popen(sys.argv[1:], stderr=subprocess.DEVNULL)\nprint(p.pid, flush=True)\ntime.sleep(60)\n")
    parent = subprocess.Popen([sys.executable, "-c", code, program("airsim"), "--child", "--run-dir", run_dir],
                              stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    until = time.monotonic() + 10
    while not (run_dir / "air.sock").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    while run_dir.exists():
        assert time.monotonic() < until, f"airsim {child} is still there"
        time.sleep(0.01)


def test_a_full_air_refuses(run_dir):
    """One host more than controllers is closed at once with one line; when a host leaves, its place is free."""
    air = Airsim(run_dir, "--controllers", "2")
    one, two, three = (socket.socket(socket.AF_UNIX) for _ in range(3))
    with one, two, three:
        for s in (one, two):
            s.connect(str(air.sock))
            s.sendall(RESET)
            assert s.recv(100) == RESET_DONE
        three.connect(str(air.sock))
        assert three.recv(100) == b""
        one.close()
        air.wait_for("taken")
        until = time.monotonic() + 5
        while True:
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(str(air.sock))
                try:
                    s.sendall(RESET)
                    if s.recv(100) == RESET_DONE:
                        break
                except OSError:
                    pass
            assert time.monotonic() < until
    assert air.end() == 0


def test_the_program_is_there():
    """airsim names itself and its options."""
    r = subprocess.run([program("airsim"), "--help"], capture_output=True, text=True, timeout=10)
    assert r.returncode == 0 and "--air LISTEN" in r.stdout
    assert issubclass(Airsim, Program)

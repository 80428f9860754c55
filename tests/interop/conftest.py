"""What the interop tests share: our programs, run dirs, and Bumble hosts.

Programs are taken from $TREFOIL_BIN (default build/bin).  A fixture ends only the processes that it started itself, and
every coroutine runs under a time limit: a test fails, it does not hang.
"""

import asyncio
import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile
import time

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
LIMIT_S = 30


def program(name):
    """The path of one of our binaries."""
    return pathlib.Path(os.environ.get("TREFOIL_BIN", TREE / "build" / "bin")).absolute() / name


def run(coroutine, limit_s=LIMIT_S):
    """Runs a test's coroutine; longer than the limit is a failure."""
    return asyncio.run(asyncio.wait_for(coroutine, limit_s))


class Program:
    """A process of ours: its standard error is kept in a file, and it is ended by its own pid."""

    def __init__(self, name, *arguments, log, env=None):
        self.log = pathlib.Path(log)
        with open(self.log, "wb") as err:
            self.process = subprocess.Popen(
                [program(name), *map(str, arguments)],
                stdin=subprocess.DEVNULL, stdout=err, stderr=err, env={**os.environ, **(env or {})})

    def said(self):
        return self.log.read_text(errors="replace")

    def wait_for(self, text, limit_s=10):
        """Until the process has said `text`."""
        until = time.monotonic() + limit_s
        while text not in self.said():
            assert self.process.poll() is None, f"ended early:\n{self.said()}"
            assert time.monotonic() < until, f"never said {text!r}:\n{self.said()}"
            time.sleep(0.005)
        return self.said()

    def end(self, how=signal.SIGTERM, limit_s=10):
        """Ends it; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


class Airsim(Program):
    """A running airsim: `unix` and `tcp` are Bumble transport names of its air."""

    def __init__(self, run_dir, *arguments):
        self.run_dir = pathlib.Path(run_dir)
        super().__init__("airsim", "--run-dir", run_dir, "--air", "tcp:127.0.0.1:0", *arguments,
                         log=str(run_dir) + ".log")
        said = self.wait_for("at=tcp:")
        self.sock = self.run_dir / "air.sock"
        self.unix = f"unix-client:{self.sock}"
        self.port = int(said.split("at=tcp:127.0.0.1:")[1].split()[0])
        self.tcp = f"tcp-client:127.0.0.1:{self.port}"


@pytest.fixture
def run_dir():
    """The path of a run dir that does not exist yet, short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="tf-") as at:
        yield pathlib.Path(at) / "run"


@pytest.fixture
def airsim(run_dir):
    """An air of its own for the test."""
    air = Airsim(run_dir)
    yield air
    code = air.end()
    assert code == 0, air.said()
    assert not air.sock.exists(), "airsim left its socket behind"


@contextlib.asynccontextmanager
async def bumble_host(transport, name, address):
    """A Bumble device as Bumble is: host and GATT on one controller behind `transport`, powered on."""
    from bumble.device import Device
    from bumble.hci import Address
    from bumble.transport import open_transport

    hci = await open_transport(transport)
    try:
        device = Device.with_hci(name, Address(address), hci.source, hci.sink)
        await device.power_on()
        device.hci_transport = hci
        yield device
    finally:
        with contextlib.suppress(Exception):
            await hci.close()

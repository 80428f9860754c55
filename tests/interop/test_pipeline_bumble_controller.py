"""Our pipeline on a controller that is not ours: Bumble's own virtual controller, in this process, reached as H4 over a unix or
a TCP socket.  A Bumble host is the central, on a second controller of the same kind.

What a test proves stands in its docstring.  timeout: 90 s"""
import asyncio
import contextlib
import os
import signal
import struct
import tempfile
from pathlib import Path

import pytest
from bumble.controller import Controller
from bumble.device import Device
from bumble.hci import Address
from bumble.host import Host
from bumble.link import LocalLink
from bumble.transport.common import AsyncPipeSink, StreamPacketSource

from conftest import run
from pipeline import NAMES, Pipeline
from pipeline_far import (ADDRESS, ECHO_128, LONG, LONG_VALUE, NAME, READ_ONLY, WRITE, device_file, discover, found, subscribed,
                          until)


class Served(StreamPacketSource):
    """A Bumble controller behind a listening socket; counts what the host must not do twice."""

    def __init__(self, link):
        super().__init__()
        self.transport, self.connections, self.resets, self.errors = None, 0, 0, []
        self.controller = Controller("under trefoil", self, self, link, public_address="00:1A:7D:00:00:01")
        reset = self.controller.on_hci_reset_command
        self.controller.on_hci_reset_command = lambda command: (self.count_reset(), reset(command))[1]

    def count_reset(self):
        self.resets += 1

    def connection_made(self, transport):
        self.connections += 1
        self.transport = transport

    def connection_lost(self, exc):
        self.transport = None

    def on_packet(self, packet):
        if self.transport:
            self.transport.write(packet)


@contextlib.asynccontextmanager
async def pipeline_on(over):
    """A pipeline on a served controller, and a central's device on the same link: (pipeline, served, central)."""
    loop, link = asyncio.get_running_loop(), LocalLink()
    served = Served(link)
    with tempfile.TemporaryDirectory(prefix="tf-") as at:
        if over == "unix":
            path = str(Path(at) / "hci")
            server = await loop.create_unix_server(lambda: served, path)
            name = f"unix:{path}"
        else:
            server = await loop.create_server(lambda: served, "127.0.0.1", 0)
            name = f"tcp-client:127.0.0.1:{server.sockets[0].getsockname()[1]}"
        p = Pipeline(device_file(), args=["--transport", name])
        try:
            await asyncio.to_thread(p.start)
            far = Controller("central", link=link, public_address="00:1A:7D:00:00:02")
            central = Device("central", Address("C0:01:02:03:04:05"), host=Host(far, AsyncPipeSink(far)))
            await central.power_on()
            yield p, served, central
            assert await asyncio.to_thread(p.stop) == 0, p.text()
        finally:
            await asyncio.to_thread(p.__exit__, AssertionError, None, None)
            server.close()


def status(p):
    return asyncio.to_thread(p.status)


@pytest.mark.parametrize("over", ["unix", "tcp"])
def test_gatt_on_a_foreign_controller(over):
    """Bring-up, advertising, connection, discovery, long read, write, notifications and disconnection on Bumble's controller,
    whose buffers are 27 octets and which never fragments; afterwards it is connected to again."""
    async def story():
        async with pipeline_on(over) as (p, served, central):
            s = await status(p)
            assert s["controller"]["address"] == "00:1A:7D:00:00:01/P" and s["controller"]["manufacturer"] == 0xFFFF
            assert (await asyncio.to_thread(os.path.exists, p.air)) is False
            for round_ in range(2):
                connection = await asyncio.wait_for(central.connect(ADDRESS), 10)
                peer = await discover(connection)
                assert await found(peer, "2A00").read_value() == NAME.encode()
                await connection.gatt_client.request_mtu(517)
                assert await connection.gatt_client.read_value(LONG_VALUE) == LONG
                async with subscribed(connection, ECHO_128) as got:
                    sent = [struct.pack("<I", n) + bytes(n % 200) for n in range(60)]
                    for value in sent:
                        await connection.gatt_client.write_value(WRITE, value, with_response=True)
                        assert await connection.gatt_client.read_value(WRITE) == value
                    await until(lambda: len(got) >= len(sent), "notifications")
                    assert got == sent
                await connection.disconnect()
            assert served.resets == 1 and served.connections == 1
    run(story(), 60)


def ways(over):
    """Which worker is replaced, and how.  A killed transportd is exact on unix sockets only (docs/ARCHITECTURE.md)."""
    return [(name, how) for how in ("restart", "kill") for name in NAMES if (over, how, name) != ("tcp", "kill", "transportd")]


@pytest.mark.parametrize("over", ["unix", "tcp"])
def test_each_worker_is_replaced(over):
    """Each worker is replaced by `trefoil restart`, and killed, while the central writes, reads and listens: the connection
    stays, each answer is right, each notification comes once and in order, the controller is neither reset nor dialled again."""
    async def work(connection, sent, over_):
        while not over_.done():
            value = struct.pack("<I", len(sent))
            sent.append(value)
            await connection.gatt_client.write_value(WRITE, value, with_response=True)
            assert await connection.gatt_client.read_value(WRITE) == value
            await asyncio.sleep(0)

    async def replace(p, name, how):
        row = next(r for r in (await status(p))["processes"] if r["name"] == name)
        if how == "restart":
            await asyncio.to_thread(p.run, "restart", name)
        else:
            os.kill(row["worker_pid"], signal.SIGKILL)
        for _ in range(500):
            new = next(r for r in (await status(p))["processes"] if r["name"] == name)
            if new["restarts"] == row["restarts"] + 1 and new["state"] == "running":
                assert new["worker_pid"] != row["worker_pid"] and new["pid"] == row["pid"]
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{name} did not come back: {row} {new}")

    async def story():
        async with pipeline_on(over) as (p, served, central):
            connection = await asyncio.wait_for(central.connect(ADDRESS), 10)
            lost = []
            connection.on("disconnection", lost.append)
            async with subscribed(connection, ECHO_128) as got:
                sent, over_ = [], asyncio.get_running_loop().create_future()
                load = asyncio.create_task(work(connection, sent, over_))
                for name, how in ways(over):
                    before = len(sent)
                    await replace(p, name, how)
                    await until(lambda: len(sent) > before + 20 or load.done(), "work after the restart")
                over_.set_result(None)
                await load
                await until(lambda: len(got) >= len(sent), "notifications")
                assert got == sent and not lost
            assert await connection.gatt_client.read_value(READ_ONLY) == b"as it is"
            assert served.resets == 1 and served.connections == 1
            assert [r["restarts"] for r in (await status(p))["processes"]] == [
                sum(name == n for name, _ in ways(over)) for n in NAMES]
    run(story(), 60)


def test_a_controller_that_goes_away():
    """When the controller's socket closes, the pipeline says so in one clear line and ends with exit 1, leaving nothing."""
    async def story():
        loop, served = asyncio.get_running_loop(), Served(LocalLink())
        with tempfile.TemporaryDirectory(prefix="tf-") as at:
            path = str(Path(at) / "hci")
            server = await loop.create_unix_server(lambda: served, path)
            p = Pipeline(device_file(), args=["--transport", f"unix:{path}"])
            try:
                await asyncio.to_thread(p.start)
                below = p.children()
                served.transport.close()
                assert await asyncio.to_thread(p.up.wait, 15) == 1, p.text()
                complaints = [line for line in p.text().splitlines() if " error " in line]
                assert len(complaints) == 1 and complaints[0].startswith("transportd: error") and "gone" in complaints[0], p.text()
                assert not p.run_dir.exists() and not [c for c in below if Path(f"/proc/{c}").exists()]
            finally:
                server.close()
                await asyncio.to_thread(p.__exit__, AssertionError, None, None)
    run(story(), 40)

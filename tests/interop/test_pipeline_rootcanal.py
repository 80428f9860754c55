"""Our pipeline on rootcanal, Android's virtual controller, reached as H4 over TCP; a Bumble host is the central, on a second
controller of the same rootcanal.

What a test proves stands in its docstring.  timeout: 90 s"""
import asyncio
import socket
import struct
import subprocess
from pathlib import Path

import pytest
import rootcanal.binaries

from conftest import bumble_host, run
from pipeline import NAMES, Pipeline, wait_until
from pipeline_far import ADDRESS, ECHO_128, LONG, LONG_VALUE, NAME, WRITE, device_file, discover, found, subscribed, until


def free_ports(count):
    """Ports of the loopback that nobody listens on now."""
    held = [socket.socket() for _ in range(count)]
    for s in held:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


def listening(port):
    """Does anybody listen there?  Asked of the kernel: to connect would make a controller."""
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return any(int(r[1].rsplit(":", 1)[1], 16) == port and r[3] == "0A" for r in rows)


@pytest.fixture
def hci_port(tmp_path):
    """A rootcanal of the test's own: each connection to this port is a controller on one air."""
    hci, test, link, link_ble = free_ports(4)
    with open(tmp_path / "rootcanal.log", "wb") as log:
        process = subprocess.Popen(
            [rootcanal.binaries.get_package_binary_resource_path("rootcanal"), "-hci_port", str(hci), "-test_port", str(test),
             "-link_port", str(link), "-link_ble_port", str(link_ble)], stdout=log, stderr=log)
    try:
        wait_until(lambda: listening(hci) or process.poll() is not None, 20)
        assert process.poll() is None, (tmp_path / "rootcanal.log").read_text()
        yield hci
    finally:
        process.terminate()
        process.wait(10)


def test_gatt_on_rootcanal_while_workers_are_replaced(hci_port):
    """Bring-up, advertising, connection, discovery, long read, writes, reads and notifications on rootcanal, which checks what a
    host sends; each worker is replaced in the middle: the connection stays, each notification comes once and in order."""
    async def story(p):
        status = await asyncio.to_thread(p.status)
        assert status["controller"]["manufacturer"] == 224 and status["controller"]["up"]       # Google
        async with bumble_host(f"tcp-client:127.0.0.1:{hci_port}", "central", "C0:01:02:03:04:05") as central:
            connection = await asyncio.wait_for(central.connect(ADDRESS), 20)
            dropped = []
            connection.on("disconnection", dropped.append)
            peer = await discover(connection)
            assert await found(peer, "2A00").read_value() == NAME.encode()
            await connection.gatt_client.request_mtu(247)
            assert await connection.gatt_client.read_value(LONG_VALUE) == LONG
            async with subscribed(connection, ECHO_128) as got:
                sent = []
                for round_ in range(24):
                    if round_ % 6 == 3 and round_ // 6 < len(NAMES):
                        await asyncio.to_thread(p.run, "restart", NAMES[round_ // 6])
                    value = struct.pack("<I", round_) + bytes(round_ * 8)
                    sent.append(value)
                    await connection.gatt_client.write_value(WRITE, value, with_response=True)
                    assert await connection.gatt_client.read_value(WRITE) == value
                await until(lambda: len(got) >= len(sent), "notifications")
                assert got == sent and not dropped
            await connection.disconnect()

    with Pipeline(device_file(), args=["--transport", f"tcp-client:127.0.0.1:{hci_port}"]) as p:
        run(story(p), 60)
        assert [r["restarts"] for r in p.status()["processes"]] == [1, 1, 1]

"""Bumble against Bumble over airsim, with no Trefoil host at all: the simulated controllers satisfy someone else's stack, as
it is.  What a test proves stands in its docstring."""

import asyncio
import contextlib
import socket
import struct
import time

import pytest
from bumble import hci
from bumble.core import AdvertisingData, UUID
from bumble.device import AdvertisingType, ConnectionParametersPreferences, Peer
from bumble.gatt import Characteristic, CharacteristicValue, Service

from conftest import bumble_host, run

PERIPHERAL = "F0:F1:F2:F3:F4:01"
CENTRAL = "F0:F1:F2:F3:F4:02"
SERVICE = UUID("50DB505C-8AC4-4738-8448-3B1D9CC09CC5")
VALUE = UUID("486F64C6-4B5F-4B3B-8AFF-EDE134A8446A")
ECHO = UUID("B5A1C3D4-0001-4F00-8000-00805F9B34FB")


def advertising_data(name):
    return bytes(AdvertisingData([
        (AdvertisingData.FLAGS, bytes([0x06])), (AdvertisingData.COMPLETE_LOCAL_NAME, name.encode())]))


def give_services(device, store):
    """One service: VALUE reads and writes `store`, ECHO notifies what was written to VALUE."""
    echo = Characteristic(ECHO, Characteristic.Properties.NOTIFY, Characteristic.READABLE, b"")

    def read(_connection):
        return store["value"]

    async def write(_connection, value):
        store["value"] = bytes(value)
        await device.notify_subscribers(echo, bytes(value))

    value = Characteristic(
        VALUE,
        Characteristic.Properties.READ | Characteristic.Properties.WRITE | Characteristic.Properties.WRITE_WITHOUT_RESPONSE,
        Characteristic.READABLE | Characteristic.WRITEABLE, CharacteristicValue(read=read, write=write))
    device.add_services([Service(SERVICE, [value, echo])])


async def advertise(device, **more):
    await device.start_advertising(
        advertising_data=advertising_data(device.name), scan_response_data=advertising_data("answer"),
        advertising_interval_min=100, advertising_interval_max=100, **more)


@contextlib.asynccontextmanager
async def two(airsim, over="unix"):
    """A peripheral with services, advertising, and a central."""
    transport = getattr(airsim, over)
    async with bumble_host(transport, "peripheral", PERIPHERAL) as peripheral:
        store = {"value": b"hi"}
        give_services(peripheral, store)
        async with bumble_host(transport, "central", CENTRAL) as central:
            yield peripheral, central, store


async def until(condition, what):
    while not condition():
        await asyncio.sleep(0.005)
    return what


async def find(connection):
    """VALUE and ECHO as the central sees them."""
    peer = Peer(connection)
    await peer.discover_services()
    services = peer.get_services_by_uuid(SERVICE)
    assert len(services) == 1
    await services[0].discover_characteristics()
    value = services[0].get_characteristics_by_uuid(VALUE)[0]
    echo = services[0].get_characteristics_by_uuid(ECHO)[0]
    return peer, value, echo


def test_power_on_gives_each_host_its_own_address(airsim):
    """Bumble's bring-up passes unpatched on both transports, and no two controllers share a public address, not even one
    after another."""
    async def story():
        seen = []
        for transport in (airsim.unix, airsim.tcp, airsim.unix):
            async with bumble_host(transport, "one", PERIPHERAL) as one, bumble_host(transport, "two", CENTRAL) as two_:
                seen += [str(one.public_address), str(two_.public_address)]
                assert one.host.local_version.hci_version == 13
                assert one.host.le_acl_packet_queue.max_in_flight == 8
                assert one.host.le_acl_packet_queue.max_packet_size == 251
        assert len(set(seen)) == 6, seen
    run(story())


def test_the_supported_commands_are_answered(airsim):
    """Every command without parameters whose bit is set in Read Local Supported Commands gets its Command Complete with
    status 0, and a command whose bit is not set is unknown: the map is honest."""
    async def story():
        async with bumble_host(airsim.unix, "one", PERIPHERAL) as one:
            for command in (hci.HCI_LE_Read_Filter_Accept_List_Size_Command(), hci.HCI_LE_Rand_Command(),
                            hci.HCI_LE_Read_Supported_States_Command(), hci.HCI_LE_Read_Maximum_Data_Length_Command(),
                            hci.HCI_LE_Read_Advertising_Physical_Channel_Tx_Power_Command()):
                assert one.host.supports_command(command.op_code)
                assert (await one.host.send_sync_command(command)).status == 0
            assert not one.host.supports_command(hci.HCI_LE_SET_EXTENDED_ADVERTISING_PARAMETERS_COMMAND)
            with pytest.raises(hci.HCI_Error) as refused:
                await one.host.send_sync_command(hci.HCI_LE_Read_Number_Of_Supported_Advertising_Sets_Command())
            assert refused.value.error_code == hci.HCI_UNKNOWN_HCI_COMMAND_ERROR
    run(story())


@pytest.mark.parametrize("active", [False, True], ids=["passive", "active"])
def test_scanning(airsim, active):
    """A scanner hears the advertising data, and the scan response only if it scans actively; what it hears carries the
    advertiser's address and type."""
    async def story():
        async with two(airsim) as (peripheral, central, _):
            heard, raw = [], []
            central.on("advertisement", heard.append)
            central.host.on("advertising_report", raw.append)
            await advertise(peripheral)
            await central.start_scanning(active=active, filter_duplicates=False)
            await until(lambda: len(heard) >= 3, "reports")
            await central.stop_scanning()
            assert {str(a.address) for a in heard} == {PERIPHERAL}
            assert all(a.is_connectable for a in heard)
            responses = [r for r in raw if r.event_type == 4]
            assert bool(responses) is active
            assert all(bytes(r.data) == advertising_data("answer") for r in responses)
            assert all(bytes(r.data) == advertising_data("peripheral") for r in raw if r.event_type != 4)
    run(story())


def test_duplicates_are_filtered(airsim):
    """With duplicate filtering a scanner hears an advertiser once, until its data changes."""
    async def story():
        async with two(airsim) as (peripheral, central, _):
            raw = []
            central.host.on("advertising_report", raw.append)
            await advertise(peripheral)
            await central.start_scanning(active=False, filter_duplicates=True)
            await until(lambda: raw, "first report")
            await asyncio.sleep(0.3)
            assert len(raw) == 1
            await peripheral.host.send_sync_command(
                hci.HCI_LE_Set_Advertising_Data_Command(advertising_data=advertising_data("changed")))
            await until(lambda: len(raw) == 2, "the changed data")
            assert bytes(raw[1].data) == advertising_data("changed")
    run(story())


@pytest.mark.parametrize("over", ["unix", "tcp"])
def test_gatt(airsim, over):
    """The whole of GATT between two foreign hosts: discovery, MTU exchange, read, write, write without response, notifications
    in order, disconnection with the reason, over unix and TCP."""
    async def story():
        async with two(airsim, over) as (peripheral, central, store):
            await advertise(peripheral)
            connection = await central.connect(PERIPHERAL)
            await until(lambda: peripheral.connections, "peripheral's connection")
            far = list(peripheral.connections.values())[0]
            assert str(far.peer_address) == CENTRAL and far.role == hci.Role.PERIPHERAL
            peer, value, echo = await find(connection)
            assert await peer.request_mtu(185) == 185
            assert await value.read_value() == b"hi"
            await value.write_value(b"there", with_response=True)
            assert await value.read_value() == b"there"

            got = []
            await echo.subscribe(lambda v: got.append(bytes(v)))
            for n in range(200):
                await value.write_value(struct.pack("<I", n), with_response=n % 10 == 0)
            await until(lambda: len(got) == 200, "notifications")
            assert got == [struct.pack("<I", n) for n in range(200)]
            assert store["value"] == struct.pack("<I", 199)

            ended = asyncio.get_running_loop().create_future()
            far.on("disconnection", ended.set_result)
            await connection.disconnect()
            assert await ended == hci.HCI_REMOTE_USER_TERMINATED_CONNECTION_ERROR
    run(story())


def test_long_values_are_fragmented(airsim):
    """An ATT PDU longer than one ACL packet crosses in HCI fragments and arrives whole."""
    async def story():
        async with two(airsim) as (peripheral, central, store):
            store["value"] = bytes(range(256)) * 2
            await advertise(peripheral)
            connection = await central.connect(PERIPHERAL)
            peer, value, _ = await find(connection)
            assert await peer.request_mtu(517) == 517
            assert await value.read_value() == bytes(range(256)) * 2
            written = bytes(reversed(range(256))) * 2
            await value.write_value(written, with_response=True)
            assert store["value"] == written
    run(story())


def test_several_centrals_at_once(airsim):
    """One peripheral serves six centrals at the same time, each on its own connection, and none sees another's answers."""
    count = 6

    # All stay until all are done: Bumble does not look at its queue again when a disconnection frees its credits.
    done = []

    async def one_central(name, n):
        async with bumble_host(airsim.unix, name, f"F0:F1:F2:F3:F5:{n:02X}") as central:
            connection = await central.connect(PERIPHERAL)
            _, value, echo = await find(connection)
            got = []
            await echo.subscribe(lambda v: got.append(bytes(v)))
            mine = [bytes([n, i]) for i in range(20)]
            for v in mine:
                await value.write_value(v, with_response=True)
            await until(lambda: [v for v in got if v[0] == n] == mine, "own echoes")
            done.append(n)
            await until(lambda: len(done) == count, "the others")

    async def story():
        async with bumble_host(airsim.unix, "peripheral", PERIPHERAL) as peripheral:
            store, seen = {"value": b""}, []
            give_services(peripheral, store)

            def again(connection):
                seen.append(str(connection.peer_address))
                if len(seen) < count:
                    asyncio.get_running_loop().create_task(advertise(peripheral))
            peripheral.on("connection", again)
            await advertise(peripheral)
            await asyncio.gather(*(one_central(f"central {n}", n) for n in range(count)))
            assert len(set(seen)) == count
    run(story())


def test_one_central_on_several_peripherals(airsim):
    """A controller holds several connections as central, and data on one does not reach another."""
    async def story():
        async with contextlib.AsyncExitStack() as stack:
            stores = []
            for n in range(4):
                p = await stack.enter_async_context(bumble_host(airsim.unix, f"p{n}", f"F0:F1:F2:F3:F6:{n:02X}"))
                stores.append({"value": bytes([n])})
                give_services(p, stores[n])
                await advertise(p)
            central = await stack.enter_async_context(bumble_host(airsim.unix, "central", CENTRAL))
            for n in range(4):
                connection = await central.connect(f"F0:F1:F2:F3:F6:{n:02X}")
                _, value, _ = await find(connection)
                assert await value.read_value() == bytes([n])
                await value.write_value(bytes([n, n]), with_response=True)
            assert [s["value"] for s in stores] == [bytes([n, n]) for n in range(4)]
            assert len({c.handle for c in central.connections.values()}) == 4
    run(story())


def test_directed_advertising_reaches_its_target_only(airsim):
    """Directed connectable advertising connects the device it names, and no other."""
    async def story():
        async with two(airsim) as (peripheral, central, _), bumble_host(airsim.unix, "other", "F0:F1:F2:F3:F4:03") as other:
            await peripheral.start_advertising(
                advertising_type=AdvertisingType.DIRECTED_CONNECTABLE_LOW_DUTY, target=hci.Address(CENTRAL),
                advertising_interval_min=30, advertising_interval_max=30)
            with pytest.raises(Exception):
                await other.connect(PERIPHERAL, timeout=0.3)
            connection = await central.connect(PERIPHERAL)
            assert str(connection.peer_address) == PERIPHERAL
    run(story())


def test_connect_can_be_cancelled(airsim):
    """Connecting to a device that is not there ends by cancelling, and the controller can connect afterwards."""
    async def story():
        async with two(airsim) as (peripheral, central, _):
            with pytest.raises(Exception):
                await central.connect("F0:F1:F2:F3:F4:99", timeout=0.2)
            await advertise(peripheral)
            assert (await central.connect(PERIPHERAL)).handle in central.connections
    run(story())


def test_procedures_on_a_connection(airsim):
    """Connection update, data length, PHY, RSSI, remote features and version work as Bumble asks for them; both sides hear of
    what changed."""
    async def story():
        async with two(airsim) as (peripheral, central, _):
            await advertise(peripheral)
            connection = await central.connect(PERIPHERAL)
            await until(lambda: peripheral.connections, "connection")
            far = list(peripheral.connections.values())[0]
            heard = []
            far.on("connection_parameters_update", lambda: heard.append("parameters"))
            far.on("connection_data_length_change", lambda: heard.append("length"))
            far.on("connection_phy_update", lambda *_: heard.append("phy"))
            await connection.set_data_length(251, 2120)
            await connection.set_phy([hci.HCI_LE_2M_PHY], [hci.HCI_LE_2M_PHY])
            await central.host.send_async_command(hci.HCI_LE_Connection_Update_Command(
                connection_handle=connection.handle, connection_interval_min=40, connection_interval_max=40,
                max_latency=0, supervision_timeout=200, min_ce_length=0, max_ce_length=0))
            await until(lambda: len(heard) == 3, "far side's events")
            assert sorted(heard) == ["length", "parameters", "phy"]
            assert await connection.get_rssi() == -45
            phy = await connection.get_phy()
            assert (phy.tx_phy, phy.rx_phy) == (hci.HCI_LE_2M_PHY, hci.HCI_LE_2M_PHY)
            await central.get_remote_le_features(connection)
    run(story())


def test_pairing_encrypts(airsim):
    """LE Secure Connections between two Bumble hosts completes over airsim: the Long Term Key travels by request and
    reply, and both hosts see the connection encrypted."""
    async def story():
        async with two(airsim) as (peripheral, central, _):
            await advertise(peripheral)
            connection = await central.connect(PERIPHERAL)
            await until(lambda: peripheral.connections, "connection")
            far = list(peripheral.connections.values())[0]
            await connection.pair()
            await until(lambda: connection.is_encrypted and far.is_encrypted, "encryption")
    run(story())


@pytest.mark.parametrize("who", ["peripheral", "central"])
def test_a_host_that_vanishes_times_out(airsim, who):
    """When a host's socket closes, its peer is told Connection Timeout (0x08) after the supervision timeout and not before, and
    the peer's controller goes on."""
    async def story():
        async with two(airsim) as (peripheral, central, _):
            await advertise(peripheral)
            connection = await central.connect(PERIPHERAL, connection_parameters_preferences={
                hci.HCI_LE_1M_PHY: ConnectionParametersPreferences(supervision_timeout=600)})
            await until(lambda: peripheral.connections, "connection")
            far = list(peripheral.connections.values())[0]
            gone, left = (peripheral, connection) if who == "peripheral" else (central, far)
            ended = asyncio.get_running_loop().create_future()
            left.on("disconnection", ended.set_result)
            start = time.monotonic()
            await gone.hci_transport.close()
            assert await ended == hci.HCI_CONNECTION_TIMEOUT_ERROR
            assert 0.55 < time.monotonic() - start < 2
            left_device = central if who == "peripheral" else peripheral
            assert (await left_device.host.send_sync_command(hci.HCI_Read_BD_ADDR_Command())).status == 0
    run(story())


def h4(sock, n):
    """The next n packets of a raw H4 socket: (type, header, body)."""
    packets = []
    for _ in range(n):
        kind = sock.recv(1, socket.MSG_WAITALL)
        assert kind, "closed"
        header = sock.recv(2 if kind == b"\x04" else 4, socket.MSG_WAITALL)
        length = header[1] if kind == b"\x04" else struct.unpack("<H", header[2:])[0]
        packets.append((kind[0], header, sock.recv(length, socket.MSG_WAITALL) if length else b""))
    return packets


def dial(airsim):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    s.connect(str(airsim.sock))
    return s


def test_a_stream_may_be_cut_anywhere(airsim):
    """The same commands, one octet at a time or all at once, give the same answers."""
    commands = bytes.fromhex("01 03 0C 00  01 09 10 00  01 02 20 00".replace(" ", ""))
    with dial(airsim) as whole, dial(airsim) as cut:
        whole.sendall(commands)
        for octet in commands:
            cut.send(bytes([octet]))
        a, b = h4(whole, 3), h4(cut, 3)
    assert a[0] == b[0] and a[2] == b[2]
    assert a[1][2][:4] == b[1][2][:4] and a[1][2] != b[1][2]        # their addresses differ


def test_a_stream_that_is_not_h4_ends_alone(airsim):
    """A bad type octet ends that connection with one line on stderr; another host does not notice."""
    with dial(airsim) as good, dial(airsim) as bad:
        bad.sendall(b"\x01\x03\x0c\x00" + b"\x77garbage")
        assert h4(bad, 1)[0][2] == b"\x01\x03\x0c\x00"
        with contextlib.suppress(ConnectionResetError):
            assert bad.recv(100) == b""
        good.sendall(b"\x01\x03\x0c\x00")
        assert h4(good, 1)[0][2] == b"\x01\x03\x0c\x00"
    assert len([line for line in airsim.said().splitlines() if "0x77" in line]) == 1


def test_a_host_that_does_not_read_is_not_read_from(airsim):
    """A host that floods commands and never reads is held back, others are served meanwhile, and when it reads at last every
    command has its one answer."""
    flood = 20000
    with dial(airsim) as deaf, dial(airsim) as other:
        deaf.setblocking(False)
        data, sent = b"\x01\x09\x10\x00" * flood, 0
        with contextlib.suppress(BlockingIOError):
            while sent < len(data):
                sent += deaf.send(data[sent:])
        time.sleep(0.1)
        other.sendall(b"\x01\x03\x0c\x00")
        assert h4(other, 1)[0][2] == b"\x01\x03\x0c\x00"
        deaf.settimeout(5)
        answer, got, octets = 1 + 2 + 10, b"", 0
        while sent < len(data) or octets < flood * answer:
            deaf.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while sent < len(data):
                    sent += deaf.send(data[sent:sent + 65536])
            deaf.settimeout(5)
            got = deaf.recv(1 << 16)
            assert got
            octets += len(got)
        assert octets == flood * answer


def context_switches(pid):
    with open(f"/proc/{pid}/status") as f:
        return sum(int(line.split()[1]) for line in f if "ctxt_switches" in line)


def test_idle_costs_nothing(airsim):
    """With advertisers and a connection, and nobody scanning, airsim does not wake up once in two seconds; a command
    makes the same counter move."""
    async def story():
        async with two(airsim) as (peripheral, central, _):
            await advertise(peripheral)
            await central.connect(PERIPHERAL)
            await advertise(central)
            await asyncio.sleep(0.3)
            before = context_switches(airsim.process.pid)
            await asyncio.sleep(2)
            assert context_switches(airsim.process.pid) == before
            await central.host.send_sync_command(hci.HCI_Read_BD_ADDR_Command())
            assert context_switches(airsim.process.pid) > before
    run(story())

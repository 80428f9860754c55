"""Bumble, as scanner and central, against our peripheral: three daemons on a controller of the simulated air.

What a test proves stands in its docstring.  timeout: 90 s"""
import asyncio
import contextlib
import json
import signal
import struct

import pytest
from bumble import l2cap
from bumble.core import UUID, ProtocolError

from conftest import bumble_host, run
from pipeline import Pipeline
from pipeline_far import (ADDRESS, AUTHORIZED, BOTH, BOTH_CCCD, ECHO, ECHO_128, ECHO_CCCD, INDICATED, INDICATED_CCCD, LOCKED,
                          LONG, LONG_VALUE, NAME, READ_ONLY, SERVICE_128, SUM_IN, SUM_OUT, SUM_OUT_CCCD, WRITE, WRITE_128,
                          WRITE_ONLY, ask, device_file, discover, error, found, refusal, subscribed, until)

CENTRAL = "C0:01:02:03:04:05"


@pytest.fixture
def pipeline():
    """A pipeline of its own for the test; its end must be clean."""
    with Pipeline(device_file()) as p:
        yield p


@contextlib.asynccontextmanager
async def central_on(p, address=CENTRAL):
    """A Bumble host on a controller of the pipeline's air."""
    async with bumble_host(f"unix-client:{p.air}", "central", address) as central:
        yield central


@contextlib.asynccontextmanager
async def connected_to(p, address=CENTRAL):
    """The same, connected to the pipeline."""
    async with central_on(p, address) as central:
        connection = await central.connect(ADDRESS)
        yield central, connection


async def listen(central, enough, active=False):
    """Advertising reports until there are enough."""
    raw = []
    central.host.on("advertising_report", raw.append)
    await central.start_scanning(active=active, filter_duplicates=False)
    await until(lambda: enough(raw), "advertising reports")
    await central.stop_scanning()
    return raw


def trefoil(p, *words, **more):
    """A command beside the event loop."""
    return asyncio.to_thread(p.run, *words, **more)


# ---- advertising -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("active", [False, True], ids=["passive", "active"])
def test_advertising_is_heard(pipeline, active):
    """A scanner hears the device file's address and advertising data, octet for octet; the scan response comes to an active
    scanner only."""
    async def story():
        async with central_on(pipeline) as central:
            raw = await listen(central, lambda r: len(r) >= 6, active)
            assert {str(r.address) for r in raw} == {ADDRESS}
            assert all(r.address.is_random for r in raw)
            kinds = {r.event_type for r in raw}
            assert kinds == ({0, 4} if active else {0}), kinds
            assert {bytes(r.data) for r in raw if r.event_type == 0} == {bytes.fromhex("020106 050954726566")}
            assert {bytes(r.data) for r in raw if r.event_type == 4} <= {bytes.fromhex("05FFFFFFABCD")}
    run(story())


def test_the_name_is_advertised_where_the_file_says_nothing():
    """Without advertising_data the device file's name is heard, with the flags of an LE-only device."""
    async def story(p):
        async with central_on(p) as central:
            raw = await listen(central, lambda r: len(r) >= 2)
            assert bytes(raw[0].data) == bytes([2, 1, 6, 1 + len(NAME), 9]) + NAME.encode()
    with Pipeline({"name": NAME, "address": ADDRESS, "advertising_interval": 20}) as p:
        run(story(p))


def test_live_reload(pipeline):
    """SIGHUP to `up`: changed advertising data of the device file is heard, on a connection nothing is noticed, and a broken
    file changes nothing."""
    async def story():
        path = pipeline.run_dir.parent / "device.json"
        async with connected_to(pipeline) as (_, connection):
            before = pipeline.status()
            path.write_text(json.dumps(device_file(advertising_data="02 01 06  04 09 4E 65 77")))
            pipeline.up.send_signal(signal.SIGHUP)
            async with central_on(pipeline, "C0:01:02:03:04:06") as scanner:
                wanted = bytes.fromhex("020106 04094E6577")
                await listen(scanner, lambda r: r and bytes(r[-1].data) == wanted)
                path.write_text('{"advertising_data": 7')
                pipeline.up.send_signal(signal.SIGHUP)
                await asyncio.sleep(0.3)
                raw = await listen(scanner, lambda r: len(r) >= 3)
                assert {bytes(r.data) for r in raw} == {wanted}
            assert await connection.gatt_client.read_value(WRITE) == b"hi"
            after = pipeline.status()
            assert [p["worker_pid"] for p in before["processes"]] == [p["worker_pid"] for p in after["processes"]]
        path.write_text(json.dumps(device_file()))
    run(story())


def test_advertising_comes_back(pipeline):
    """It goes on while there is room for another connection, stops when there is none (limits.connections), and comes back
    after a disconnection."""
    async def story():
        async with contextlib.AsyncExitStack() as stack:
            connections = []
            for n in range(6):
                _, c = await stack.enter_async_context(connected_to(pipeline, f"C0:01:02:03:05:{n:02X}"))
                connections.append(c)
            scanner = await stack.enter_async_context(central_on(pipeline))
            await until(lambda: not pipeline.status()["controller"]["advertising"], "the end of advertising")
            raw = []
            scanner.host.on("advertising_report", raw.append)
            await scanner.start_scanning(active=False, filter_duplicates=False)
            await asyncio.sleep(0.3)
            assert not raw
            await connections[3].disconnect()
            await until(lambda: raw, "advertising after the disconnection")
            await scanner.stop_scanning()
            assert (await scanner.connect(ADDRESS)).peer_address.is_random
    run(story())


# ---- discovery ---------------------------------------------------------------------------------------------------------

def test_discovery(pipeline):
    """Everything is found as the device file has it: services in the order of their handles whatever the file's order, gaps, 16-
    and 128-bit UUIDs, properties, value handles, descriptors, a CCCD wherever something can be subscribed to, GAP and GATT."""
    async def story():
        async with connected_to(pipeline) as (_, connection):
            peer = await discover(connection)
            services = [(s.handle, s.uuid) for s in peer.services]
            assert services == sorted(services, key=lambda s: s[0])
            assert [s for s in services if s[0] >= 0x100] == [
                (0x0100, UUID(SERVICE_128)), (0x0200, UUID("F010")), (0x0300, UUID("F020"))]
            assert {UUID("1800"), UUID("1801")} <= {u for _, u in services}
            for a, b in zip(peer.services, peer.services[1:]):
                assert a.end_group_handle < b.handle
            got = {c.handle: (str(c.uuid).upper(), int(c.properties), [(d.handle, d.type) for d in c.descriptors])
                   for s in peer.services if s.handle >= 0x100 for c in s.characteristics}
            cccd, said = UUID("2902"), UUID("2901")
            assert {h: (p, sorted(t.to_hex_str() for _, t in d)) for h, (_, p, d) in got.items()} == {
                WRITE: (0x0E, []), ECHO: (0x12, [cccd.to_hex_str()]),
                INDICATED: (0x22, [said.to_hex_str(), cccd.to_hex_str()]), BOTH: (0x30, [cccd.to_hex_str()]),
                LONG_VALUE: (0x02, []), READ_ONLY: (0x02, []), WRITE_ONLY: (0x08, []), LOCKED: (0x0A, []), AUTHORIZED: (0x0A, []),
                SUM_IN: (0x0E, []), SUM_OUT: (0x12, [cccd.to_hex_str()])}
            assert found(peer, WRITE_128).handle == WRITE and found(peer, ECHO_128).handle == ECHO
            assert (ECHO_CCCD, cccd) in got[ECHO][2] and (SUM_OUT_CCCD, cccd) in got[SUM_OUT][2]
            description = next(h for h, t in got[INDICATED][2] if t == said)
            assert await connection.gatt_client.read_value(description) == b"told and confirmed"
            assert await found(peer, "2A00").read_value() == NAME.encode()
    run(story())


def test_discovery_by_uuid(pipeline):
    """Services by UUID (Find By Type Value) with 16- and 128-bit UUIDs, values by UUID (Read By Type), and what is not there."""
    async def story():
        async with connected_to(pipeline) as (_, connection):
            client = connection.gatt_client
            for uuid, handle in ((SERVICE_128, 0x0100), ("F010", 0x0200)):
                assert [s.handle for s in await client.discover_service(UUID(uuid))] == [handle]
            assert await client.discover_service(UUID("F0FF")) == []
            assert await client.read_characteristics_by_uuid(UUID("F012"), None) == [b"as it is"]
            assert await client.read_characteristics_by_uuid(UUID(WRITE_128), None) == [b"hi"]
            assert await ask(connection, bytes.fromhex("08 01 00 FF FF FF F0")) == error(0x08, 0x0001, 0x0A)
    run(story())


# ---- reading and writing -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mtu, agreed", [(23, 23), (185, 185), (517, 517), (1000, 517)])
def test_mtu_and_long_values(pipeline, mtu, agreed):
    """Exchange MTU gives the smaller of both; a value of 512 octets is read whole with Read and Read Blob at any MTU, and
    `status` tells the MTU."""
    async def story():
        async with connected_to(pipeline) as (_, connection):
            assert await connection.gatt_client.request_mtu(mtu) == agreed
            assert await connection.gatt_client.read_value(LONG_VALUE) == LONG
            assert [c["mtu"] for c in pipeline.status()["connections"]] == [agreed]
    run(story())


def test_without_an_mtu_exchange(pipeline):
    """Nobody has to exchange the MTU: 22 octets of a value come at a time."""
    async def story():
        async with connected_to(pipeline) as (_, connection):
            assert (await ask(connection, bytes([0x0A]) + struct.pack("<H", LONG_VALUE))) == b"\x0B" + LONG[:22]
            assert (await ask(connection, bytes([0x0C]) + struct.pack("<HH", LONG_VALUE, 500))) == b"\x0D" + LONG[500:]
            assert (await ask(connection, bytes([0x0C]) + struct.pack("<HH", LONG_VALUE, 512))) == b"\x0D"
    run(story())


def test_write(pipeline):
    """What is written is what is read: empty, short, the longest that fits an MTU, and without response; then by another
    central."""
    async def story():
        async with connected_to(pipeline) as (_, connection):
            client = connection.gatt_client
            await client.request_mtu(517)
            for value in (b"", b"x", bytes(244), bytes(reversed(range(256))) * 2):
                await client.write_value(WRITE, value, with_response=True)
                assert await client.read_value(WRITE) == value
            for n in range(50):
                await client.write_value(WRITE, struct.pack("<I", n), with_response=False)
            assert await client.read_value(WRITE) == struct.pack("<I", 49)
            async with connected_to(pipeline, "C0:01:02:03:04:06") as (_, other):
                assert await other.gatt_client.read_value(WRITE) == struct.pack("<I", 49)
    run(story())


REFUSALS = [
    ("read not permitted", bytes([0x0A]) + struct.pack("<H", WRITE_ONLY), error(0x0A, WRITE_ONLY, 0x02)),
    ("blob not permitted", bytes([0x0C]) + struct.pack("<HH", WRITE_ONLY, 0), error(0x0C, WRITE_ONLY, 0x02)),
    ("write not permitted", bytes([0x12]) + struct.pack("<H", READ_ONLY) + b"x", error(0x12, READ_ONLY, 0x03)),
    ("write to a declaration", bytes([0x12]) + struct.pack("<H", WRITE - 1) + b"x", error(0x12, WRITE - 1, 0x03)),
    ("read of handle 0", bytes([0x0A, 0, 0]), error(0x0A, 0, 0x01)),
    ("read in a gap", bytes([0x0A]) + struct.pack("<H", 0x0180), error(0x0A, 0x0180, 0x01)),
    ("write in a gap", bytes([0x12]) + struct.pack("<H", 0x0180) + b"x", error(0x12, 0x0180, 0x01)),
    ("read behind the end", bytes([0x0A, 0xFF, 0xFF]), error(0x0A, 0xFFFF, 0x01)),
    ("too long a write", bytes([0x12]) + struct.pack("<H", WRITE_ONLY) + b"12345", error(0x12, WRITE_ONLY, 0x0D)),
    ("CCCD too short", bytes([0x12]) + struct.pack("<H", ECHO_CCCD) + b"\x01", error(0x12, ECHO_CCCD, 0x0D)),
    ("CCCD too long", bytes([0x12]) + struct.pack("<H", ECHO_CCCD) + b"\x01\x00\x00", error(0x12, ECHO_CCCD, 0x0D)),
    ("offset behind the value", bytes([0x0C]) + struct.pack("<HH", LONG_VALUE, 513), error(0x0C, LONG_VALUE, 0x07)),
    ("reading needs encryption", bytes([0x0A]) + struct.pack("<H", LOCKED), error(0x0A, LOCKED, 0x05)),
    ("writing needs encryption", bytes([0x12]) + struct.pack("<H", LOCKED) + b"x", error(0x12, LOCKED, 0x05)),
    ("reading needs authorization", bytes([0x0A]) + struct.pack("<H", AUTHORIZED), error(0x0A, AUTHORIZED, 0x08)),
    ("a range that starts with 0", bytes.fromhex("04 00 00 FF FF"), error(0x04, 0x0000, 0x01)),
    ("a range turned round", bytes.fromhex("08 10 00 0F 00 03 28"), error(0x08, 0x0010, 0x01)),
    ("an empty range", bytes.fromhex("04 80 01 90 01"), error(0x04, 0x0180, 0x0A)),
    ("a group type that is none", bytes.fromhex("10 01 00 FF FF 03 28"), error(0x10, 0x0001, 0x10)),
    ("a request that is too short", bytes.fromhex("0A 01"), error(0x0A, 0x0000, 0x04)),
    ("a UUID of 3 octets", bytes.fromhex("08 01 00 FF FF 00 28 00"), error(0x08, 0x0000, 0x04)),
    ("an unknown request", bytes.fromhex("3E 01 02"), error(0x3E, 0x0000, 0x06)),
]


def test_refusals(pipeline):
    """Each thing that cannot be done is refused by the code that the Core Specification names (Vol 3, Part F, 3.4), with request
    and handle in it; after each of them the next request is served."""
    async def story():
        async with connected_to(pipeline) as (_, connection):
            wrong = []
            for name, request, answer in REFUSALS:
                got = await ask(connection, request)
                if got != answer:
                    wrong.append(f"{name}: {got.hex()} instead of {answer.hex()}")
                assert await connection.gatt_client.read_value(READ_ONLY) == b"as it is", name
            assert not wrong, "\n".join(wrong)
            assert await refusal(connection.gatt_client.read_value(WRITE_ONLY)) == 0x02
    run(story())


def test_commands_are_never_answered(pipeline):
    """A write without response that is not permitted, has no handle or is cut gets no answer and changes nothing."""
    async def story():
        async with connected_to(pipeline) as (_, connection):
            client, stray = connection.gatt_client, []
            for octets in (bytes([0x52]) + struct.pack("<H", READ_ONLY) + b"x", bytes.fromhex("52 80 01 00"),
                           bytes.fromhex("52 01"),
                           bytes.fromhex("7F 01"), bytes([0x52]) + struct.pack("<H", WRITE_ONLY) + b"12345"):
                client.send_gatt_pdu(octets)
            before = client.on_gatt_pdu
            client.on_gatt_pdu = lambda pdu: (stray.append(pdu) if client.pending_request is None else before(pdu))
            assert await client.read_value(READ_ONLY) == b"as it is"
            await asyncio.sleep(0.1)
            assert not stray
    run(story())


# ---- being told --------------------------------------------------------------------------------------------------------

def test_notifications(pipeline):
    """What is written is notified to its subscriber, in order and each value once; CCCDs are per connection, read as they were
    written, and an unsubscribed client hears nothing."""
    async def story():
        async with connected_to(pipeline) as (_, connection), connected_to(pipeline, "C0:01:02:03:04:06") as (_, other):
            client, silent = connection.gatt_client, []
            peer = await discover(other)
            found(peer, ECHO_128).on("update", silent.append)
            async with subscribed(connection, ECHO_128) as got:
                assert await client.read_value(ECHO_CCCD) == b"\x01\x00"
                assert await other.gatt_client.read_value(ECHO_CCCD) == b"\x00\x00"
                sent = [struct.pack("<I", n) for n in range(300)]
                for n, value in enumerate(sent):
                    await client.write_value(WRITE, value, with_response=n % 10 == 0)
                await until(lambda: len(got) >= len(sent), "notifications")
                assert got == sent
                await client.write_value(ECHO_CCCD, b"\x00\x00", with_response=True)
                await client.write_value(WRITE, b"unheard", with_response=True)
                assert await client.read_value(ECHO) == b"unheard"
                assert got == sent and not silent
    run(story())


def test_indications(pipeline):
    """Indications come one at a time, each after the confirmation of the one before, in order; none is lost when many values are
    set at once."""
    async def story():
        async with connected_to(pipeline) as (_, connection):
            confirmed = []
            client = connection.gatt_client
            confirm = client.send_confirmation
            client.send_confirmation = lambda c: (confirmed.append(len(got)), confirm(c))
            async with subscribed(connection, "F003") as got:
                assert await client.read_value(INDICATED_CCCD) == b"\x02\x00"
                values = [bytes([n]) for n in range(40)]
                await trefoil(pipeline, "gatt", "set", f"0x{INDICATED:04X}", "-", input="\n".join(v.hex() for v in values))
                await until(lambda: len(got) >= 40, "indications")
                await asyncio.sleep(0.05)
                assert got == values
                assert confirmed == list(range(1, 41))
    run(story())


def test_unconfirmed_indications_wait(pipeline):
    """Without a confirmation there is no second indication, and everything else on the connection goes on."""
    async def story():
        async with connected_to(pipeline) as (_, connection):
            client, held = connection.gatt_client, []
            confirm, client.send_confirmation = client.send_confirmation, held.append
            async with subscribed(connection, "F003") as got:
                await trefoil(pipeline, "gatt", "set", "F003", "-", input="01\n02\n03\n")
                await until(lambda: got, "the first indication")
                await asyncio.sleep(0.2)
                assert got == [b"\x01"]
                assert await client.read_value(INDICATED) == b"\x03"
                for n in range(3):
                    await until(lambda: len(held) > n, "an indication")
                    confirm(held[n])
                await until(lambda: len(got) == 3, "the others")
                assert got == [b"\x01", b"\x02", b"\x03"]
    run(story())


@pytest.mark.parametrize("notify", [True, False], ids=["notify", "indicate"])
def test_one_that_can_do_both(pipeline, notify):
    """A characteristic with NOTIFY and INDICATE does what the subscriber has asked for."""
    async def story():
        async with connected_to(pipeline) as (_, connection):
            client, raw = connection.gatt_client, []
            handle, client.on_gatt_pdu = client.on_gatt_pdu, lambda pdu: (raw.append(int(pdu.op_code)), handle(pdu))
            async with subscribed(connection, "F004", prefer_notify=notify) as got:
                assert await client.read_value(BOTH_CCCD) == (b"\x01\x00" if notify else b"\x02\x00")
                await trefoil(pipeline, "gatt", "set", "F004", "0102")
                await until(lambda: got, "the value")
                assert got == [b"\x01\x02"]
                assert (0x1B in raw, 0x1D in raw) == (notify, not notify)
    run(story())


def test_gatt_set(pipeline):
    """`trefoil gatt set` by UUID, by 128-bit UUID, by handle and from standard input: the value is read and notified; what
    cannot be done is refused in words, exit 1, with --json as JSON."""
    async def story():
        async with connected_to(pipeline) as (_, connection):
            async with subscribed(connection, ECHO_128) as got:
                await trefoil(pipeline, "gatt", "set", ECHO_128, "01 02 03")
                await trefoil(pipeline, "gatt", "set", f"0x{ECHO:04X}", "04")
                await trefoil(pipeline, "gatt", "set", str(ECHO), "-", input="05\n06 07\n08:09\n")
                await until(lambda: len(got) >= 5, "notifications")
                assert got == [b"\1\2\3", b"\4", b"\5", b"\6\7", b"\x08\x09"]
                assert await connection.gatt_client.read_value(ECHO) == b"\x08\x09"
            await trefoil(pipeline, "gatt", "set", "F012", "6E6577")
            assert await connection.gatt_client.read_value(READ_ONLY) == b"new"
        for words, says in ((("F0FF", "00"), "F0FF"), (("0x0180", "00"), "handle"), ((f"0x{WRITE_ONLY:04X}", "0102030405"), "")):
            r = await trefoil(pipeline, "gatt", "set", *words, check=False)
            assert r.returncode == 1 and len(r.stderr.splitlines()) == 1, (words, r)
            r = await trefoil(pipeline, "--json", "gatt", "set", *words, check=False)
            said = json.loads(r.stdout)
            assert r.returncode == 1 and said["result"] and said["why"], (words, r)
    run(story())


def test_gatt_set_as_fast_as_it_can(pipeline):
    """2,000 values on standard input are notified to two subscribers, each value once, in order, while one of them writes and
    reads."""
    async def story():
        async with connected_to(pipeline) as (_, connection), connected_to(pipeline, "C0:01:02:03:04:06") as (_, other):
            async with subscribed(connection, ECHO_128) as got, subscribed(other, ECHO_128) as too:
                values = [struct.pack("<I", n) for n in range(2000)]
                job = asyncio.create_task(
                    trefoil(pipeline, "gatt", "set", ECHO_128, "-", input="\n".join(v.hex() for v in values)))
                n = 0
                while not job.done():
                    n += 1
                    await other.gatt_client.write_value(SUM_IN, struct.pack("<I", n), with_response=True)
                    assert await other.gatt_client.read_value(SUM_IN) == struct.pack("<I", n)
                await job
                await until(lambda: len(got) >= 2000 and len(too) >= 2000, "all notifications")
                assert got == values and too == values
    run(story(), 60)


# ---- several, and their ends -------------------------------------------------------------------------------------------

def test_four_centrals_at_once(pipeline):
    """Four centrals write, read and are subscribed at the same time: each gets the answer to its own request, each hears every
    value once, and all hear them in one and the same order, in which each one's own values stand in order."""
    count, each = 4, 60

    async def one(n, connection, got, ready):
        client = connection.gatt_client
        ready.append(n)
        await until(lambda: len(ready) == count, "the others")
        for i in range(each):
            mine = struct.pack("<BI", n, i)
            await client.write_value(SUM_IN, mine, with_response=i % 3 != 0)
            read = await client.read_value(SUM_IN)
            assert len(read) == 5 and read[0] < count
            if read[0] == n:
                assert read == mine
            assert await client.read_value(READ_ONLY) == b"as it is"
        await until(lambda: len(got) >= count * each, f"all notifications at {n}")

    async def story():
        async with contextlib.AsyncExitStack() as stack:
            jobs, heard, ready = [], [], []
            for n in range(count):
                _, connection = await stack.enter_async_context(connected_to(pipeline, f"C0:01:02:03:05:{n:02X}"))
                heard.append(await stack.enter_async_context(subscribed(connection, "F022")))
                jobs.append(one(n, connection, heard[n], ready))
            await asyncio.gather(*jobs)
            assert all(h == heard[0] for h in heard)
            for n in range(count):
                assert [v for v in heard[0] if v[0] == n] == [struct.pack("<BI", n, i) for i in range(each)]
            assert len(pipeline.status()["connections"]) == count
    run(story(), 60)


def test_a_disconnection_in_the_middle(pipeline):
    """A central disconnects with requests and notifications under way: the other one's requests and notifications go on without
    a gap, the slot is free again, and whoever connects next finds neither subscription nor MTU of the one before."""
    async def story():
        async with connected_to(pipeline) as (_, connection):
            async with subscribed(connection, "F022") as got:
                n = 0
                for round_ in range(5):
                    async with connected_to(pipeline, "C0:01:02:03:04:06") as (_, other):
                        assert await other.gatt_client.read_value(SUM_OUT_CCCD) == b"\x00\x00"
                        assert other.att_mtu == 23
                        await other.gatt_client.request_mtu(100 + round_)
                        async with subscribed(other, "F022"):
                            for _ in range(20):
                                n += 1
                                await connection.gatt_client.write_value(SUM_IN, struct.pack("<I", n), with_response=False)
                            await other.disconnect()
                    for _ in range(20):
                        n += 1
                        await connection.gatt_client.write_value(SUM_IN, struct.pack("<I", n), with_response=True)
                await until(lambda: len(got) >= n, "notifications")
                assert got == [struct.pack("<I", i) for i in range(1, n + 1)]
                await until(lambda: len(pipeline.status()["connections"]) == 1, "one connection in `status`")
    run(story())


def test_a_central_that_vanishes(pipeline):
    """A controller that is gone without a word ends its connection by supervision timeout: `status` forgets it, the other
    connection goes on, a new central connects and is served."""
    async def story():
        async with connected_to(pipeline) as (_, connection):
            async with connected_to(pipeline, "C0:01:02:03:04:06") as (central, other):
                async with subscribed(other, "F022"):
                    assert len(pipeline.status()["connections"]) == 2
                    await central.hci_transport.close()
                    for n in range(50):
                        await connection.gatt_client.write_value(SUM_IN, struct.pack("<I", n), with_response=True)
            await until(lambda: len(pipeline.status()["connections"]) == 1, "the supervision timeout", 20)
            async with connected_to(pipeline, "C0:01:02:03:04:06") as (_, again):
                assert await again.gatt_client.read_value(SUM_IN) == struct.pack("<I", 49)
                assert await again.gatt_client.read_value(SUM_OUT_CCCD) == b"\x00\x00"
    run(story(), 60)


# ---- L2CAP and SMP -----------------------------------------------------------------------------------------------------

async def signal_(central, connection, frame):
    """The L2CAP signalling command that comes for one that was sent."""
    got = []
    manager = central.l2cap_channel_manager
    before, manager.on_control_frame = manager.on_control_frame, lambda c, cid, f: got.append((cid, f))
    try:
        manager.send_control_frame(connection, l2cap.L2CAP_LE_SIGNALING_CID, frame)
        await until(lambda: got, "an answer on the signalling channel")
    finally:
        manager.on_control_frame = before
    assert got[0][0] == l2cap.L2CAP_LE_SIGNALING_CID and got[0][1].identifier == frame.identifier
    return got[0][1]


def test_l2cap_signalling(pipeline):
    """A connection parameter update request to a peripheral is rejected as not understood (Vol 3, Part A, 4.20), a credit-based
    connection as SPSM not supported; a disconnection of no channel as an invalid CID; ATT goes on."""
    async def story():
        async with connected_to(pipeline) as (central, connection):
            answer = await signal_(central, connection, l2cap.L2CAP_Connection_Parameter_Update_Request(
                identifier=7, interval_min=24, interval_max=40, latency=0, timeout=200))
            assert isinstance(answer, l2cap.L2CAP_Command_Reject) and answer.reason == 0
            answer = await signal_(central, connection, l2cap.L2CAP_LE_Credit_Based_Connection_Request(
                identifier=8, le_psm=0x80, source_cid=0x40, mtu=100, mps=100, initial_credits=1))
            assert isinstance(answer, l2cap.L2CAP_LE_Credit_Based_Connection_Response) and answer.result == 2
            answer = await signal_(central, connection, l2cap.L2CAP_Disconnection_Request(
                identifier=9, destination_cid=0x41, source_cid=0x42))
            assert isinstance(answer, l2cap.L2CAP_Command_Reject) and answer.reason == 2
            assert answer.data == struct.pack("<HH", 0x41, 0x42)
            assert await connection.gatt_client.read_value(READ_ONLY) == b"as it is"
    run(story())


def test_connection_update(pipeline):
    """The central changes the connection parameters and the data length: our side takes it, and values go on being exchanged."""
    async def story():
        async with connected_to(pipeline) as (_, connection):
            await connection.update_parameters(50, 50, 0, 4000)
            await connection.set_data_length(251, 2120)
            await connection.gatt_client.request_mtu(517)
            assert await connection.gatt_client.read_value(LONG_VALUE) == LONG
            assert len(pipeline.status()["connections"]) == 1
    run(story())


def test_pairing_is_refused(pipeline):
    """A pairing request gets Pairing Failed, reason Pairing Not Supported (Vol 3, Part H, 3.5.5), as often as it is asked, and
    the connection goes on."""
    async def story():
        async with connected_to(pipeline) as (_, connection):
            for _ in range(2):
                with pytest.raises(ProtocolError) as refused:
                    await asyncio.wait_for(connection.pair(), 10)
                assert refused.value.error_code == 0x05
                assert await connection.gatt_client.read_value(READ_ONLY) == b"as it is"
            assert pipeline.status()["connections"][0]["encrypted"] is False
    run(story())

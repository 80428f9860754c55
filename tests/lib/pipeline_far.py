"""What the tests of the whole pipeline share: the device file they use, and what a Bumble central does with it."""
import asyncio
import contextlib

from bumble.att import ATT_Error
from bumble.core import UUID
from bumble.device import Peer

from pipeline import characteristic

ADDRESS = "F0:F1:F2:F3:F4:F5"
NAME = "Trefoil pipeline"
LONG = bytes(range(256)) * 2
SERVICE_128 = "50DB505C-8AC4-4738-8448-3B1D9CC09CC5"
WRITE_128 = "486F64C6-4B5F-4B3B-8AFF-EDE134A8446A"
ECHO_128 = "38904057-09BB-4FC6-8D10-B6C2AE6C9D53"

# Handles by name.  The services stand in the file in another order than in the database, and all have gaps between them.
WRITE, ECHO, ECHO_CCCD = 0x0102, 0x0110, 0x0111
INDICATED, INDICATED_CCCD = 0x0120, 0x0122          # its user description is between them
BOTH, BOTH_CCCD = 0x0130, 0x0131
LONG_VALUE, READ_ONLY, WRITE_ONLY, LOCKED, AUTHORIZED = 0x0202, 0x0210, 0x0220, 0x0230, 0x0240
SUM_IN, SUM_OUT, SUM_OUT_CCCD = 0x0302, 0x0304, 0x0305


def hexed(octets):
    return "hex:" + octets.hex()


def device_file(**more):
    """A device file with everything in it that the tests look at."""
    return {
        "name": NAME, "address": ADDRESS, "advertising_interval": 20,
        "advertising_data": "02 01 06  05 09 54 72 65 66",
        "scan_response_data": "05 FF FF FF AB CD",
        "gatt_services": [
            {"uuid": "F010", "trefoil": {"handle": "0x0200"}, "characteristics": [
                characteristic("F011", "READ", "READABLE", handle=LONG_VALUE, value=hexed(LONG)),
                characteristic("F012", "READ", "READABLE", handle=READ_ONLY, value="as it is"),
                characteristic("F013", "WRITE", "WRITEABLE", handle=WRITE_ONLY, max_length=4),
                characteristic("F014", "READ,WRITE", "READ_REQUIRES_ENCRYPTION,WRITE_REQUIRES_ENCRYPTION", handle=LOCKED),
                characteristic("F015", "READ,WRITE", "READ_REQUIRES_AUTHORIZATION,WRITE_REQUIRES_AUTHORIZATION",
                               handle=AUTHORIZED),
            ]},
            {"uuid": "F020", "trefoil": {"handle": "0x0300"}, "characteristics": [
                characteristic("F021", "READ,WRITE,WRITE_WITHOUT_RESPONSE", handle=SUM_IN, echo="F022", max_length=244),
                characteristic("F022", "READ,NOTIFY", "READABLE", handle=SUM_OUT, max_length=244),
            ]},
            {"uuid": SERVICE_128, "trefoil": {"handle": "0x0100"}, "characteristics": [
                characteristic(WRITE_128, "READ,WRITE,WRITE_WITHOUT_RESPONSE", handle=WRITE, echo=ECHO_128, value="hi"),
                characteristic(ECHO_128, "READ,NOTIFY", "READABLE", handle=ECHO),
                {**characteristic("F003", "READ,INDICATE", "READABLE", handle=INDICATED, value="hex:00", max_length=20),
                 "descriptors": [{"descriptor_type": "2901", "permissions": "READABLE",
                                  "trefoil": {"value": "told and confirmed"}}]},
                characteristic("F004", "NOTIFY,INDICATE", handle=BOTH, max_length=20),
            ]},
        ],
        "trefoil": {"limits": {"connections": 6}},
        **more,
    }


async def until(condition, what, limit_s=10):
    """Waits for a condition; what it waits for is told where it does not come."""
    end = asyncio.get_running_loop().time() + limit_s
    while not condition():
        assert asyncio.get_running_loop().time() < end, f"not within {limit_s} s: {what}"
        await asyncio.sleep(0.005)


async def refusal(request):
    """The ATT error code that a request is refused with; None where it is not."""
    try:
        await request
    except ATT_Error as e:
        return int(e.error_code)
    return None


class Raw:
    """A PDU as it is given, for what Bumble would never send: gatt_client.send_request(Raw(...))."""
    NAMES = {0x0A: "ATT_READ_REQUEST", 0x0C: "ATT_READ_BLOB_REQUEST"}    # by which Bumble knows the answer; an error always does

    def __init__(self, octets):
        self.octets = bytes(octets)
        self.name = self.NAMES.get(self.octets[0], "raw")

    def __bytes__(self):
        return self.octets

    def __str__(self):
        return self.octets.hex()


async def ask(connection, octets):
    """The octets of the answer to a PDU, its opcode first."""
    return bytes(await connection.gatt_client.send_request(Raw(octets)))


def error(request, handle, code):
    """Error Response: Core 5.4, Vol 3, Part F, 3.4.1.1."""
    return bytes([0x01, request]) + handle.to_bytes(2, "little") + bytes([code])


async def discover(connection):
    """All services, characteristics and descriptors, as the central finds them."""
    peer = Peer(connection)
    await peer.discover_services()
    for service in peer.services:
        await service.discover_characteristics()
        for c in service.characteristics:
            await c.discover_descriptors()
    return peer


def found(peer, uuid):
    """The one characteristic of that UUID."""
    all_ = [c for s in peer.services for c in s.characteristics if c.uuid == UUID(uuid)]
    assert len(all_) == 1, f"{uuid}: {len(all_)} characteristics"
    return all_[0]


@contextlib.asynccontextmanager
async def subscribed(connection, uuid, **how):
    """The values that come while the block runs, in order."""
    peer = await discover(connection)
    got = []
    await found(peer, uuid).subscribe(lambda v: got.append(bytes(v)), **how)
    yield got

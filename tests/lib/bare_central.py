"""A bare LE central on a controller of the simulated air: H4 over a unix socket, one connection, ATT PDUs as octets."""
import select
import socket
import struct
import time

CID_ATT = 4


class BareCentral:
    """with BareCentral(air_path) as c: c.connect(address); c.write(handle, value); c.wait_disconnected()"""

    def __init__(self, path, limit_s=20):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.left, self.limit_s = b"", limit_s
        self.handle = self.reason = None
        self.pdus = []
        self.command(0x0C03)                                            # Reset; Core 5.4, Vol 4, Part E, 7.3.2
        self.command(0x0C01, b"\xff" * 7 + b"\x3d")                     # Set Event Mask
        self.command(0x2001, b"\x0f" + b"\0" * 7)                       # LE Set Event Mask

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def command(self, opcode, parameters=b""):
        self.answer = None
        self.socket.sendall(struct.pack("<BHB", 1, opcode, len(parameters)) + parameters)
        self.until(lambda: self.answer and self.answer[0] == opcode, f"command {opcode:#06x}")
        assert not self.answer[1], f"command {opcode:#06x}: status {self.answer[1]:#04x}"

    def connect(self, address):
        """LE Create Connection to a random address, text as in `trefoil connect`."""
        peer = bytes.fromhex(address.replace(":", ""))[::-1]
        self.reason = None
        self.command(0x200D, struct.pack("<HHBB6sBHHHHHH", 16, 16, 0, 1, peer, 0, 24, 24, 0, 400, 0, 0))
        self.until(lambda: self.handle is not None, "connection")
        return self

    def send(self, pdu):
        """One ATT PDU, which must fit one ACL packet of 27 octets."""
        assert len(pdu) <= 23
        self.socket.sendall(struct.pack("<BHHHH", 2, self.handle, len(pdu) + 4, len(pdu), CID_ATT) + pdu)

    def write(self, handle, value):
        self.send(struct.pack("<BH", 0x52, handle) + value)              # Write Command; Vol 3, Part F, 3.4.5.3

    def ask(self, pdu):
        """The PDU that comes next."""
        known = len(self.pdus)
        self.send(pdu)
        self.until(lambda: len(self.pdus) > known, "an answer")
        return self.pdus[known]

    def wait_disconnected(self):
        self.until(lambda: self.handle is None, "disconnection")
        return self.reason

    def until(self, true, what):
        end = time.monotonic() + self.limit_s
        while not true():
            left = end - time.monotonic()
            assert left > 0, f"not within {self.limit_s} s: {what}"
            if select.select([self.socket], [], [], left)[0]:
                got = self.socket.recv(65536)
                assert got, "the air is gone"
                self.left += got
                self.take()

    def take(self):
        while len(self.left) >= 5 or (len(self.left) >= 3 and self.left[0] == 4):
            whole = 3 + self.left[2] if self.left[0] == 4 else 5 + struct.unpack_from("<H", self.left, 3)[0]
            if len(self.left) < whole:
                return
            packet, self.left = self.left[:whole], self.left[whole:]
            if packet[0] == 4:
                self.on_event(packet[1], packet[3:])
            elif packet[7:9] == b"\x04\x00":
                self.pdus.append(packet[9:])

    def on_event(self, code, body):
        if code == 0x0E:                                                # Command Complete
            self.answer = struct.unpack_from("<HB", body, 1)
        elif code == 0x0F:                                              # Command Status
            self.answer = struct.unpack_from("<H", body, 2)[0], body[0]
        elif code == 0x3E and body[0] == 1:                             # LE Connection Complete
            assert body[1] == 0, f"connecting: status {body[1]:#04x}"
            self.handle = struct.unpack_from("<H", body, 2)[0]
        elif code == 0x05:                                              # Disconnection Complete
            self.handle, self.reason = None, body[3]

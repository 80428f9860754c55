"""transportd is away for longer than the controller may take for an answer, while it is asked for one.  timeout: 60 s"""
import json
import os
import signal
import time
from pathlib import Path

import pytest

from bare_central import BareCentral
from pipeline import Pipeline, characteristic, wait_until, zombie

ADDRESS = "F0:F1:F2:F3:F4:F5"
DEVICE = {
    "name": "Trefoil away", "address": ADDRESS, "advertising_interval": 20,
    "gatt_services": [{"uuid": "F000", "characteristics": [characteristic("F001", "READ,WRITE", handle=0x101, max_length=16)]}],
    "trefoil": {"limits": {"connections": 4}},
}
RESET_DONE = b"\x04\x0e\x04\x01\x03\x0c\x00"
READ, EMPTY = b"\x0a\x01\x01", b"\x0b"
AWAY_S = 3          # hostd gives a controller that is there 2 s


@pytest.mark.parametrize("hostd_too", [False, True])
def test_a_command_while_transportd_is_away(tmp_path, hostd_too):
    """`up` is stopped, so that the supervisor that is killed stays away.  Another name in the device file makes hostd tell the
    controller to advertise anew meanwhile.  Then all goes on: the connection is the same, the controller was not reset, and it has
    been told the name, once.  So also where hostd's supervisor is killed in the end, and its next life finds transportd away."""
    path = tmp_path / "capture.btsnoop"
    with Pipeline(DEVICE, args=["--btsnoop", str(path)]) as p, BareCentral(p.air) as central:
        central.connect(ADDRESS)
        assert central.ask(READ) == EMPTY
        transportd, hostd = p.process("transportd"), p.process("hostd")
        os.kill(p.up.pid, signal.SIGSTOP)
        try:
            os.kill(transportd["pid"], signal.SIGKILL)
            wait_until(lambda: zombie(transportd["worker_pid"]))
            Path(p.tmp.name, "device.json").write_text(json.dumps(dict(DEVICE, name="Trefoil is back")))
            os.kill(hostd["pid"], signal.SIGHUP)
            time.sleep(AWAY_S)
            if hostd_too:
                os.kill(hostd["pid"], signal.SIGKILL)
        finally:
            os.kill(p.up.pid, signal.SIGCONT)
        assert central.ask(READ) == EMPTY
        assert central.reason is None
        wait_until(lambda: b"Trefoil is back" in path.read_bytes())
        assert p.process("transportd")["pid"] != transportd["pid"]
        assert (p.process("hostd")["worker_pid"] != hostd["worker_pid"]) == hostd_too
        assert "controller is reset" not in p.text()
    octets = path.read_bytes()
    assert octets.count(RESET_DONE) == 1 and octets.count(b"Trefoil is back") == 1

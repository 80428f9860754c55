"""Bad input from the operator: device files, run dirs, commands.  One clear line, the exit code of the contract, nothing left.

Processes, sockets, files and mounts are compared before and after.  What a test proves stands in its docstring.  timeout: 60 s"""
import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from bad_input import (ADDRESS, DEVICE, NO_DAEMON, USAGE, complaint, nothing_is_left, reap, refused, tmp, traces, up)  # noqa: F401
from pipeline import BIN, ROOT, NAMES, Pipeline, characteristic, wait_until, zombie


# ---- the device file ---------------------------------------------------------------------------------------------------

def service(**characteristic_):
    return json.dumps({"gatt_services": [{"uuid": "F000", "characteristics": [
        {"uuid": "F001", "properties": "READ,WRITE", **characteristic_}]}]})


C0 = "gatt_services[0].characteristics[0]"
DEVICE_FILES = [
    # name, text, what the line must say beside the name of the file
    ("not JSON", "{ this is no JSON", ["line 1", "JSON"]),
    ("empty", "", ["JSON"]),
    ("cut", '{"name": "x", ', ["line 1", "JSON"]),
    ("a list", "[1, 2]", ["an object"]),
    ("binary", "\x00\x01\x02", ["JSON"]),
    ("a key twice", '{"name": "a", "name": "b"}', ["JSON", "duplicate"]),
    ("name: number", '{"name": 7}', ["name", "text of 1 to 248 octets", "7"]),
    ("name: empty", '{"name": ""}', ["name", "1 to 248"]),
    ("name: long", json.dumps({"name": "x" * 249}), ["name", "1 to 248"]),
    ("address: word", '{"address": "nowhere"}', ["address", "F0:F1:F2:F3:F4:F5", "nowhere"]),
    ("address: short", '{"address": "F0:F1:F2:F3:F4"}', ["address"]),
    ("advertising_data: word", '{"advertising_data": "xyz"}', ["advertising_data", "31 octets in hex"]),
    ("advertising_data: long", json.dumps({"advertising_data": "00" * 32}), ["advertising_data", "31 octets in hex"]),
    ("advertising_interval: word", '{"advertising_interval": "soon"}', ["advertising_interval", "20 to 10240"]),
    ("advertising_interval: low", '{"advertising_interval": 19}', ["advertising_interval", "20 to 10240", "19"]),
    ("advertising_interval: high", '{"advertising_interval": 10241}', ["advertising_interval", "20 to 10240"]),
    ("intervals turned round", '{"advertising_interval_min": 100, "advertising_interval_max": 50}',
     ["advertising_interval", "not above"]),
    ("le_enabled: word", '{"le_enabled": "yes"}', ["le_enabled", "true or false"]),
    ("class_of_device: big", '{"class_of_device": 16777216}', ["class_of_device", "16777215"]),
    ("io_capability: big", '{"io_capability": 5}', ["io_capability", "0 to 4"]),
    ("irk: short", '{"irk": "0011"}', ["irk", "16 octets in hex"]),
    ("keystore: number", '{"keystore": 3}', ["keystore", "JsonKeyStore"]),
    ("gatt_services: object", '{"gatt_services": {}}', ["gatt_services", "a list"]),
    ("service: no uuid", '{"gatt_services": [{"characteristics": []}]}', ["gatt_services[0].uuid", "a UUID"]),
    ("service: bad uuid", '{"gatt_services": [{"uuid": "F00"}]}', ["gatt_services[0].uuid", "a UUID", "F00"]),
    ("service: handle 0", '{"gatt_services": [{"uuid": "F000", "trefoil": {"handle": 0}}]}',
     ["gatt_services[0].trefoil.handle", "1 to 65535"]),
    ("service: secondary", '{"gatt_services": [{"uuid": "F000", "trefoil": {"secondary": 1}}]}', ["secondary", "true or false"]),
    ("characteristic: no properties", service(properties=None), [f"{C0}.properties", "READ"]),
    ("characteristic: bad property", service(properties="READ,FLY"), [f"{C0}.properties", "NOTIFY", "FLY"]),
    ("characteristic: bad permission", service(permissions="EVERYBODY"), [f"{C0}.permissions", "READABLE", "EVERYBODY"]),
    ("value: odd hex", service(trefoil={"value": "hex:123"}), [f"{C0}.trefoil.value", "octets in hex"]),
    ("value: long", service(trefoil={"value": "x" * 513}), [f"{C0}.trefoil.value", "512 octets"]),
    ("value: number", service(trefoil={"value": 5}), [f"{C0}.trefoil.value", "text"]),
    ("max_length: big", service(trefoil={"max_length": 513}), [f"{C0}.trefoil.max_length", "512"]),
    ("max_length: below the value", service(trefoil={"value": "four", "max_length": 3}),
     [f"{C0}.trefoil.max_length", "length of the value"]),
    ("handle: word", service(trefoil={"handle": "first"}), [f"{C0}.trefoil.handle", "1 to 65535"]),
    ("echo: nobody", service(trefoil={"echo": "F0FF"}), [f"{C0}.trefoil.echo", "a characteristic in this file"]),
    ("echo: cannot notify", service(trefoil={"echo": "F001"}), [f"{C0}.trefoil.echo", "NOTIFY or INDICATE"]),
    ("descriptor: no type", service(descriptors=[{"permissions": "READABLE"}]),
     [f"{C0}.descriptors[0].descriptor_type", "a UUID"]),
    ("limits.connections: 0", '{"trefoil": {"limits": {"connections": 0}}}', ["trefoil.limits.connections", "1 to 256"]),
    ("limits.mtu: 22", '{"trefoil": {"limits": {"mtu": 22}}}', ["trefoil.limits.mtu", "23 to 517"]),
    ("log_level: loud", '{"trefoil": {"log_level": "loud"}}', ["trefoil.log_level", "debug", "loud"]),
    ("uids: the same", '{"trefoil": {"isolation": {"uids": {"hostd": 7, "gattd": 7}}}}', ["trefoil.isolation.uids", "different"]),
    ("group: unknown", '{"trefoil": {"isolation": {"group": "no such group"}}}',
     ["trefoil.isolation.group", "a group of this machine"]),
    ("operators: word", '{"trefoil": {"isolation": {"operators": "me"}}}', ["trefoil.isolation.operators", "a list"]),
]


@pytest.mark.parametrize("text, says", [c[1:] for c in DEVICE_FILES], ids=[c[0] for c in DEVICE_FILES])
def test_device_file(tmp, text, says):
    """A wrong device file: one line that names the file, the key and what was expected; exit 1; nothing was made."""
    path = tmp / "device.json"
    path.write_bytes(text.encode("latin-1"))
    before = traces(tmp)
    refused(up(tmp / "run", "--config", path), str(path), "expected", *says)
    assert traces(tmp) == before


HANDLES = [
    ("two on one handle", [0x10, 0x10], ["handle", "0x00"]),
    ("a declaration on another's value", [0x11, 0x10], ["handle", "0x00"]),
    ("no room before handle 1", [0x01, 0x20], ["handle", "0x0001"]),
]


@pytest.mark.parametrize("handles, says", [c[1:] for c in HANDLES], ids=[c[0] for c in HANDLES])
def test_device_file_handles(tmp, handles, says):
    """Handles that cannot be given: one line that names the file and the key; exit 1; nothing is left."""
    path = tmp / "device.json"
    path.write_text(json.dumps({"gatt_services": [{"uuid": "F000", "characteristics": [
        characteristic(f"F00{n + 1}", "READ", handle=h) for n, h in enumerate(handles)]}]}))
    before = traces(tmp)
    refused(up(tmp / "run", "--config", path), str(path), "gatt_services[0].characteristics[", *says)
    wait_until(lambda: traces(tmp) == before, 5)


def test_device_file_that_cannot_be_read(tmp):
    """No such file, a directory, one that is too big: one line each, exit 1."""
    refused(up(tmp / "run", "--config", tmp / "none.json"), str(tmp / "none.json"), "expected", "No such file")
    refused(up(tmp / "run", "--config", tmp), str(tmp), "expected")
    (tmp / "big.json").write_bytes(b" " * (1024 * 1024 + 1))
    refused(up(tmp / "run", "--config", tmp / "big.json"), "big.json", "1 MiB")
    assert not (tmp / "run").exists()


def test_unknown_keys_are_warnings():
    """An unknown key, at the top and deep down, is a warning that names it, told once; the pipeline comes up."""
    device = json.loads(json.dumps(DEVICE))
    device["nmae"] = "typo"
    device["gatt_services"][0]["characteristics"][0]["trefoil"]["colour"] = "red"
    with Pipeline(device) as p:
        lines = [line for line in p.text().splitlines() if " warn " in line]
        assert len(lines) == 2, lines
        assert "device.json" in lines[0] and "nmae" in p.text() and f"{C0}.trefoil.colour" in p.text()


def test_the_documented_example():
    """The device file in docs/DEVICE_FILE.md comes up without a warning, with the handles that it asks for."""
    text = (ROOT / "docs" / "DEVICE_FILE.md").read_text()
    with Pipeline(json.loads(text.split("```json")[1].split("```")[0])) as p:
        assert not complaint(p.text())
        for handle in ("0x0025", "0x0102"):
            p.run("gatt", "set", handle, "01")


def test_the_level_of_the_log():
    """trefoil.log_level is obeyed by `up` and all daemons, and `up --log` wins over it."""
    quiet = {**DEVICE, "trefoil": {**DEVICE["trefoil"], "log_level": "warn"}}
    with Pipeline(quiet) as p:
        assert " info " not in p.text()
    with Pipeline(quiet, args=["--log", "info"]) as p:
        assert "hostd: info ready" in p.text()


def test_every_key_of_bumble_is_taken():
    """A device file with every key that Bumble's DeviceConfiguration has is no error, and nothing in it is called unknown."""
    bumble = pytest.importorskip("bumble.device")
    import dataclasses
    device = {}
    for f in dataclasses.fields(bumble.DeviceConfiguration):
        value = getattr(bumble.DeviceConfiguration(), f.name)
        if isinstance(value, (bool, int, float, str)) or value is None:
            device[f.name] = int(value) if isinstance(value, int) and not isinstance(value, bool) else value
        elif isinstance(value, bytes):
            device[f.name] = value.hex()
    device.update(address=ADDRESS, advertising_interval=100, gatt_services=[])
    with Pipeline(device) as p:
        assert "unknown key" not in p.text(), p.text()


# ---- the run dir -------------------------------------------------------------------------------------------------------

def test_run_dir_of_another(tmp):
    """A run dir that belongs to another user, or that others may write to, is refused with a line that says so; exit 1;
    nothing in it is touched."""
    run = tmp / "run"
    run.mkdir(0o750)
    (run / "theirs").write_text("keep")
    for change in (lambda: os.chown(run, 12345, -1) if os.geteuid() == 0 else os.chmod(run, 0o777),
                   lambda: (os.chown(run, os.geteuid(), -1), os.chmod(run, 0o777)),
                   lambda: os.chmod(run, 0o772)):
        change()
        before = traces(tmp)
        refused(up(run), str(run), "expected")
        assert traces(tmp) == before
    if os.geteuid() == 0:
        os.chown(run, -1, 12345)
        os.chmod(run, 0o770)
        refused(up(run), str(run), "expected")
    assert (run / "theirs").read_text() == "keep"


def test_run_dir_that_is_none(tmp):
    """A file in its place, a parent that is not there, a path that is too long: one line, exit 1."""
    (tmp / "file").write_text("")
    refused(up(tmp / "file"), str(tmp / "file"), "expected a directory")
    refused(up(tmp / "not" / "there"), str(tmp / "not" / "there"), "No such file")
    refused(up(tmp / ("x" * 120)), "run dir", "long")


def test_run_dir_in_use():
    """A second `up` on the run dir of a live pipeline names the pid that holds it and ends with exit 1; the first one does not
    notice; when it has ended the run dir can be used again."""
    with Pipeline(DEVICE) as p:
        before = p.status()["processes"]
        refused(up(p.run_dir), str(p.run_dir), "live pipeline", str(p.up.pid))
        after_ = p.status()["processes"]
        assert [(r["pid"], r["worker_pid"]) for r in before] == [(r["pid"], r["worker_pid"]) for r in after_]
        p.stop()
        again = Pipeline(DEVICE)
        again.run_dir = p.run_dir
        with again:
            pass


def test_run_dir_of_a_dead_pipeline(tmp):
    """What `up` could not remove because it was killed does not keep the next one from starting, and is gone after it."""
    p = Pipeline(DEVICE)
    p.run_dir = tmp / "run"
    p.start()
    below = p.children()
    p.up.kill()
    p.up.wait()
    wait_until(lambda: all(zombie(c) for c in below), 10)
    reap()
    again = Pipeline(DEVICE)
    again.run_dir = tmp / "run"
    again.start()
    again.up.send_signal(signal.SIGTERM)
    assert again.up.wait(20) == 0
    assert not [f.name for f in (tmp / "run").glob("*.sock")]


def test_help_names_every_option_of_up():
    """Each option that `up` takes stands in the help of `trefoil`; asking for it is no mistake."""
    r = subprocess.run([BIN / "trefoil", "--help"], capture_output=True, text=True, timeout=10)
    assert r.returncode == 0 and r.stderr == ""
    options = re.findall(r'{ "([a-z-]+)", (?:required|no)_argument', (ROOT / "cli" / "up.c").read_text())
    assert len(options) > 5
    assert [o for o in options if f"--{o} " not in r.stdout] == []


# ---- the commands ------------------------------------------------------------------------------------------------------

USAGES = [
    [], ["fly"], ["up", "stray"], ["up", "--config"], ["up", "--what"], ["up", "--log", "loud"], ["status", "stray"], ["restart"],
    ["restart", "nobody"], ["restart", "hostd", "gattd"], ["gatt"], ["gatt", "fly"], ["gatt", "set"], ["gatt", "set", "2A19"],
    ["gatt", "set", "", "00"], ["gatt", "set", "2A1", "00"], ["gatt", "set", "0", "00"], ["gatt", "set", "0x10000", "00"],
    ["gatt", "set", "-1", "00"], ["gatt", "set", "2A19", "00", "stray"], ["--run-dir"],
]


@pytest.mark.parametrize("words", USAGES, ids=[" ".join(w) or "nothing" for w in USAGES])
def test_usage(tmp, words):
    """A command that is not one, an argument missing or too many: exit 2, the reason on standard error, nothing touched."""
    r = subprocess.run([BIN / "trefoil", *words], capture_output=True, text=True, timeout=10,
                       env={**os.environ, "TREFOIL_RUN_DIR": str(tmp / "run")})
    assert r.returncode == USAGE and r.stderr and not r.stdout, r
    assert not (tmp / "run").exists()


def test_a_value_that_is_no_hex():
    """`gatt set` with something that is no hex: exit 2, and the line says which one and what was expected; values before it on
    standard input are set."""
    with Pipeline(DEVICE) as p:
        for value in ("xyz", "123", "00" * 513):
            r = p.run("gatt", "set", "F002", value, check=False)
            assert r.returncode == USAGE and "hex" in r.stderr and len(r.stderr.splitlines()) == 1, r
        r = p.run("gatt", "set", "F002", "-", check=False, input="01\n02\nnope\n04\n")
        assert r.returncode == USAGE and "line 3" in r.stderr, r


@pytest.mark.parametrize("words", [["status"], ["status", "--json"], ["restart", "hostd"], ["gatt", "set", "2A19", "00"]],
                         ids=["status", "status --json", "restart", "gatt set"])
def test_no_daemon(tmp, words):
    """Without a pipeline every command that needs one: one line, exit 3; the same where only a dead socket is left."""
    r = subprocess.run([BIN / "trefoil", "--run-dir", tmp / "run", *words], capture_output=True, text=True, timeout=10)
    assert r.returncode == NO_DAEMON and len(r.stderr.splitlines()) == 1 and "no daemon" in r.stderr and not r.stdout, r
    (tmp / "run").mkdir()
    for name in NAMES:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
            dead.bind(str(tmp / "run" / f"{name}.sock"))
    r = subprocess.run([BIN / "trefoil", "--run-dir", tmp / "run", *words], capture_output=True, text=True, timeout=10)
    assert r.returncode == NO_DAEMON and len(r.stderr.splitlines()) == 1, r

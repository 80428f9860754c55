"""From SIGKILL of a worker to the first record that the new one has handled, under load; 1,000 kills over the three in turn.

  dead      kill() to the kernel's word that the process is gone (its pidfd), as we see it
  outage    the supervisor's: from its own wake-up by the pidfd until the new worker, sandboxed and recovered, reports itself;
            in it: recover, the arena rolled back and attached, by the worker's own clock
  first     from there until records are handled again, as the counters of the stats segment show it, looked at every 50 us

The load (notifications to 8 connections) checks that nothing is lost, doubled or misordered, over all the kills."""
import mmap
import os
import re
import select
import signal
import struct
import time

from far import NAMES, SHELL, SHELL_AT, Far, core_counters
from table import Row, section

LOOK_S, GIVE_UP_S, REST_S, BLOCK_S = 0.00005, 10, 0.04, 15


class Watch:
    """What says that a worker has handled something: records taken from its links, batches taken from its socket."""

    def __init__(self, far, name):
        with open(far.memfd(name, "stats"), "rb") as f:
            self.at = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
        self.places = [SHELL_AT + 8 * SHELL.index("records")]
        if name == "transportd":
            self.places.append(8 * core_counters(name).index("in_batches"))

    def look(self):
        return [struct.unpack_from("<Q", self.at, p)[0] for p in self.places]


def child_of(supervisor, not_this):
    end = time.monotonic() + GIVE_UP_S
    while time.monotonic() < end:
        with open(f"/proc/{supervisor}/task/{supervisor}/children") as f:
            found = [int(p) for p in f.read().split() if int(p) != not_this]
        if found:
            return found[0]
        time.sleep(0.001)
    raise AssertionError("no new worker")


def changed(watch, was, seconds):
    end = time.monotonic() + seconds
    while watch.look() == was:
        assert time.monotonic() < end, "no record handled after a kill"
        time.sleep(LOOK_S)


def kill(far, name, watch):
    old = far.workers[name]
    fd = os.pidfd_open(old)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    start = time.monotonic()
    os.kill(old, signal.SIGKILL)
    assert poll.poll(GIVE_UP_S * 1000), "the worker did not die"
    dead = time.monotonic()
    was = watch.look()
    changed(watch, was, GIVE_UP_S)
    first = time.monotonic()
    os.close(fd)
    far.workers[name] = child_of(far.supervisors[name], old)
    return {"name": name, "pid": far.workers[name], "dead_us": (dead - start) * 1e6, "all_us": (first - start) * 1e6}


def block(far, watches, kills, total):
    """Kills under one load, until its time or the number is up."""
    far.say(f"notify connections=8 warm=0 seconds={BLOCK_S} pids=")
    end = time.monotonic() + BLOCK_S - 1
    time.sleep(0.5)
    while len(kills) < total and time.monotonic() < end:
        name = NAMES[len(kills) % len(NAMES)]
        kills.append(kill(far, name, watches[name]))
        time.sleep(REST_S)
        for w in watches.values():      # all three are at work again
            changed(w, w.look(), GIVE_UP_S)
    return far.answer()


def percentiles(values):
    v = sorted(values)
    return {"p50": v[len(v) // 2], "p99": v[min(len(v) - 1, len(v) * 99 // 100)], "max": v[-1]}


def measure(options):
    total = 30 if options.quick else 1000
    kills, notifications = [], 0
    with Far(8, together=options.together) as far:
        watches = {n: Watch(far, n) for n in NAMES}
        while len(kills) < total:
            notifications += block(far, watches, kills, total)["notifications"]
        log = far.pipeline.text()
    ready = {int(m[1]): (int(m[2]), int(m[3]) / 1000) for m in
             re.finditer(r"worker ready pid=(\d+) attempt=\d+ outage_us=(\d+) recover_ns=(\d+)", log)}
    for k in kills:
        k["outage_us"], k["recover_us"] = ready[k["pid"]]
    parts = ("all_us", "dead_us", "outage_us", "recover_us")
    result = {"kills": total, "notifications": notifications, **{p: percentiles([k[p] for k in kills]) for p in parts}}
    for n in NAMES:
        result[n] = {p: percentiles([k[p] for k in kills if k["name"] == n]) for p in parts}
    return result


def show(result):
    section(f"restart: SIGKILL under load to the first record handled, {result['kills']} kills, ms p50 / p99 / max")
    for who, r in (("all three", result), *((n, result[n]) for n in NAMES)):
        cells = "   ".join(f"{title} " + "/".join(f"{r[p][q] / 1000:.2f}" for q in ("p50", "p99", "max"))
                           for p, title in (("all_us", ""), ("dead_us", "dead"), ("outage_us", "outage"), ("recover_us", "of it recovery")))
        print(f"  {who:<12}{cells}")
    Row("restart, p50", result["all_us"]["p50"] / 1000, "ms", 5).show()
    Row("restart, p99", result["all_us"]["p99"] / 1000, "ms", 20).show()

"""Owned workers against their neighbours and supervisors: each daemon in turn is the one whose worker is owned, by seed.

The neighbours run under the address sanitizer with guard pages around every segment, a central works the pipeline meanwhile, and
after each evil the next worker is honest.  What has to hold is told at each outcome below.  One seed:
TREFOIL_HOSTILE_SEED=n pytest ... -k ROLE.  timeout: 200 s"""
import json
import os
import signal
import subprocess
import time

import pytest

from bad_input import ADDRESS, DEVICE, nothing_is_left  # noqa: F401
from owned import Owned, fds_of, strangers
from pipeline import NAMES, wait_until

KILLS = int(os.environ.get("TREFOIL_KILLS", "20"))
MS = 50                     # of evil
ONE = os.environ.get("TREFOIL_HOSTILE_SEED")
UP = 1 << 20                # in a seed: hostd's link to transportd, not that to gattd

ROOMY = {**DEVICE, "trefoil": {"limits": {"connections": 16}}}      # what a central left behind is gone after 5 s

# What the design says of each evil.
REFUSED = "refused"         # its ring lies: the neighbour detaches, says so, the link's connections end, new generation, service
HARMLESS = "harmless"       # only its own loss: nobody is restarted, no connection ends, nothing is lost on the air
LIED = "lied"               # to its supervisor: ended by it; the rest is as with HARMLESS
ANYTHING = "anything"       # what it writes may be well-formed, so connections may end; nobody else dies, and service comes back
COLD = "cold"               # its own state: whoever inherits that may have to start cold, with new links; service comes back

MEMORY = {
    "tail_misaligned": REFUSED, "tail_behind": REFUSED, "tail_beyond": REFUSED, "tail_random": REFUSED,
    "header_past_tail": REFUSED, "header_too_long": REFUSED, "header_huge": REFUSED, "header_cut": REFUSED,
    "pad_alone": REFUSED, "pad_cut": REFUSED, "pad_after_pad": REFUSED, "header_over_end": REFUSED,
    "header_random": ANYTHING, "tail_flips": ANYTHING, "headers_flip": ANYTHING, "everything_scribbled": ANYTHING, "data_scribbled": ANYTHING, "payloads_random": ANYTHING,
    "head_lies": REFUSED, "waits_lie": HARMLESS, "kicks_flood": HARMLESS, "never_reads": HARMLESS,
    "stats_scribbled": HARMLESS,
    "small_tail_lies": LIED, "small_header_lies": LIED, "small_head_lies": HARMLESS, "small_scribbled": ANYTHING,
}
SOCKETS = {
    "bells_filled": HARMLESS, "small_bells_filled": HARMLESS, "bells_blocked": HARMLESS,
    "frame_random": LIED, "frame_huge": LIED, "frame_cut": LIED, "frame_empty": ANYTHING, "frame_with_fds": LIED,
    "frame_of_others": ANYTHING, "ready_again": LIED, "control_flood": HARMLESS, "answers_unread": HARMLESS,
}


class Central:
    """bench/hammer, counting on the pipeline's air."""

    def __init__(self, p):
        self.process = subprocess.Popen(
            [p.bin / "hammer", "counter", "--air", p.air, "--peer", ADDRESS, "--write", "0x101", "--echo", "0x111",
             "--echo-cccd", "0x112"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=p.env)
        line = self.process.stderr.readline()
        assert line == "working\n", (line, self.process.communicate(timeout=20), p.text()[-4000:])

    def ended(self):
        return self.process.poll() is not None

    def report(self):
        if not self.ended():
            self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=20)
        assert "Sanitizer" not in err, err
        return json.loads(out)

    def kill(self):
        if not self.ended():
            self.process.kill()
        self.process.communicate()


class Trial:
    """One evil, and everything that has to hold after it."""

    def __init__(self, p, evil, expected, seed, ms=MS):
        self.p, self.evil, self.expected, self.seed, self.ms = p, evil, expected, seed, ms
        self.others = [n for n in NAMES if n != p.role]

    def run(self):
        p = self.p
        self.before, self.links = p.rows(), p.generations()
        self.at = p.log_path.stat().st_size
        central = Central(p)
        try:
            self.owned = p.own(self.evil, self.seed, self.ms)
            self.wait_for_the_end()
            self.judge(central)
        except AssertionError as e:
            raise AssertionError(f"{p.role} {self.evil} seed {self.seed}: {e}\n{p.since(self.at)[-6000:]}") from None
        finally:
            central.kill()

    def wait_for_the_end(self):
        """Until the evil is over, and honest workers are at work again.  The log tells: a status would wait for the owned one."""
        p = self.p
        wait_until(lambda: f"owned: done {self.evil} seed={self.seed}" in p.since(self.at) or self.gone() or
                   (self.expected == REFUSED and self.refused()), 10 + self.ms / 1000)
        if self.expected == REFUSED:
            wait_until(self.refused, 10)
        if not self.gone() and not self.refused() and self.expected != LIED:
            p.run("restart", p.role)
        wait_until(self.gone, 10)
        wait_until(p.running, 15)

    def refused(self):
        return "link refused: a new generation follows" in self.p.since(self.at)

    def gone(self):
        return f"{self.p.role}: info worker ended pid={self.owned} " in self.p.since(self.at)

    def judge(self, central):
        p = self.p
        p.no_report() if self.expected != COLD else p.reports_of_workers()
        rows = p.rows()
        for name in self.others:
            assert (rows[name]["restarts"], rows[name]["strikes"]) == (0, 0), rows[name]
            assert rows[name]["pid"] == self.before[name]["pid"], "its supervisor has died"
        assert rows[p.role]["pid"] == self.before[p.role]["pid"], "the owned worker's supervisor has died"
        for name in strangers(p.role):
            assert rows[name]["worker_pid"] == self.before[name]["worker_pid"], f"{name} has nothing to do with it"
        new = {n for n, g in p.generations().items() if g != self.links[n]}
        if self.expected == COLD:
            assert all(p.role in n for n in new), f"new links: {new}"
        elif self.expected == REFUSED:
            self.judge_refused(central, new)
        elif self.expected != ANYTHING:
            assert not new, f"new links: {new}"
            self.judge_harmless(central, rows)
        elif new:
            self.judge_refused(central, new)
        else:
            central.report()                # it may be good, or what was written has ended its connection

    def judge_refused(self, central, new):
        said = self.p.since(self.at)
        assert len(new) == 1 and all(self.p.role in n for n in new), f"new links: {new}"
        assert "link detached" in said and "link refused: a new generation follows" in said
        wait_until(lambda: self.p.status()["connections"] == [], 10)
        if not any("gattd" in n for n in new):      # the controller was reset: the far side hears it by its supervision timeout
            return
        wait_until(central.ended, 10)
        assert not central.report()["good"], "the central has not noticed that its connection has ended"

    def judge_harmless(self, central, rows):
        for name in self.others:
            assert rows[name]["worker_pid"] == self.before[name]["worker_pid"], f"{name} was replaced"
        if self.expected == LIED:
            assert rows[self.p.role]["restarts"] > self.before[self.p.role]["restarts"] + 1, "the lie was not noticed"
        time.sleep(0.05)
        report = central.report()
        assert report["good"] and report["requests"] == report["responses"] > 0, report


def picked(evils, *names):
    return {n: evils[n] for n in names}


def trials(p, evils, round_=0, up=0):
    """One of each, and in the end everything is as it should be.  `up`: of two neighbours, the one upstream."""
    names = list(evils)
    for seed in range(round_ * len(names), (round_ + 1) * len(names)) if ONE is None else [int(ONE)]:
        evil = names[(seed & UP - 1) % len(names)]
        Trial(p, evil, evils[evil], seed | up * UP).run()
    central = Central(p)
    time.sleep(0.1)
    assert central.report()["good"], p.text()[-4000:]


SIDES = [pytest.param("transportd", 0, id="transportd"), pytest.param("hostd", 0, id="hostd"),
         pytest.param("hostd", 1, id="hostd-up"), pytest.param("gattd", 0, id="gattd")]


def rounds(usual):
    """A pipeline of its own each: a daemon whose worker is ended for its lies again and again gives up, as it should."""
    return range(max(1, usual * KILLS // 20)) if ONE is None else range(1)


@pytest.mark.parametrize("role, up", SIDES)
def test_memory(role, up):
    """Positions, wait words, headers, pads and payloads that lie, also while they are read; kicks without end; nothing read."""
    for n in rounds(1):
        with Owned(role, ROOMY) as p:
            trials(p, MEMORY, n, up)


@pytest.mark.parametrize("role", ["gattd"] if KILLS <= 20 else NAMES)
def test_one_that_takes_nothing(role):
    """It works on and hands credits back, but frees no room: whoever waits for room gives it up after 10 s (15 s where it is at
    an end of the pipeline itself), so that nobody else waits for ever."""
    with Owned(role, ROOMY) as p:
        trial = Trial(p, "head_still", REFUSED, 0, ms=30000)
        trial.run()
        assert "it takes nothing" in p.since(trial.at)
        central = Central(p)
        time.sleep(0.1)
        assert central.report()["good"], p.text()[-4000:]


@pytest.mark.parametrize("role", NAMES)
def test_own_state(role):
    """The arena, which the next worker of the same daemon begins with: at worst a cold start, and the neighbours live on."""
    for n in rounds(1):
        with Owned(role, ROOMY) as p:
            trials(p, {"arena_scribbled": COLD}, n)


@pytest.mark.parametrize("role, up", SIDES)
def test_sockets_and_bells(role, up):
    """Bells filled to the brim and made blocking, control frames that are random, huge, cut, empty, of others, without end or
    with descriptors on them, answers never read: supervisor and neighbours go on, and no descriptor stays behind."""
    for n in rounds(1):
        with Owned(role, ROOMY) as p:
            supervisors = [r["pid"] for r in p.rows().values()]
            before = [fds_of(pid) for pid in supervisors]
            trials(p, SOCKETS, n, up)
            # No more: one that was just being closed may have been among those of before.
            wait_until(lambda: all(fds_of(pid) <= n for pid, n in zip(supervisors, before)), 10)


@pytest.mark.parametrize("role", NAMES)
def test_where_all_is_one_uid(role):
    """The same where no worker has a uid of its own, as for a user who is not root."""
    with Owned(role, ROOMY, one_uid=True) as p:
        status = p.status()
        assert "one uid" in status["isolation"] and len({r["worker_uid"] for r in status["processes"]}) == 1, status
        trials(p, {**picked(MEMORY, "tail_beyond", "headers_flip", "everything_scribbled", "never_reads"),
                   **picked(SOCKETS, "bells_filled", "bells_blocked", "frame_with_fds")})

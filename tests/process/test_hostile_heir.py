"""What an owned worker leaves to its heir: the next worker of the same daemon is honest, and begins with an arena, and maybe an open
step, that an attacker wrote (tests/hostile/evil_arena.c, evil_log.c).

The heir may die of it, and may come back cold with new links; what it inherits may even say, well-formed, that there is nothing to
be done (the attacker could have worked towards that state).  But no supervisor and no neighbour dies or is restarted, nobody waits
for ever, and service is back: by itself, or at the latest when the operator asks for a cold start.  All is built with the address
sanitizer.  Every lie with one seed: TREFOIL_HOSTILE_SEED=n pytest ... -k ROLE.

timeout: 300 s"""
import os
import signal
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest

from bad_input import ADDRESS, DEVICE, nothing_is_left  # noqa: F401
from owned import Owned
from pipeline import NAMES, wait_until
from test_hostile import COLD, KILLS, MS, ONE, ROOMY, Central, Trial

ARENA = ("heads", "slots", "free_lists", "fifos", "positions", "entropy", "deadlines", "ids", "fields", "header", "anywhere",
         "cycles", "zeroed", "blank_again")
LOG = ("heads", "slots", "free_lists", "fifos", "positions", "fields", "anywhere", "cycles", "clears", "toils",
       "outside", "overlong", "cut", "random")
TOIL = "log_toils"          # lives end by the watchdog only: two of them may be needed
EVILS = [f"arena_{n}" for n in ARENA] + [f"log_{n}" for n in LOG]
HUGE = {**DEVICE, "trefoil": {"limits": {"connections": 256}}}      # a log as long as its arena is work for minutes
AT_ONCE = 3                 # pipelines; each mostly waits
PATIENCE, LONG = 3, 10      # seconds for the ladder to do its work


class Inheritance(Trial):
    """One arena left behind, and how its heir ends up: "warm", "cold", "asked" (for a cold start) or "ended"."""

    def wait_for_the_end(self):
        p = self.p
        wait_until(lambda: f"owned: done {self.evil} seed={self.seed}" in p.since(self.at), 10)
        if self.seed % 4 == 0:
            p.run("restart", p.role)
        elif self.seed % 4 == 2:
            os.kill(self.owned, signal.SIGKILL)
        wait_until(self.gone, 10)           # else it has died of SIGILL by itself
        wait_until(lambda: self.heir_came() or p.up.poll() is not None, 30)

    def heir_came(self):
        return "worker ready" in self.p.since(self.at).rpartition(f"worker ended pid={self.owned} ")[2]

    def judge(self, central):
        central.kill()
        self.outcome = self.wait_for_service()
        self.judge_others()
        self.p.reports_of_workers()

    def said(self, words):
        return f"{self.p.role}: {words}" in self.p.since(self.at)

    def ended(self):
        """Its core says that it cannot go on, which its owner might have said as well: the pipeline ends, in order."""
        return self.p.up.poll() is not None and self.said("error cannot go on")

    def settled(self):
        """All are running, and a moment later still the same ones."""
        try:
            before = [(r["worker_pid"], r["state"]) for r in self.p.rows().values()]
            time.sleep(0.1)
            return before == [(r["worker_pid"], "running") for r in self.p.rows().values()]
        except AssertionError:              # whoever is asked does not answer
            return False

    def served(self):
        try:
            central = Central(self.p)
        except AssertionError:
            return False
        time.sleep(0.05)
        return central.report()["good"]

    def served_within(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.p.up.poll() is None:
            if self.settled() and self.served():
                return True
        return False

    def wait_for_service(self):
        if self.served_within(LONG if self.evil == TOIL else PATIENCE):
            return "cold" if self.said("error strike") and 'verdict="cold start"' in self.p.since(self.at) else "warm"
        if self.ended():
            return "ended"
        assert self.p.up.poll() is None, "the pipeline has ended"
        self.p.run("restart", "--cold", self.p.role, check=False)
        if self.served_within(LONG):
            return "asked"
        assert self.ended(), "no service after a cold start that was asked for"
        return "ended"

    def judge_others(self):
        for name in self.others:
            assert f"{name}: error strike" not in self.p.since(self.at), f"{name} has died of it"
        if self.outcome == "ended":
            return
        rows = self.p.rows()
        for name in self.others:
            assert (rows[name]["restarts"], rows[name]["strikes"]) == (0, 0), rows[name]
        for name in NAMES:
            assert rows[name]["pid"] == self.before[name]["pid"], f"the supervisor of {name} has died"


def inherit(role, evil, seed):
    with Owned(role, HUGE if evil == TOIL else ROOMY) as p:
        trial = Inheritance(p, evil, COLD, seed)
        trial.run()
        if trial.outcome == "ended":
            p.up.wait(20)
    return f"{evil.split('_')[0]} {trial.outcome}"


@pytest.mark.parametrize("role", NAMES)
def test_heir(role):
    """Every kind of lie, in the committed state and as the log of a step that was left open."""
    own = NAMES.index(role)
    if ONE:
        evils = [(evil, int(ONE)) for evil in EVILS]
    else:       # where there is one round only, each role meets every other one, and what one leaves another meets
        evils = [(EVILS[(n + own) % len(EVILS)], n + n // 2) for n in range(max(1, KILLS // 20) * len(EVILS)) if KILLS > 20 or n % 2]
    with ProcessPoolExecutor(AT_ONCE) as pool:      # not threads: a program that one is copying would be busy for all
        outcomes = Counter(pool.map(inherit, *zip(*((role, *e) for e in evils))))
    print(f"told: {role}'s heirs: " + ", ".join(f"{n} {what}" for what, n in sorted(outcomes.items())))

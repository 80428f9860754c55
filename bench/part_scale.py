"""What more connections cost: CPU per packet at 1, 8, 64 and 256, memory of a connection, and fairness with one that is stuck.

Every connection sends write commands, or (notify) one write is told to all of them.  From 64 on a connection has 2 of them under
way instead of 48, which is what it is sure of however many there are, and so more reads that pace it; hence the price is that of
an ACL packet, whichever way it goes.  1 and 8 are measured with as few under way on each as well ("1 few", "8 few"), so that the
same is compared with the same: what is left is how many packets are under way in all, and hence how long batches are.  A
notification's batches are as long as the controller has buffers, however many connections there are, so it needs no such line.
Memory: a third of an arena is its slots
(shm/arena.h), the rest the log, of which only what a step logs is ever touched; two arenas for different limits differ by
whole connections.  Stalled: its packets are never completed; the others' shares of the goodput are compared by Jain's index."""
import re
from pathlib import Path

from far import NAMES, Far
from part_pipeline import middle, one
from table import Row, section

COUNTS = (1, 8, 64, 256)
FEW = {"window": 2, "every": 2}         # at 64 and 256; at 1 and 8 as well as the load of part_pipeline


def arena_slots(far, name):
    return far.memfd(name, "arena").stat().st_size / 3


def resident(far, name):
    """KiB that the worker has touched of private and of shared memory."""
    text = Path(f"/proc/{far.workers[name]}/status").read_text()
    return {k: int(re.search(rf"{k}:\s+(\d+)", text)[1]) for k in ("RssAnon", "RssShmem")}


def loads(n):
    """name: (kind, how it differs from the load of part_pipeline)"""
    more = FEW if n >= 64 else {}
    return {"write": ("write", more), "notify": ("notify", more), **({} if n >= 64 else {"few": ("write", FEW)})}


def costs(options):
    seconds, rounds = (0.5, 1) if options.quick else (2, 3)
    result = {}
    for n in COUNTS:
        with Far(n, together=options.together) as far:
            runs = {name: [] for name in loads(n)}
            for _ in range(rounds):
                for name, (kind, more) in loads(n).items():
                    runs[name].append(one(far, kind, seconds, connections=n, calls=1, **more))
            result[str(n)] = {name: middle(of) for name, of in runs.items()}
            result[str(n)].update(resident_kib={w: resident(far, w) for w in NAMES}, arena_slots={w: arena_slots(far, w) for w in NAMES})
    for r in result.values():
        for write in (r["write"], r.get("few", r["write"])):
            write["acl_us"] = write["cpu_us_all"] * write["writes"] / (write["writes"] + 2 * write["pacing_reads"])
        notify, price = r["notify"], r["write"]["cpu_us_all"]
        notify["net_us"] = (notify["cpu_us_all"] * notify["notifications"] - price * notify["writes"]) / notify["notifications"]
    return result


def stalled(options):
    result = {}
    for n in (8, 64):
        for name, more in (("commands", FEW), ("requests", {"every": 1, "window": 2, "pace": 0x101})):
            with Far(n, together=options.together) as far:
                r = far.load("write", connections=n, stalled=n - 1, seconds=1 if options.quick else 5, **more)
                result[f"{name} {n}"] = {k: r[k] for k in ("jain", "least", "most", "writes", "reads", "seconds")}
    return result


def measure(options):
    result = {"costs": costs(options), "stalled": stalled(options)}
    few, many = result["costs"]["8"], result["costs"]["256"]
    result["octets_per_connection"] = {n: (many["arena_slots"][n] - few["arena_slots"][n]) / (256 - 8) for n in NAMES}
    result["touched_per_connection"] = {n: 1024 * (many["resident_kib"][n]["RssShmem"] - few["resident_kib"][n]["RssShmem"]) / (256 - 8)
                                        for n in NAMES}
    return result


def show(result):
    section("scale: CPU per packet, us (system calls); a notification net of its write")
    costs = result["costs"]
    for n, r in costs.items():
        print(f"  {n:>4} connections   ACL packet {r['write']['acl_us']:6.2f} ({r['write']['calls_per_packet'] or 0:.2f})"
              f"   notification {r['notify']['net_us']:6.2f} ({r['notify']['calls_per_packet'] or 0:.2f})"
              f"   {r['write']['per_second']:8.0f} and {r['notify']['per_second']:8.0f} /s")
    for n in ("1", "8"):
        few = costs[n]["few"]
        print(f"  {n:>4}, few under way ACL packet {few['acl_us']:6.2f} ({few['calls_per_packet'] or 0:.2f}){few['per_second']:35.0f} /s")
    for n in ("1", "8"):
        goal = 1.2 if n == "1" else None
        Row(f"write commands, ACL packet at 256 against {n}", costs["256"]["write"]["acl_us"] / costs[n]["write"]["acl_us"], "", goal).show()
        Row(f"the same, {n} with as few under way on each", costs["256"]["write"]["acl_us"] / costs[n]["few"]["acl_us"], "", goal).show()
        Row(f"notification at 256 against {n}", costs["256"]["notify"]["net_us"] / costs[n]["notify"]["net_us"], "", goal).show()
    of, touched = result["octets_per_connection"], result["touched_per_connection"]
    Row("memory of a connection, hostd and gattd, KiB", (of["hostd"] + of["gattd"]) / 1024, "KiB", 8, "<=",
        f"hostd {of['hostd']:.0f} octets, gattd {of['gattd']:.0f}; touched under load {touched['hostd']:.0f} and {touched['gattd']:.0f}").show()
    for name, r in result["stalled"].items():
        kind, n = name.split()
        Row(f"Jain's index, {n} connections, one stuck, {kind}", r["jain"], "", 0.99, ">=",
            f"{r['least']} to {r['most']} packets each in {r['seconds']:.0f} s").show()

"""What more connections cost: CPU per packet at 1, 8, 64 and 256, memory of a connection, and fairness with one that is stuck.

Every connection sends write commands, or (notify) one write is told to all of them.  From 64 on a connection has 2 of them under
way instead of 48, which is what it is sure of however many there are, and so more reads that pace it; hence the price is that of
an ACL packet, whichever way it goes.  1 and 8 are measured with as few under way on each as well ("1 few", "8 few"), so that the
same is compared with the same: what is left is how many packets are under way in all, and hence how long batches are.  A
notification's batches are as long as the controller has buffers, however many connections there are, so it needs no such line.

Memory: all that six processes hold for 256 connections and for 8, the difference divided by 248: every shared segment by the
blocks that it really has (slots and log of the arenas; the regions of the links), and the private memory of workers and
supervisors; of a worker's, the stamps of its arena (4 octets for each 64 of the slots) count whole, touched or not.

Stalled: its packets are never completed; the others' shares of the goodput are compared by Jain's index."""
import os
import re
import struct
from pathlib import Path

from far import NAMES, Far
from part_pipeline import middle, one
from table import Row, section

COUNTS = (1, 8, 64, 256)
FEW = {"window": 2, "every": 2}         # at 64 and 256; at 1 and 8 as well as the load of part_pipeline


ARENA_END = 64 + 3 * 8 + 6 * 4          # where the header of an arena says where its slots end (shm/undo.h)
STAMP = 4 / 64                          # octets of stamp for each of the slots (shm/arena.h)


def slots(far, name):
    return struct.unpack_from("<I", far.memfd(name, "arena").read_bytes(), ARENA_END)[0]


def segments(far):
    """Octets of each shared segment that any supervisor holds, by name; one that several hold counts once."""
    seen, sizes = set(), {}
    for name in NAMES:
        for fd in Path(f"/proc/{far.supervisors[name]}/fd").iterdir():
            try:
                what, st = os.readlink(fd).split(" ")[0], fd.stat()
            except OSError:
                continue
            if what.startswith("/memfd:") and st.st_ino not in seen:
                seen.add(st.st_ino)
                key = what.removeprefix("/memfd:trefoil-")
                key = f"{key} of {name}" if "." not in key else key
                sizes[key] = sizes.get(key, 0) + st.st_blocks * 512
    return sizes


def private(pid):
    """Octets of private memory that a process has touched: exact where we may look, else as near as the kernel counts."""
    try:
        return 1024 * int(re.search(r"Anonymous:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text())[1])
    except OSError:
        return 1024 * int(re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def memory(far):
    return {"segments": segments(far), "slots": {n: slots(far, n) for n in NAMES},
            "workers": {n: private(far.workers[n]) for n in NAMES}, "supervisors": {n: private(far.supervisors[n]) for n in NAMES}}


def each(few, many, connections):
    """What one connection more costs, by kind: octets."""
    def more(what, n):
        return (many[what].get(n, 0) - few[what].get(n, 0)) / connections

    of = {f"slots of {n}": more("slots", n) for n in NAMES}
    names = few["segments"].keys() | many["segments"].keys()
    of["logs and page ends"] = sum(more("segments", n) for n in names if n.startswith("arena of")) - sum(of.values())
    of["links"] = sum(more("segments", n) for n in names if "." in n)
    of["other segments"] = sum(more("segments", n) for n in names if "." not in n and not n.startswith("arena of"))
    stamps = {n: STAMP * of[f"slots of {n}"] for n in NAMES}
    of["stamps"] = sum(stamps.values())
    of["other private memory"] = sum(max(0, more("workers", n) - stamps[n]) + max(0, more("supervisors", n)) for n in NAMES)
    return of


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
            result[str(n)]["memory"] = memory(far)
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
    result["octets_per_connection"] = each(result["costs"]["8"]["memory"], result["costs"]["256"]["memory"], 256 - 8)
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
    of = result["octets_per_connection"]
    Row("memory of a connection, all processes, KiB", sum(of.values()) / 1024, "KiB", 8, "<=",
        ", ".join(f"{what} {octets:.0f}" for what, octets in of.items() if round(octets)) + " octets").show()
    for name, r in result["stalled"].items():
        kind, n = name.split()
        Row(f"Jain's index, {n} connections, one stuck, {kind}", r["jain"], "", 0.99, ">=",
            f"{r['least']} to {r['most']} packets each in {r['seconds']:.0f} s").show()

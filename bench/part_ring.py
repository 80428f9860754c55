"""shm/ring.h against what else moves messages between two processes on two processors; the step on top of it; our cores with
and without their undo log.

Media take turns, several rounds of ten runs; the run in the middle counts.  Not the best: two that share their processors with
others take turns instead of running at once, and a ring that is filled while nobody reads it looks faster than it is."""
import json
import re
import subprocess

from far import BIN, ROOT
from table import Row, section

SIZES = (32, 256, 1024)
RUNS = 10
AGAINST_CK = {32: 4.0, 256: 2.5, 1024: 1.0}


def hammer(*words):
    return json.loads(subprocess.run([str(BIN / "hammer"), "ring", *map(str, words)], capture_output=True, text=True, check=True,
                                     timeout=300).stdout)


def one_way(medium, size, batch, messages, sleep=False):
    """Ten runs, as (messages a second, kicks per 1000 messages)."""
    part = messages // RUNS
    r = hammer(medium, "--size", size, "--batch", batch, "--messages", part, "--runs", RUNS, *(["--sleep"] if sleep else []))
    return [] if r["absent"] else [(n, 1000 * k / part) for n, k in zip(r["per_second"], r["kicks"])]


def trip(medium, messages, sleep=False):
    r = hammer(medium, "--trip", "--messages", messages, *(["--sleep"] if sleep else []))
    return [] if r["absent"] else [{f"{k}_us": v / 1000 for k, v in r["trip_ns"].items()}]


def plan(part):
    """name: (function, arguments); `part` of the full number of messages."""
    n = {k: int(v * part) for k, v in (("fast", 4_000_000), ("middle", 1_000_000), ("slow", 200_000), ("spin trip", 400_000), ("trip", 40_000))}
    rows = {}
    for s in SIZES:
        rows[f"ring {s}"] = (one_way, "ring", s, 32, n["fast"])
        rows[f"ck_ring {s}"] = (one_way, "ck_ring", s, 1, n["fast"])
        rows[f"ring sleeping {s}"] = (one_way, "ring", s, 32, n["fast"], True)
        rows[f"ring batch 1 {s}"] = (one_way, "ring", s, 1, n["middle"])
        rows[f"ring sleeping batch 1 {s}"] = (one_way, "ring", s, 1, n["middle"], True)
        rows.update({f"{m} {s}": (one_way, m, s, 1, n["slow"]) for m in ("pipe", "seqpacket")})
        rows[f"futex {s}"] = (one_way, "futex", s, 1, n["middle"])
        rows.update({f"{m} {s}": (one_way, m, s, 32, n["middle"]) for m in ("relay", "relay-step", "step")})
    rows.update({f"trip {m}": (trip, m, n["spin trip"]) for m in ("ring", "ck_ring")})
    rows.update({f"trip {m}": (trip, m, n["trip"]) for m in ("pipe", "seqpacket", "futex")})
    rows["trip ring sleeping"] = (trip, "ring", n["trip"], True)
    return rows


def middle(runs):
    """The one in the middle; None: there are none."""
    if not runs:
        return None
    if isinstance(runs[0], dict):
        return sorted(runs, key=lambda r: r["p50_us"])[len(runs) // 2]
    rate, kicks = sorted(runs)[len(runs) // 2]
    return {"per_second": rate, "kicks_per_1000": kicks, "least": min(runs)[0], "most": max(runs)[0]}


def cores(quick):
    """Each real core, ns of CPU a packet, with and without the undo log (tests/load/cores.c); the best of some runs, in turns: where a
    run's pages happen to lie, and what else the machine does, is a fifth of its time."""
    programs = {"with": BIN / "cores", "without": BIN / "cores-plain"}
    if not all(p.exists() for p in programs.values()):
        return None
    best = {}
    for _ in range(1 if quick else 15):
        for which, program in programs.items():
            out = subprocess.run([str(program), "8", "32"], capture_output=True, text=True, check=True).stdout
            for name, ns in re.findall(r"^(\S.*?)\s+8\s+32\s+([\d.]+)", out, re.M):
                kept = best.setdefault(name, {})
                kept[which] = min(float(ns), kept.get(which, float("inf")))
    return best


def measure(options):
    runs = {}
    for _ in range(1 if options.quick else 5):
        for name, (what, *arguments) in plan(0.05 if options.quick else 1).items():
            runs.setdefault(name, []).extend(what(*arguments))
    result = {name: middle(r) for name, r in runs.items()}
    return {"media": result, "cores": cores(options.quick), "has_ck": result["ck_ring 32"] is not None}


def show(result):
    m = result["media"]
    rate = {k: v["per_second"] for k, v in m.items() if v and "per_second" in v}
    section("ring: million messages a second from one process to another, on two processors")
    print("  " + " " * 22 + "".join(f"{f'{s} octets':>13}" for s in SIZES))
    for name in ("ring", "ring sleeping", "ring batch 1", "ring sleeping batch 1", "ck_ring", "futex", "pipe", "seqpacket", "relay", "relay-step", "step"):
        print(f"  {name:<22}" + "".join(f"{rate[f'{name} {s}'] / 1e6:>13.2f}" if f"{name} {s}" in rate else f"{'absent':>13}" for s in SIZES))
    for s in SIZES:
        if result["has_ck"]:
            Row(f"batch 32, spinning, {s} octets", rate[f"ring {s}"] / rate[f"ck_ring {s}"], "ck", AGAINST_CK[s], ">=").show()
        Row(f"batch 32, sleeping, {s} octets", rate[f"ring sleeping {s}"] / rate[f"ring {s}"], "own", 0.6, ">=", "of the same, spinning").show()
        Row(f"kicks per 1000 messages, {s} octets", m[f"ring sleeping {s}"]["kicks_per_1000"], "", 25).show()
        Row(f"relay with the step, {s} octets", rate[f"relay-step {s}"] / rate[f"relay {s}"], "", 0.7, ">=", "of the relay that only copies").show()
        Row(f"receiver with the step, {s} octets", rate[f"step {s}"] / rate[f"ring {s}"], "", 0.7, ">=", "of the bare ring").show()
    show_trips({k[5:]: v for k, v in m.items() if k.startswith("trip") and v})
    for name, ns in (result["cores"] or {}).items():
        Row(f"core: {name}", ns["with"] / ns["without"], "", 1.3, "<=", f"{ns['with']:.0f} ns a packet, {ns['without']:.0f} without the undo log").show()
    if not result["cores"]:
        print("  cores with and without undo log: not built here (make cores)")


def show_trips(t):
    section("ring: round trip of 32 octets, us: p50 / p99 / p99.9")
    for name, v in t.items():
        print(f"  {name:<22}{v['p50_us']:>9.2f} /{v['p99_us']:>8.2f} /{v['p999_us']:>8.2f}")
    if "ck_ring" in t:
        Row("round trip, spinning", t["ring"]["p50_us"] / t["ck_ring"]["p50_us"], "ck", 1.1).show()
    Row("round trip, sleeping", t["ring sleeping"]["p50_us"] / t["futex"]["p50_us"], "fut", 1.1).show()
    Row("round trip, sleeping", t["ring sleeping"]["p50_us"] / t["pipe"]["p50_us"], "pip", 1.0).show()

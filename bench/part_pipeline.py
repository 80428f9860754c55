"""CPU per packet of our three workers, H4 on a unix socket to H4, 244-octet values, 8 controller buffers of 251 octets.

Each figure has a warm-up that is not counted, and the yardstick U (one 256-octet write and read on a socket pair) before and
after it.  A write command's figure bears its share of the reads that pace it.  A notification's is what a write command with
its notifications costs, less the write command by itself, by the number of notifications."""
from statistics import median

from far import NAMES, Far
from table import Row, section

GOALS = {"write": 1.05, "notification": 1.5, "rate": 100_000, "calls": 1.0}


def one(far, kind, seconds, **options):
    """One load: its figures per packet."""
    before = {n: far.counters(n) for n in NAMES}
    u = [far.yardstick()]
    r = far.load(kind, seconds=seconds, **options)
    u.append(far.yardstick())
    after = {n: far.counters(n) for n in NAMES}
    packets = r["notifications"] or r["writes"]
    moved = {n: {k: after[n][k] - before[n][k] for k in after[n]} for n in NAMES}
    for name, key in (("transportd", "in_acl_packets"), ("hostd", "pdus_in"), ("gattd", "pdus_in")):
        assert moved[name][key] == r["acl_to_host"], f"{kind}, {r['connections']}: {name} took {moved[name][key]} of {r['acl_to_host']}"
    lost = [moved["hostd"]["window_discarded"], moved["gattd"]["discarded"], moved["gattd"]["commands_refused"]]
    assert not any(lost), f"discarded on the way: {lost}"
    return {
        "load": kind, "connections": r["connections"], "seconds": r["seconds"], "packets": packets, "writes": r["writes"],
        "notifications": r["notifications"], "pacing_reads": r["reads"], "per_second": packets / r["seconds"],
        "cpu_us": dict(zip(NAMES, (c / packets for c in r["cpu_us"]))), "cpu_us_all": sum(r["cpu_us"]) / packets,
        "calls_per_packet": sum(r["calls"]) / (r["writes"] + r["notifications"]) if r["calls"] else None,
        "calls_of": dict(zip(NAMES, (c / packets for c in r["calls"]))) if r["calls"] else None,
        "switches_per_packet": sum(r["switches"]) / packets,
        "records_per_step": {n: moved[n]["records"] / max(1, moved[n]["steps"]) for n in NAMES},
        "packets_per_far_read": packets / max(1, r["far_reads"]), "U_us": u, "least": r["least"], "most": r["most"], "jain": r["jain"],
    }


def middle(runs):
    """Of several runs of one load the one in the middle, by CPU."""
    return sorted(runs, key=lambda r: r["cpu_us_all"])[len(runs) // 2]


def measure(options):
    seconds, rounds = (0.3, 1) if options.quick else (3, 5)
    plan = {"write": ("write", {}), "write8": ("write", {"connections": 8, "window": 24, "every": 16}),
            "notify8": ("notify", {"connections": 8}), "pair": ("notify", {"connections": 1})}
    return {"together": condition(plan, options, rounds, seconds, True), "spread": condition(plan, options, rounds, seconds, False)}


def condition(plan, options, rounds, seconds, together):
    """All loads, with the processes together on one processor or where the scheduler puts them."""
    runs = {name: [] for name in plan}
    with Far(8, together=together) as far:
        for _ in range(rounds):
            for name, (kind, more) in plan.items():
                runs[name].append(one(far, kind, seconds, warm=0.1 if options.quick else 0.5, calls=1, **more))
    u = median(u for rs in runs.values() for r in rs for u in r["U_us"])
    result = {"U_us": u, **{name: middle(rs) for name, rs in runs.items()}}
    write = result["write"]["cpu_us_all"]
    result["write_ratio"] = write / u
    for name in ("notify8", "pair"):
        r = result[name]
        r["net_us"] = (r["cpu_us_all"] * r["notifications"] - write * r["writes"]) / r["notifications"]
        r["net_ratio"], r["gross_ratio"] = r["net_us"] / u, r["cpu_us_all"] / u
    return result


def row(title, r, ratio, goal):
    cpu = " ".join(f"{n[0].upper()} {r['cpu_us'][n]:.2f}" for n in NAMES)
    steps = "/".join(f"{r['records_per_step'][n]:.0f}" for n in NAMES)
    calls = f"{r['calls_per_packet']:.2f}" if r["calls_per_packet"] is not None else "?"
    note = f"{r['per_second']:>8.0f}/s  {calls} calls  {r['switches_per_packet']:.2f} switches  us: {cpu}  records a step: {steps}"
    return Row(title, ratio, "U", goal, "<=", note)


def show(result):
    show_condition(result["together"], "on one processor, with its far side", GOALS)
    show_condition(result["spread"], "where the scheduler puts it", {})


def show_condition(result, where, goals):
    u = result["U_us"]
    section(f"pipeline {where}: CPU per packet of the three workers; U = {u:.2f} us")
    row("write command, 1 connection", result["write"], result["write_ratio"], goals.get("write")).show()
    row("write command, 8 connections", result["write8"], result["write8"]["cpu_us_all"] / u, None).show()
    row("notification, net, to 8 subscribers", result["notify8"], result["notify8"]["net_ratio"], goals.get("notification")).show()
    row("notification and its share of the write", result["notify8"], result["notify8"]["gross_ratio"], None).show()
    row("notification, net, to 1 subscriber", result["pair"], result["pair"]["net_ratio"], None).show()
    for name, title in (("write", "write commands a second"), ("notify8", "notifications a second")):
        Row(title, result[name]["per_second"], "/s", goals.get("rate"), ">=", "while the far side shares the machine").show()
    calls = [result[n]["calls_per_packet"] for n in ("write", "notify8", "pair")]
    if None not in calls:
        Row("system calls per packet, the worst of the three", max(calls), "", goals.get("calls"), "<=", "all three workers").show()

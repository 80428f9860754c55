"""An ATT read at low load: everybody sleeps when it begins.  Against a bare chain of as many processes, each waking the next by an
eventfd (bench/chain.c), in blocks that take turns; and against the same chain waiting in io_uring, as our workers do."""
import json
import subprocess
from statistics import mean

from far import BIN, NAMES, Far
from table import Row, section

GOAL = 1.3
PERCENTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}


def chain(trips, pause_us, *more):
    words = [str(BIN / "hammer"), "chain", "--trips", str(trips), "--pause-us", str(pause_us), *more]
    return json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def percentiles(ns):
    ns = sorted(ns)
    return {f"{k}_us": ns[min(len(ns) - 1, int(len(ns) * p))] / 1000 for k, p in PERCENTILES.items()}


def measure(options):
    blocks, trips, pause_us = (2, 100, 1000) if options.quick else (20, 500, 2000)
    samples = {"read": [], "chain": [], "loop": []}
    cpu = {"read": [], "chain": [], "loop": []}
    runs = []
    with Far(8, together=options.together) as far:
        far.load("read", trips=50, pause_us=pause_us)
        for _ in range(blocks):
            r = far.load("read", trips=trips, pause_us=pause_us, calls=1)
            bare, loop = chain(trips, pause_us), chain(trips, pause_us, "--loop")
            samples["read"] += r["trips_ns"]
            samples["chain"] += bare["trips_ns"]
            samples["loop"] += loop["trips_ns"]
            cpu["chain"].append(bare["cpu_ns"] / 1000)
            cpu["loop"].append(loop["cpu_ns"] / 1000)
            cpu["read"].append(sum(r["cpu_us"]) / trips)
            runs.append(r)
    result = {k: percentiles(v) for k, v in samples.items()}
    result["cpu_us"] = {k: mean(v) for k, v in cpu.items()}
    result["cpu_us_of"] = {n: mean(r["cpu_us"][i] for r in runs) / trips for i, n in enumerate(NAMES)}
    result["calls_of"] = {n: mean(r["calls"][i] for r in runs) / trips for i, n in enumerate(NAMES)} if runs[0]["calls"] else None
    result["switches_of"] = {n: mean(r["switches"][i] for r in runs) / trips for i, n in enumerate(NAMES)}
    result["ratio"] = {k: result["read"][k] / result["chain"][k] for k in result["read"]}
    result["trips"] = len(samples["read"])
    return result


def show(result):
    section(f"latency: an ATT read, {result['trips']} one at a time, everybody asleep before; us p50 / p99 / p99.9, and CPU of all but the far side")
    for k, title in (("read", "ATT read through our pipeline"), ("chain", "bare chain, eventfd, read(2)"), ("loop", "bare chain, eventfd, io_uring")):
        v = result[k]
        print(f"  {title:<34}{v['p50_us']:>8.1f} /{v['p99_us']:>8.1f} /{v['p999_us']:>8.1f}     {result['cpu_us'][k]:.1f}")
    parts = ", ".join(f"{n} {v:.1f} us" for n, v in result["cpu_us_of"].items())
    if result["calls_of"]:
        parts += "; system calls " + ", ".join(f"{v:.1f}" for v in result["calls_of"].values())
    Row("ATT read, p50", result["ratio"]["p50_us"], "ch", GOAL, "<=", parts).show()
    Row("ATT read, p99", result["ratio"]["p99_us"], "ch", GOAL).show()
    Row("ATT read, p99.9", result["ratio"]["p999_us"], "ch").show()

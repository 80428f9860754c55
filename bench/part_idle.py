"""Nobody wakes up for nothing: context switches of every process of ours in a minute, with 8 connections that say nothing."""
import time
from pathlib import Path

from far import Far
from table import Row, section

SETTLE_S = 3


def switches(pid):
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if "ctxt_switches" in line:
                total += int(line.split()[1])
    return total


def measure(options):
    seconds = 5 if options.quick else 60
    with Far(8) as far:
        far.load("notify", connections=8, seconds=0.5)
        p = far.pipeline
        who = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in [p.up.pid, *p.children()]}
        time.sleep(SETTLE_S)            # a timer of a second, left behind by the load, is in here
        before = {pid: switches(pid) for pid in who}
        time.sleep(seconds)
        moved = {pid: switches(pid) - before[pid] for pid in who}
    return {"seconds": seconds, "processes": len(who), "switches": sum(moved.values()),
            "of": {f"{who[pid]} {pid}": n for pid, n in moved.items() if n}}


def show(result):
    section(f"idle: context switches of all {result['processes']} processes in {result['seconds']} s, 8 connections open")
    Row("context switches", result["switches"], "", 0, "<=", " ".join(f"{k}: {v}" for k, v in result["of"].items())).show()

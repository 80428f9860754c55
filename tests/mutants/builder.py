"""Builds the catchers from a copy of the sources, whole once, and for a mutant only what its file has a part in."""
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ["base", "shm", "wire", "hostd/core", "gattd/core", "transportd", "tests/lib", "tests/mutants", "tests/process"]
FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-I.", "-fPIE", "-pthread", "-O1", "-DTREFOIL_DEBUG"]
WARN = ["-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion", "-Wno-override-init", "-Wcast-qual"]
SECONDS = 120

HOST = ["hostd/core/*.c", "tests/lib/story_hostd.c", "tests/lib/host_world.c"]
GATT = ["gattd/core/*.c", "tests/lib/story_gattd.c", "tests/lib/gatt_world.c"]
MILL = ["tests/lib/mill.c", "tests/lib/story_mill.c", "tests/lib/tape.c", "tests/lib/stage.c"]
SHM = ["shm/arena.c", "shm/arena_check.c", "shm/fifo.c", "shm/queue.c", "shm/step.c", "shm/undo.c"]
LINE = ["transportd/core.c", "transportd/h4.c", "transportd/host_port.c", "transportd/snoop.c", "transportd/sock.c",
        "transportd/sock_tcp.c", "transportd/transport.c",
        "transportd/stream*.c", "tests/lib/line_world.c", "wire/*.c"]
STEP = ["tests/lib/kill_walk.c", "tests/lib/stepper.c"]

PROGRAMS = {
    "walk": ["tests/mutants/walk.c", *MILL, *SHM, *STEP],
    "octets": ["tests/mutants/walk.c", "tests/lib/octet_memcpy.c", *MILL, *SHM, *STEP],
    "play": ["tests/mutants/play.c", *HOST, *GATT, *MILL, *SHM, "tests/lib/core_harness.c", "wire/*.c"],
    "play_line": ["tests/mutants/play_line.c", *LINE, *SHM],
    "fence": ["tests/mutants/fence.c"],
    "streams": ["tests/process/test_transportd_step.c", "tests/lib/line_trial.c", "tests/lib/stepper.c", *LINE, *SHM],
}
# What is done to locals that nobody set: the two builds of the replay.  "": as it comes.
VARIANTS = {"": [], "zero": ["-ftrivial-auto-var-init=zero"], "pattern": ["-ftrivial-auto-var-init=pattern"]}


class Failed(Exception):
    """A compiler or linker said no; its words."""


def compiler():
    """Not a wrapper that keeps what it has compiled: a mutant differs by little, and is compiled once."""
    return os.environ.get("MUTANT_CC", "gcc")


class Builder:
    def __init__(self, where):
        self.tree, self.objects = Path(where) / "tree", Path(where) / "objects"
        shutil.rmtree(where, ignore_errors=True)
        for folder in COPIED:
            shutil.copytree(ROOT / folder, self.tree / folder, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
        self.done = {}              # (source, variant): its object, and the files that it is made of

    def sources(self, program):
        found = []
        for pattern in PROGRAMS[program]:
            hits = sorted(p.relative_to(self.tree).as_posix() for p in self.tree.glob(pattern))
            if not hits:
                raise Failed(f"no file matches {pattern}")
            found += hits
        return list(dict.fromkeys(found))

    def compile(self, source, variant, more=(), into="whole"):
        """Returns (object, files it is made of); raises Failed with the compiler's words."""
        at = self.objects / into / (variant or "plain") / source.replace("/", "-").replace(".c", ".o")
        at.parent.mkdir(parents=True, exist_ok=True)
        deps = at.with_suffix(".d")
        words = [compiler(), *FLAGS, *VARIANTS[variant], *more, "-MD", "-MF", str(deps), "-c", source, "-o", str(at)]
        r = subprocess.run(words, cwd=self.tree, capture_output=True, text=True, check=False, timeout=SECONDS)
        if r.returncode:
            raise Failed(r.stderr)
        return at, set(re.split(r"[\s\\]+", deps.read_text().partition(":")[2]))

    def whole(self, source, variant):
        if (source, variant) not in self.done:
            self.done[source, variant] = self.compile(source, variant)
        return self.done[source, variant]

    def program(self, name, variant="", changed=None, more=()):
        """The path of a program; what `changed` has a part in is compiled anew, with `more` flags.  Raises Failed."""
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            parts = list(pool.map(lambda s: (s, *self.whole(s, variant)), self.sources(name))) if not changed else \
                [(s, *self.done[s, variant]) for s in self.sources(name)]
            objects = [o for _, o, made_of in parts if changed not in made_of]
            objects += pool.map(lambda s: self.compile(s, variant, [*more, "-w"], "mutant")[0],
                                [s for s, _, made_of in parts if changed in made_of])
        if changed and len(objects) != len(parts):
            raise Failed("an object is missing")
        out = self.objects / f"{name}-{variant or 'plain'}{'-mutant' if changed else ''}"
        words = [compiler(), "-pie", "-pthread", *map(str, objects), "-lcmocka", "-o", str(out)]
        r = subprocess.run(words, capture_output=True, text=True, check=False, timeout=SECONDS)
        if r.returncode:
            raise Failed(r.stderr)
        return out

    def archive(self, folder, changed=None):
        """An archive of that core, with the changed file compiled anew."""
        objects = [self.whole(p.relative_to(self.tree).as_posix(), "")[0] for p in sorted((self.tree / folder).glob("*.c"))
                   if p.relative_to(self.tree).as_posix() != changed]
        if changed:
            objects.append(self.compile(changed, "", ["-w"], "mutant")[0])
        out = self.objects / (folder.replace("/", "-") + ("-mutant.a" if changed else ".a"))
        out.unlink(missing_ok=True)
        subprocess.run(["ar", "rcs", str(out), *map(str, objects)], check=True, timeout=SECONDS)
        return out

"""Runs the programs that tests/run.py names: output into a file, a time limit, and nothing left over.

Each program gets a session of its own.  What a program's death leaves without a parent comes to us (PR_SET_CHILD_SUBREAPER), so
that it can be named, ended by its own pid, and waited for; no process that is not our descendant is ever signalled.
"""
import ctypes
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 3             # how long a daemon may take to notice that the test is over


class Done:
    """How a program ended: code (negative: the signal), or timed_out after `limit` seconds."""

    def __init__(self, code, timed_out, seconds, limit):
        self.code, self.timed_out, self.seconds, self.limit = code, timed_out, seconds, limit
        self.ok = code == 0 and not timed_out

    def why(self):
        if self.timed_out:
            return f"not done after {self.limit:.0f} s"
        if self.code < 0:
            return f"killed by {signal.Signals(-self.code).name}"
        return "" if self.ok else f"exit {self.code}"


class Children:
    def __init__(self):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.lock = threading.Lock()    # a child is known before anybody looks who is an orphan
        self.known = {}                 # pid: its Popen
        self.stop = threading.Event()
        self.reaper = threading.Thread(target=self._reap, daemon=True)
        self.reaper.start()

    def on_terminate(self, _signal, _frame):
        """For SIGTERM: nothing that was started goes on without us."""
        for p in list(self.known.values()):
            if p.poll() is None:
                os.killpg(p.pid, signal.SIGKILL)
        raise KeyboardInterrupt

    def close(self):
        self.end_orphans()
        self.stop.set()
        self.reaper.join()

    def run(self, command, log, limit, **more):
        """Runs `command` with all its output in `log`, for at most `limit` seconds.  Returns a Done."""
        started = time.monotonic()
        timed_out = False
        with open(log, "wb") as out:
            with self.lock:
                try:
                    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, **more)
                except OSError as e:
                    out.write(f"{command[0]}: {e.strerror}\n".encode())
                    return Done(127, False, 0.0, limit)
                self.known[p.pid] = p
        try:
            p.wait(limit)
        except subprocess.TimeoutExpired:
            timed_out = True
            self._end_group(p)
        except BaseException:
            self._end_group(p)
            raise
        finally:
            self.known.pop(p.pid, None)
        return Done(p.returncode, timed_out, time.monotonic() - started, limit)

    @staticmethod
    def _end_group(p):
        """Our own child's process group, while the child is not yet waited for, so that the number is still its own."""
        for how, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 10)):
            try:
                os.killpg(p.pid, how)
                p.wait(patience)
                return
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue

    def end_orphans(self):
        """Ends what the programs that are over have left running, children of children too.  Returns what that was."""
        until = time.monotonic() + GRACE_S
        while self._orphans() and time.monotonic() < until:
            time.sleep(0.05)
        named = []
        for _ in range(20):
            left = self._orphans()
            if not left:
                break
            for pid in left:
                named.append(f"{pid} {_name_of(pid)}")
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        return list(dict.fromkeys(named))

    def _orphans(self):
        with self.lock:
            return [pid for pid in _children() if pid not in self.known and not _is_zombie(pid)]

    def _reap(self):
        while not self.stop.wait(0.02):
            with self.lock:
                for pid in _children():
                    if pid not in self.known and _is_zombie(pid):
                        try:
                            os.waitpid(pid, os.WNOHANG)
                        except ChildProcessError:
                            pass


def _children():
    for task in Path("/proc/self/task").iterdir():
        try:
            yield from (int(pid) for pid in (task / "children").read_text().split())
        except OSError:
            continue


def _is_zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


def _name_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "?"

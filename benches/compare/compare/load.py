"""`switchboard bench`: one run of it against a server, and one in the background."""

import json
import os
import subprocess
import time

from . import machine
from .servers import SWITCHBOARD, end, note

# The share of the time that a side may have waited for a core; above it, a sample is repeated.
WAIT_MAX = 0.08
TRIES_MAX = 3
# Seconds until a run is given up.
RUN_MAX_S = 120


def run(server, running, arguments, setting, tries=TRIES_MAX):
    """The least disturbed report of up to `tries` runs, or None."""
    best = None
    for _ in range(tries):
        report = run_once(server, running, arguments, setting)
        if report is None:
            break
        if best is None or disturbance(report) < disturbance(best):
            best = report
        if disturbance(best) <= WAIT_MAX:
            break
    return best


def run_once(server, running, arguments, setting):
    command = bench(server, running, ["--json", *arguments])
    try:
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=RUN_MAX_S,
            preexec_fn=lambda: machine.pin(setting.load_core),
            check=False,
        )
    except subprocess.TimeoutExpired:
        note(f"{server.name}: given up after {RUN_MAX_S} s")
        return None
    try:
        report = json.loads(result.stdout)
    except ValueError:
        note(f"{server.name}: {result.stderr.strip()[-300:]}")
        return None
    if not report["ok"]:
        faults = {key: report[key] for key in FAULTS if report[key]}
        note(f"{server.name}: does not count, as it lost or changed messages: {faults}")
        return None
    # Long, and of no use in a table.
    report.pop("timeline", None)
    return report


FAULTS = ("lost", "duplicates", "disorder", "damaged", "misdelivered", "first_close")


def bench(server, running, arguments):
    raw = ["--raw"] if server.is_raw else []
    pid = ["--pid", str(running.pid)]
    return [str(SWITCHBOARD), "bench", running.url, *raw, *pid, *arguments]


def timed(setting):
    """The times of a measurement, as arguments."""
    milliseconds = [round(1e3 * seconds) for seconds in (setting.warmup_s, setting.seconds)]
    return ["--warmup", f"{milliseconds[0]}ms", "--duration", f"{milliseconds[1]}ms"]


def disturbance(report):
    """How long one of the two sides waited for a core, as a share of the time."""
    sides = (report.get("server"), report.get("client"))
    return max((side.get("wait") or 0 for side in sides if side), default=0)


class Background:
    """A load generator that runs beside the measurement, ended with the block."""

    def __init__(self, server, running, arguments, prepare_child):
        quiet = subprocess.DEVNULL
        command = bench(server, running, [*arguments, "--json"])
        self.process = subprocess.Popen(
            command, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, preexec_fn=prepare_child
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends it, and returns its report if it has one."""
        if self.process.stdout.closed:
            return None
        self.process.terminate()
        try:
            text, _ = self.process.communicate(timeout=RUN_MAX_S)
            return json.loads(text)
        except (subprocess.TimeoutExpired, ValueError):
            end(self.process)
            return None


def holding(server, running, count, setting, arguments=()):
    """So many idle connections in the background; returns when all are open."""
    before = descriptors(running.pid)
    more = ["--mode", "idle", "--connections", str(count), "--active", "0", "--duration", "1h"]
    background = Background(
        server, running, [*more, *arguments], lambda: machine.pin(setting.load_core)
    )
    until = time.monotonic() + RUN_MAX_S
    while descriptors(running.pid) < before + count:
        if background.process.poll() is not None or time.monotonic() > until:
            background.stop()
            return None
        time.sleep(0.02)
    settle(running.pid)
    return background


def descriptors(pid):
    """How many descriptors a process has open: its connections, and a few more."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def cpu_seconds(pid):
    """Processor time of a process so far."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="utf-8") as file:
                total += int(file.read().split()[0])
        except OSError:
            pass
    return total / 1e9


def settle(pid):
    """Waits until a process has nothing more to do, for a few seconds at most."""
    last = cpu_seconds(pid)
    for _ in range(50):
        time.sleep(0.1)
        now = cpu_seconds(pid)
        if now - last < 0.001:
            return
        last = now

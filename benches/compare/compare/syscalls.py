"""System calls per message, as strace sees them.

From one wait for events to the next is a tick. A server that reads and writes each connection that
is ready once per tick pays two calls for all the messages that have come on it meanwhile.
"""

import collections
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

from . import load, machine
from .servers import NotStarted, Running, note

READS = {"read", "readv", "recvfrom", "recvmsg"}
WRITES = {"sendmsg", "sendto", "write", "writev"}
WAITS = {"epoll_pwait", "epoll_pwait2", "epoll_wait"}
TIMERS = {"alarm", "clock_nanosleep", "nanosleep", "setitimer", "timer_settime", "timerfd_settime"}
# Of a connection's begin and end, and of the allocator: not of a message.
IGNORED = {"accept", "accept4", "close", "epoll_ctl", "setsockopt", "shutdown"}
IGNORED |= {"brk", "madvise", "mmap", "mremap", "munmap"}

TEN = ("--connections", "10", "--size", "64")
WORKLOADS = [
    ("echo P 1", "echo", (*TEN, "--pipeline", "1")),
    ("echo P 16", "echo", (*TEN, "--pipeline", "16")),
    ("relay P 1", "relay", (*TEN, "--mode", "direct", "--pipeline", "1")),
    ("relay P 16", "relay", (*TEN, "--mode", "direct", "--pipeline", "16")),
    ("fan-out to 10 P 1", "room", (*TEN, "--mode", "fanout", "--pipeline", "1")),
    ("fan-out to 10 P 16", "room", (*TEN, "--mode", "fanout", "--pipeline", "16")),
]

# Seconds until strace has written the rest.
STRACE_MAX_S = 20


def measure(found, setting, rounds):
    """A sample for each workload and server; counts do not need rounds, but may have them."""
    reason = missing()
    if reason:
        note(f"no system calls are counted: {reason}")
        return []
    samples = []
    for number in range(rounds):
        for name, service, arguments in WORKLOADS:
            for server in found:
                if service not in server.services:
                    continue
                sample = count(server, service, arguments, setting)
                if sample:
                    note(f"{number + 1}/{rounds} {name} {server.name} {sample}")
                    samples.append({"workload": name, "server": server.name, **sample})
    return samples


def missing():
    """Why nothing can be counted, if so."""
    if not shutil.which("strace"):
        return "no strace (on Debian: apt-get install strace)"
    traced = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return "strace is not allowed to trace here" if traced.returncode != 0 else None


def count(server, service, arguments, setting):
    pinned = lambda: machine.pin(setting.server_core)  # noqa: E731
    with tempfile.TemporaryDirectory() as directory:
        trace = pathlib.Path(directory) / "trace"
        # -D: the server is our child, and strace looks at it from outside.
        strace = ["strace", "-D", "-f", "-q", "-e", "raw=all", "-o", str(trace)]
        # What a connection logs when it comes and goes is no cost of a message.
        more = ("--log", "warn") if server.name == "switchboard" else ()
        try:
            with Running(server, service, pinned, more, strace) as running:
                report = load.run(server, running, [*arguments, *load.timed(setting)], setting, 1)
        except NotStarted as error:
            note(str(error))
            return None
        text = finished(trace, running.pid)
    return counted(text, report["received"]) if report and text else None


def finished(trace, pid):
    """The trace, once it has the end of the process in it."""
    ended = re.compile(rf"^{pid} +\+\+\+ ", re.MULTILINE)
    until = time.monotonic() + STRACE_MAX_S
    while time.monotonic() < until:
        text = trace.read_text(encoding="utf-8", errors="replace")
        if ended.search(text):
            return text
        time.sleep(0.05)
    note("strace did not come to an end")
    return None


CALL = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(?: resumed>|\()(.*)$")


def calls(text):
    """Process, name, first argument, third argument and result of each call, as numbers."""
    begun = {}
    for line in text.splitlines():
        found = CALL.match(line)
        if not found:
            continue
        process, name, rest = found.groups()
        if rest.endswith("<unfinished ...>"):
            begun[process] = rest.removesuffix("<unfinished ...>")
            continue
        rest = begun.pop(process, "") + rest
        arguments, _, result = rest.rpartition(" = ")
        values = [number(part) for part in arguments.strip().rstrip(")").split(", ")]
        values += [None] * 3
        yield process, name, values[0], values[2], number(result.split(" ")[0])


def number(text):
    try:
        return int(text, 0)
    except ValueError:
        return None


def counted(text, messages):
    """Calls per message, and the most of them that a connection had in a tick."""
    totals = collections.Counter()
    in_tick = collections.defaultdict(collections.Counter)
    most = collections.Counter()
    connections = set()
    accepted = registered = 0
    for process, name, first, third, result in calls(text):
        if name.startswith("accept") and result is not None and result >= 0:
            connections.add(result)
            accepted += 1
        elif name == "epoll_ctl" and third in connections:
            registered += 1
        elif name in WAITS:
            totals["waits"] += bool(result)
            in_tick[process].clear()
        elif first in connections and name in READS | WRITES:
            kind = "reads" if name in READS else "writes"
            totals[kind] += 1
            # A read that fills its buffer is followed by another, and so is the last message of
            # a peer who is gone.
            if kind == "writes" or result is None or 0 < result < third:
                in_tick[process][kind, first] += 1
                most[kind] = max(most[kind], in_tick[process][kind, first])
        elif name in TIMERS:
            totals["timers"] += 1
        elif accepted and name not in IGNORED:
            totals["others"] += 1
    per_message = {kind: totals[kind] / max(messages, 1)
                   for kind in ("reads", "writes", "waits", "timers", "others")}
    return {
        "messages": messages,
        **per_message,
        "most_reads": most["reads"],
        "most_writes": most["writes"],
        "epoll_ctl": registered / max(accepted, 1),
    }

"""permessage-deflate: what it saves on the wire, and what it costs in processor time and memory.

Every sample has the part, the server, what was varied, the round, and the report. Switchboard takes
part once in each of its modes; the others as they come, if they agree to compress.
"""

from . import load, machine
from .servers import NotStarted, Running, note

MODES = ("off", "on", "takeover")
SIZES = ("125", "256", "1k", "16k")
FAN_SIZES = ("1k", "16k")
CONNECTIONS = (200, 1_000)
SUBSCRIBERS = 1_000


def measure(found, setting, rounds):
    samples = []
    machine.raise_descriptor_limit()
    subjects = [subject for server in found for subject in subjects_of(server)]
    for number in range(rounds):
        for part, what, service, arguments in parts(setting):
            # Whatever the machine does slowly hits all alike, and nobody is always first.
            first = number % max(len(subjects), 1)
            for name, server, more in subjects[first:] + subjects[:first]:
                if service not in server.services:
                    continue
                report = sample(server, service, more, arguments, setting, part)
                if report is None or (part == "memory" and not report["memory"]["before"]):
                    continue
                note(f"{number + 1}/{rounds} {part} {what} {name}")
                samples.append({
                    "part": part, "what": what, "server": name, "round": number, "report": report,
                })
    return samples


def subjects_of(server):
    """A name, the server, and more arguments for it."""
    if server.name == "raw":
        return []
    if server.name != "switchboard":
        return [(server.name, server, ())]
    # No message is too short, and nobody is sent away without a window.
    always = ("--deflate-min", "0", "--max-deflate-takeover", str(2 * max(CONNECTIONS)))
    return [(f"--deflate {mode}", server, ("--deflate", mode, *always)) for mode in MODES]


def parts(setting):
    """The part, what is varied, the service, and the arguments of the load generator."""
    times = load.timed(setting)
    for size in SIZES:
        yield "echo", size, "echo", ["--size", size, "--connections", "16", "--pipeline", "4",
                                     *times]
    for size in FAN_SIZES:
        yield "fan-out", size, "room", ["--mode", "fanout", "--size", size, "--connections",
                                        str(SUBSCRIBERS), *times]
    for count in CONNECTIONS:
        yield "memory", count, "echo", ["--mode", "idle", "--size", "1k", "--connections",
                                        str(count), "--duration", "1s"]


def sample(server, service, more, arguments, setting, part):
    pinned = lambda: machine.pin(setting.server_core)  # noqa: E731
    try:
        with Running(server, service, pinned, more) as running:
            # Memory does not depend on who had the processor.
            tries = 1 if part == "memory" else load.TRIES_MAX
            return load.run(server, running, ["--deflate", *arguments], setting, tries)
    except NotStarted as error:
        note(str(error))
        return None

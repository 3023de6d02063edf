"""What is measured: the rows that Switchboard has targets for."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Workload:
    """A row of the table."""

    name: str
    # What the server does: `echo`, `room` (all others get it) or `relay` (the receiver does).
    service: str
    # Of `switchboard bench`.
    arguments: tuple
    # The workload whose raw echo is the limit of this one.
    limit: str = ""
    # What the row shows: messages per second of server CPU, or latency.
    shows: str = "throughput"


def echo(size, connections, pipeline, kind=""):
    name = f"echo {label(size)} c {connections} P {pipeline}"
    arguments = ["--size", size, "--connections", str(connections), "--pipeline", str(pipeline)]
    if kind:
        name = name.replace("echo", {"--text": "echo text", "--utf8": "echo multi-byte"}[kind])
        arguments.append(kind)
    return Workload(name, "echo", tuple(arguments), name)


def fanout(size):
    name = f"fan-out {label(size)} to 1000 P 4"
    arguments = ("--mode", "fanout", "--size", size, "--connections", "1000", "--pipeline", "4")
    return Workload(name, "room", arguments, name)


def relay(pipeline):
    arguments = ("--mode", "direct", "--size", "64", "--connections", "100")
    arguments += ("--pipeline", str(pipeline))
    # What it has to do per message is an echo of as many bytes, at most.
    return Workload(f"relay JSON 100 pairs P {pipeline}", "relay", arguments, RELAY_LIMIT.name)


def rate(per_second):
    arguments = ("--size", "125", "--connections", "100", "--rate", str(per_second))
    return Workload(f"latency at {per_second:,}/s", "echo", arguments, shows="latency")


def label(size):
    return size.replace("k", " KiB").replace("m", " MiB") if size[-1] in "km" else size + " B"


RELAY_LIMIT = echo("125", 64, 16)

CORE = [
    *(echo("20", connections, 1) for connections in (1, 64, 1000)),
    *(echo("1k", connections, 1) for connections in (1, 64, 1000)),
    *(echo("16k", connections, 1) for connections in (1, 64, 1000)),
    echo("20", 64, 16),
    RELAY_LIMIT,
    echo("1k", 64, 16),
    echo("16k", 64, 16),
    echo("64k", 64, 1),
    echo("1m", 1, 1),
    echo("1m", 64, 1),
    echo("125", 64, 16, "--text"),
    echo("16k", 64, 1, "--utf8"),
    fanout("125"),
    fanout("1k"),
    relay(1),
    relay(16),
    rate(50_000),
]

QUICK = [
    echo("20", 64, 1),
    RELAY_LIMIT,
    echo("16k", 64, 16),
    echo("16k", 64, 1, "--utf8"),
    fanout("125"),
    relay(16),
]


def choose(suite, parts):
    """The workloads of a suite, only those with one of `parts` in the name if there are any."""
    found = CORE if suite == "core" else QUICK
    squeezed = [(workload, workload.name.replace(" ", "").lower()) for workload in found]
    wanted = [part.replace(" ", "").lower() for part in parts or [""]]
    return [workload for workload, name in squeezed if any(part in name for part in wanted)]

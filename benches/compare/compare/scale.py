"""Whether cost grows as the work does, and whether one client can spoil it for another.

Every part returns samples: the part, the server, what was varied, and numbers by name.
"""

import os
import time

from . import load, machine
from .servers import NotStarted, Running, note

# Pairs, and so twice as many connections.
PAIRS = (50, 500, 5_000)
# All who are online, as far as descriptors allow.
USERS_MAX = 100_000
GROUPS = 10_000
ARRIVALS = (1_000, 10_000)

TEN = 10
BETWEEN_TEN = ("--mode", "direct", "--size", "64", "--connections", "5", "--pipeline", "16")
IN_A_GROUP = (
    "--mode", "fanout", "--connections", "10", "--pipeline", "4", "--size", "64",
    "--hello", '{"type":"join","group":"measured"}',
    "--message", '{"group":"measured","content":"{content}"}',
)
JOIN_ONE = ("--hello", '{"type":"join","group":"all"}')
JOIN_OWN = ("--hello", '{"type":"join","group":"{id}"}')
AS_USER = ("--register", "?user={id}")

# What one client does while the round trip of another is measured.
FLOODS = {
    "1000 x 125 B outstanding": ("--size", "125", "--pipeline", "1000"),
    "16 x 64 KiB outstanding": ("--size", "64k", "--pipeline", "16"),
}


def measure(found, setting, rounds):
    by_name = {server.name: server for server in found}
    samples = []
    for number in range(rounds):
        parts = []
        if "switchboard" in by_name:
            ours = by_name["switchboard"]
            parts += [connections(ours, by_name.get("raw"), setting), users(ours, setting)]
            parts += [groups(ours, setting)]
        parts += [arrivals(server, setting) for server in found]
        parts += [fairness(server, setting) for server in found]
        for part in parts:
            try:
                for sample in part:
                    note(f"{number + 1}/{rounds} {sample}")
                    samples.append({**sample, "round": number})
            except NotStarted as error:
                note(str(error))
    return samples


def started(server, service, setting):
    return Running(server, service, lambda: machine.pin(setting.server_core))


def rate_of(report):
    side = (report or {}).get("server") or {}
    return side.get("messages_per_cpu_s") or 0


def connections(ours, raw, setting):
    """Direct messages between more and more pairs, all of them busy."""
    for pairs in PAIRS:
        pairs = machine.connections_possible(2 * pairs) // 2
        times = load.timed(setting)
        with started(ours, "relay", setting) as running:
            arguments = ["--mode", "direct", "--size", "64", "--connections", str(pairs), *times]
            direct = rate_of(load.run(ours, running, arguments, setting))
        sample = {"part": "connections", "server": "switchboard", "what": 2 * pairs}
        sample["direct"] = direct
        if raw:
            # As many messages under way as the pairs have, of about as many bytes.
            with started(raw, "echo", setting) as running:
                arguments = ["--size", "125", "--connections", str(pairs), *times]
                sample["raw"] = rate_of(load.run(raw, running, arguments, setting))
        yield sample


def users(ours, setting):
    """Direct messages between ten users, alone and among many others who are online."""
    for others in (0, machine.connections_possible(USERS_MAX) - TEN):
        value = among(ours, BETWEEN_TEN, others, AS_USER, setting)
        yield {"part": "users", "server": "switchboard", "what": others + TEN, "direct": value}


def groups(ours, setting):
    """Messages to a group of eleven, while others are in no group or each in one of its own."""
    others = machine.connections_possible(GROUPS - 1)
    for joined, own in ((0, ()), (others, JOIN_OWN)):
        value = among(ours, IN_A_GROUP, others, [*AS_USER, *own], setting)
        yield {"part": "groups", "server": "switchboard", "what": joined + 1, "deliveries": value}


def among(ours, arguments, others, how, setting):
    """What a load costs while so many other connections are open; `how` is how they register."""
    wanted = [*arguments, *load.timed(setting)]
    with started(ours, "relay", setting) as running:
        if not others:
            return rate_of(load.run(ours, running, wanted, setting))
        background = load.holding(ours, running, others, setting, how)
        if background is None:
            raise NotStarted(f"{others} other connections did not open")
        with background:
            return rate_of(load.run(ours, running, wanted, setting))


def arrivals(server, setting):
    """Many connections that come at once and are dropped at once: processor time of each."""
    subjects = [("", "echo", ())]
    if server.name == "switchboard":
        subjects += [("?user=", "relay", AS_USER), ("in one group", "relay", JOIN_ONE)]
    for label, service, more in subjects:
        for wanted in ARRIVALS:
            count = machine.connections_possible(wanted)
            with started(server, service, setting) as running:
                sample = come_and_go(server, running, count, setting, more)
            if sample:
                name = f"{server.name} {label}".strip()
                yield {"part": "arrivals", "server": name, "what": count, **sample}


def come_and_go(server, running, count, setting, more):
    idle = load.descriptors(running.pid)
    before = load.cpu_seconds(running.pid)
    background = load.holding(server, running, count, setting, more)
    if background is None:
        note(f"{server.name}: {count} connections did not open")
        return None
    opened = load.cpu_seconds(running.pid)
    # Killed, its sockets are closed by the kernel, all in the same moment.
    background.process.kill()
    begun = time.monotonic()
    while load.descriptors(running.pid) > idle and time.monotonic() < begun + 30:
        time.sleep(0.01)
    seconds = time.monotonic() - begun
    background.stop()
    load.settle(running.pid)
    dropped = load.cpu_seconds(running.pid)
    return {
        "open_us": 1e6 * (opened - before) / count,
        "drop_us": 1e6 * (dropped - opened) / count,
        "all_gone_s": seconds,
    }


def fairness(server, setting):
    """The round trip of one client, alone and while another sends as much as it can."""
    probe = ["--connections", "1", "--size", "125", *load.timed(setting)]
    with started(server, "echo", setting) as running:
        alone = load.run(server, running, probe, setting)
    yield round_trip(server, "alone", alone)
    for name, flood in FLOODS.items():
        with started(server, "echo", setting) as running:
            # The flood has the core of the load while the probe has nothing to do, so that the
            # probe waits for the server and not for the flood's own work.
            politely = lambda: machine.pin_politely(setting.load_core)  # noqa: E731
            arguments = ["--connections", "1", "--duration", "1h", *flood]
            with load.Background(server, running, arguments, politely) as background:
                time.sleep(0.3)
                # The flood takes what it gets, so the probe's own waiting is all that disturbs.
                report = load.run(server, running, probe, setting, tries=1)
                flooded = background.stop()
        sample = round_trip(server, name, report)
        if flooded:
            sample["flood_per_s"] = flooded["messages_per_s"]
        yield sample


def round_trip(server, what, report):
    latency = (report or {}).get("latency_us") or {}
    sample = {"part": "fairness", "server": server.name, "what": what}
    return {**sample, **{key: latency.get(key) for key in ("p50", "p99", "max")}}


if not hasattr(os, "SCHED_IDLE"):
    note("no SCHED_IDLE here: the probe of the fairness test competes with the flood")

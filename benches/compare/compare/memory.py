"""Resident memory: of idle connections, and after large messages."""

from . import load, machine
from .servers import NotStarted, Running, note

CONNECTIONS = 10_000
ACTIVE = 200

# A label, the service, further arguments of the server and of the load generator. A guest of the
# relay who sends something sends it to everybody, so guests say nothing.
SUBJECTS = [
    ("", "echo", (), ("--size", "64")),
    ("guests", "relay", (), ("--active", "0")),
    ("?user=", "relay", (), ("--size", "64", "--register", "?user={id}")),
]
LARGE_SUBJECTS = [
    ("", "echo", (), ("--size", "1m")),
    ("?user=", "relay", ("--max-message", "2m"), ("--size", "1m", "--register", "?user={id}")),
]


def measure(found, setting, rounds):
    """Samples of both kinds, `idle` and `large`."""
    samples = []
    count = machine.connections_possible(CONNECTIONS)
    active = min(ACTIVE, count)
    for number in range(rounds):
        for server in found:
            for label, service, more, arguments in subjects(server, SUBJECTS):
                times = ["--duration", "1s"]
                report = sample(server, service, more, [*arguments, *times], count, setting)
                add(samples, "idle", server, service, label, number, report)
            for label, service, more, arguments in subjects(server, LARGE_SUBJECTS):
                wanted = [*arguments, "--active", str(active), "--duration", "5s"]
                report = sample(server, service, more, wanted, count, setting)
                add(samples, "large", server, service, label, number, report)
    return samples


def subjects(server, all_subjects):
    """Others are looked at as echo servers alone."""
    ours = server.name == "switchboard"
    return [subject for subject in all_subjects if ours or subject[1] == "echo"]


def sample(server, service, more, arguments, count, setting):
    pinned = lambda: machine.pin(setting.server_core)  # noqa: E731
    try:
        with Running(server, service, pinned, more) as running:
            wanted = ["--mode", "idle", "--connections", str(count), *arguments]
            # Memory does not depend on who had the processor.
            return load.run(server, running, wanted, setting, tries=1)
    except NotStarted as error:
        note(str(error))
        return None


def add(samples, kind, server, service, label, number, report):
    if report is None or report["memory"]["before"] is None:
        return
    command = {"echo": "echo", "relay": "serve"}[service]
    name = f"switchboard {command} {label}".strip() if server.name == "switchboard" else server.name
    note(f"{kind:6} {name:28} {report['memory']['per_connection_end']:,.0f} B per connection")
    samples.append({"kind": kind, "server": name, "round": number, "report": report})

"""switchboard.v1: what answers, numbers and logs cost beside the plain dialect.

Every sample has the part, what was varied, who took part, the round, and the report. In each round
all of a part run one after the other, so that ratios are of runs that were beside one another.
"""

import os
import shutil
import statistics
import tempfile
import time

from . import load, machine, servers
from .servers import NotStarted, Running, note
from .tables import disturbed, grouped, of, quartiles, short, table, unique

GROUP = ("--hello", '{"type":"join","group":"bench"}',
         "--message", '{"group":"bench","content":"{content}"}')
# Seconds that a bystander is watched before and after the others resume.
BESIDE_S = 0.3
# A name, the arguments of the load generator, and more of them for the plain dialect.
WORK = [
    ("one to one, 100 pairs, P 1", ("--mode", "direct", "--connections", "100"), ()),
    ("one to one, 100 pairs, P 16",
     ("--mode", "direct", "--connections", "100", "--pipeline", "16"), ()),
    ("one to one, 1 KiB, P 16",
     ("--mode", "direct", "--connections", "100", "--pipeline", "16", "--size", "1k"), ()),
    ("to a group of 100, P 4",
     ("--mode", "fanout", "--connections", "100", "--pipeline", "4", "--text"),
     ("--register", "?user={id}", *GROUP)),
]
CLIENTS = (1, 64, 1_000)
KEPT = 10_000
ROOM = ("--log-messages", str(2 * KEPT), "--log-bytes", "64m")
USERS = 10_000


def measure(found, setting, rounds):
    machine.raise_descriptor_limit()
    server = next((server for server in found if server.name == "switchboard"), None)
    samples = []
    if server is None:
        return samples
    for number in range(rounds):
        for part in (cost, durable, resume, memory):
            for what, who, report in part(server, setting, number):
                if report is not None:
                    note(f"{number + 1}/{rounds} {part.__name__} {what} {who}")
                    samples.append({"part": part.__name__, "what": what, "server": who,
                                    "round": number, "report": report})
    return samples


def in_turn(subjects, number):
    """Nobody is always first."""
    first = number % len(subjects)
    return subjects[first:] + subjects[:first]


def run(server, setting, more, arguments, tries=load.TRIES_MAX):
    pinned = lambda: machine.pin(setting.server_core)  # noqa: E731
    try:
        with Running(server, "relay", pinned, more) as running:
            return load.run(server, running, arguments, setting, tries)
    except NotStarted as error:
        note(str(error))
        return None


def cost(server, setting, number):
    times = load.timed(setting)
    for name, arguments, plain in WORK:
        for who, more in in_turn([("plain", plain), ("v1", ("--v1",))], number):
            yield name, who, run(server, setting, (), [*arguments, *times, *more])


def durable(server, setting, number):
    """One to one with so many senders, each with one message unanswered."""
    times = load.timed(setting)
    for clients in CLIENTS:
        for who in in_turn(["file", "memory", "--data"], number):
            directory = tempfile.mkdtemp(prefix="data-", dir=servers.TARGET)
            try:
                if who == "file":
                    yield clients, who, synced(directory, setting)
                    continue
                more = ("--data", directory) if who == "--data" else ()
                arguments = ["--v1", "--mode", "direct", "--connections", str(clients), *times]
                yield clients, who, run(server, setting, more, arguments)
            finally:
                shutil.rmtree(directory, ignore_errors=True)


def synced(directory, setting):
    """How fast a plain file takes 512 bytes and a sync, one after the other."""
    path = os.path.join(directory, "file")
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    waits = []
    try:
        until = time.monotonic() + setting.seconds
        while time.monotonic() < until:
            before = time.monotonic()
            os.write(file, bytes(512))
            os.fdatasync(file)
            waits.append(time.monotonic() - before)
    finally:
        os.close(file)
    return {"messages_per_s": len(waits) / sum(waits),
            "answer_us": {"p50": 1e6 * statistics.median(waits)}}


def resume(server, setting, number):
    """One and ten users come back for what was kept; a bystander's messages go on."""
    for users in (1, 10):
        arguments = ["--v1", "--mode", "resume", "--connections", str(users), "--kept", str(KEPT)]
        for who in in_turn(["alone", "beside"], number):
            pinned = lambda: machine.pin(setting.server_core)  # noqa: E731
            try:
                with Running(server, "relay", pinned, ROOM) as running:
                    yield f"{users} × {grouped(KEPT)}", who, fetched(
                        server, running, arguments, setting, who)
            except NotStarted as error:
                note(str(error))


def fetched(server, running, arguments, setting, who):
    """The report of a resume; beside a bystander, with what that one waited."""
    if who == "alone":
        return load.run_once(server, running, arguments, setting)
    # Of other names than those who resume.
    message = '{"sender":"by{from}","receiver":"by{to}","content":"{content}"}'
    steady = ["--mode", "direct", "--connections", "1", "--rate", "500", "--warmup", "0",
              "--register", "?user=by{id}", "--message", message]
    quiet = load.run_once(server, running, [*steady, "--duration", "1s"], setting)
    with load.Background(
        server, running, [*steady, "--duration", "1h"], lambda: machine.pin(setting.load_core)
    ) as background:
        time.sleep(BESIDE_S)
        report = load.run_once(server, running, arguments, setting)
        time.sleep(BESIDE_S)
        waited = background.stop()
    if report is None or quiet is None or waited is None:
        return None
    return {**report, "bystander": {"before": quiet["latency_us"], "with": waited["latency_us"]}}


def memory(server, setting, number):
    """What a user costs who is there and silent."""
    count = str(machine.connections_possible(USERS))
    idle = ["--mode", "idle", "--connections", count, "--duration", "1s"]
    silent = ["--active", "0", "--register", "?user={id}"]
    subjects = [
        ("plain", silent),
        ("v1, nothing in the log", [*silent, "--v1"]),
        ("v1, 10 messages of 100 bytes in the log", ["--v1", "--size", "100", "--pipeline", "10"]),
    ]
    for name, arguments in in_turn(subjects, number):
        report = run(server, setting, (), [*idle, *arguments], tries=1)
        yield name, "switchboard", report if report and report["memory"]["before"] else None


def tables(samples):
    """Markdown: a table for each part."""
    text = cost_table(of(samples, "part", "cost"))
    text += durable_table(of(samples, "part", "durable"))
    text += resume_table(of(samples, "part", "resume"))
    text += memory_table(of(samples, "part", "memory"))
    return text + disturbed([sample for sample in samples if "ok" in sample["report"]])


def pairs(samples, key, first, second):
    """What `key` of a report is for one, by what it is for another in the same round."""
    values = {who: {sample["round"]: key(sample["report"])
                    for sample in of(samples, "server", who)} for who in (first, second)}
    rounds = [number for number in values[first] if values[second].get(number)]
    return [values[first][number] / values[second][number] for number in rounds]


def ratio(values):
    return f"**{statistics.median(values):.2f}**{quartiles(values, '.2f')}" if values else ""


def middle(samples, key):
    values = [key(sample["report"]) for sample in samples]
    return statistics.median(values) if values else 0


def per_cpu(report):
    return report["server"]["messages_per_cpu_s"]


def wire(report):
    return report["received_bytes_per_message"] + report["sent_bytes_per_message"]


def answer(report):
    return report["answer_us"]["p50"]


def rate(report):
    return report["messages_per_s"]


def cost_table(samples):
    rows = []
    for what in unique(samples, "what"):
        here = of(samples, "what", what)
        row = [what]
        for who in ("plain", "v1"):
            row.append(short(middle(of(here, "server", who), per_cpu)))
        row.append(ratio(pairs(here, per_cpu, "plain", "v1")))
        for who in ("plain", "v1"):
            row.append(f"{middle(of(here, 'server', who), wire):.0f}")
        rows.append(row)
    head = ["", "plain", "v1", "CPU of v1, plain = 1", "bytes, plain", "bytes, v1"]
    title = "\n### Messages per second of server CPU; bytes on the wire per message, both ways\n\n"
    return title + table(head, rows)


def durable_table(samples):
    rows = []
    for what in unique(samples, "what"):
        here = of(samples, "what", what)
        row = [grouped(what)]
        for who in ("memory", "--data"):
            mine = of(here, "server", who)
            row.append(f"{short(middle(mine, rate))} ({middle(mine, answer):,.0f} µs)")
        row.append(ratio(pairs(here, rate, "--data", "memory")))
        row.append(ratio(pairs(here, rate, "--data", "file")))
        row.append(ratio(pairs(here, answer, "--data", "file")))
        rows.append(row)
    head = ["clients", "in memory", "`--data`", "`--data` / in memory", "messages / syncs of a file",
            "wait for `ok` / a sync"]
    title = "\n### Messages per second, and in brackets the median wait for `ok`\n\n"
    return title + table(head, rows)


def resume_table(samples):
    rows = []
    for what in unique(samples, "what"):
        here = of(samples, "what", what)
        alone = of(here, "server", "alone")
        row = [what, short(middle(alone, rate)), short(middle(alone, per_cpu))]
        beside = of(here, "server", "beside")
        for moment in ("before", "with"):
            waits = [middle(beside, lambda report, key=key: report["bystander"][moment][key])
                     for key in ("p50", "p99", "max")]
            row.append(" / ".join(f"{wait:,.0f}" for wait in waits))
        rows.append(row)
    head = ["kept", "messages/s", "per second of CPU", "bystander before, µs",
            "bystander meanwhile, µs"]
    title = "\n### Resuming, and what somebody else's messages wait (p50 / p99 / longest)\n\n"
    return title + table(head, rows)


def memory_table(samples):
    rows = []
    for what in unique(samples, "what"):
        here = of(samples, "what", what)
        rows.append([what, grouped(middle(
            here, lambda report: report["memory"]["per_connection_end"]))])
    return "\n### Resident bytes per idle user, of 10,000\n\n" + table(["", "bytes"], rows)

"""The results as Markdown."""

import statistics

from .load import WAIT_MAX, disturbance


def throughput(samples, workloads, found):
    """Two tables: messages per second of server CPU, and latency."""
    names = [server.name for server in found]
    fast = [workload for workload in workloads if workload.shows == "throughput"]
    late = [workload for workload in workloads if workload.shows == "latency"]
    text = ""
    if fast:
        text += (
            "\n### Messages per second of server CPU\n\n"
            "Median; then the median of the ratios to the raw echo in the same round, and in "
            "brackets\nthe quartiles of these ratios.\n\n"
        )
        rows = [[workload.name, *(cell(samples, workload, name) for name in names)]
                for workload in fast]
        text += table(["workload", *names], rows)
    if late:
        text += "\n### Latency from the due time, µs: p50 / p99 (sent late by, p99)\n\n"
        rows = [[workload.name, *(latency_cell(samples, workload, name) for name in names)]
                for workload in late]
        text += table(["workload", *names], rows)
    return text + disturbed(samples)


def cell(samples, workload, name):
    own = rates(samples, workload.name, name)
    if not own:
        return ""
    shown = short(statistics.median(own.values()))
    limit = rates(samples, workload.limit, "raw")
    ratios = [own[number] / limit[number] for number in own if limit.get(number)]
    if not ratios or (name == "raw" and workload.limit == workload.name):
        return shown
    return f"{shown} · **{statistics.median(ratios):.2f}**{quartiles(ratios, '.2f')}"


def rates(samples, workload, name):
    """Round -> messages per second of server CPU."""
    return {
        sample["round"]: sample["report"]["server"]["messages_per_cpu_s"]
        for sample in samples
        if sample["workload"] == workload and sample["server"] == name
        and sample["report"]["server"]
    }


def latency_cell(samples, workload, name):
    reports = [sample["report"] for sample in samples
               if sample["workload"] == workload.name and sample["server"] == name
               and sample["report"]["latency_us"]]
    if not reports:
        return ""
    middle = lambda part, key: statistics.median(  # noqa: E731
        report[part][key] for report in reports if report[part]
    )
    p50, p99, lag = (middle("latency_us", "p50"), middle("latency_us", "p99"),
                     middle("lag_us", "p99"))
    return f"{p50:.0f} / {p99:.0f} ({lag:.0f})"


def disturbed(samples):
    """How far the numbers can be trusted."""
    waits = [disturbance(sample["report"]) for sample in samples]
    many = sum(wait > WAIT_MAX for wait in waits)
    return (
        f"\nOf {len(waits)} samples {many} were disturbed: the server or the load generator waited "
        f"for its core\nfor more than {100 * WAIT_MAX:.0f} % of the time, in each of the tries.\n"
    )


def memory(samples):
    """Two tables: idle connections, and large messages."""
    text = "\n### Resident bytes per idle connection\n\n"
    idle = of(samples, "kind", "idle")
    rows = []
    for name in unique(idle, "server"):
        memories = [sample["report"]["memory"] for sample in of(idle, "server", name)]
        count = of(idle, "server", name)[0]["report"]["connections"]
        keys = ("per_connection_open", "per_connection_after_traffic", "per_connection_end")
        silent = of(idle, "server", name)[0]["report"]["sent"] == 0
        values = [grouped(median(memories, key)) for key in keys]
        if silent:
            values[1] = "–"
        rows.append([name, grouped(count), *values])
    head = ["server", "connections", "all open", "after a message each", "a second later"]
    text += table(head, rows)
    text += "\n### Resident MiB of the process, before and after messages of 1 MiB\n\n"
    large = of(samples, "kind", "large")
    rows = []
    for name in unique(large, "server"):
        reports = [sample["report"] for sample in of(large, "server", name)]
        memories = [report["memory"] for report in reports]
        who = f"{grouped(reports[0]['sent'])} of {grouped(reports[0]['connections'])}"
        open_, after, end = (median(memories, key) for key in ("open", "after_traffic", "end"))
        mebibytes = [f"{value / MIB:.1f}" for value in (open_, after, end, end - open_)]
        rows.append([name, who, *mebibytes])
    head = ["server", "carried one", "all open", "just after", "5 s later", "more than before"]
    return text + table(head, rows)


def scale(samples):
    """A table for each part."""
    text = "\n### Direct messages per second of server CPU, all pairs busy, P 1\n\n"
    rows = []
    part = of(samples, "part", "connections")
    for what in unique(part, "what"):
        same = of(part, "what", what)
        direct, raw = median(same, "direct"), median(same, "raw")
        ratio = f"{direct / raw:.2f}" if raw else ""
        rows.append([grouped(what), short(direct), short(raw) if raw else "", ratio])
    text += table(["connections", "switchboard", "raw echo, as many under way", "ratio"], rows)
    text += beside(samples, "users", "direct", "users online",
                   "Direct messages per second of server CPU between ten users, P 16")
    text += beside(samples, "groups", "deliveries", "groups",
                   "Deliveries per second of server CPU in a group of eleven, P 4")
    text += "\n### Coming and going at once: server CPU per connection, µs\n\n"
    rows = []
    part = of(samples, "part", "arrivals")
    for name in unique(part, "server"):
        for what in unique(of(part, "server", name), "what"):
            same = of(of(part, "server", name), "what", what)
            times = [f"{median(same, key):.1f}" for key in ("open_us", "drop_us")]
            gone = f"{median(same, 'all_gone_s'):.2f}"
            rows.append([name, grouped(what), *times, gone])
    head = ["server", "connections", "to open", "to drop", "all gone after, s"]
    text += table(head, rows)
    return text + fairness(samples)


def beside(samples, part, key, head, title):
    """The same load among few and among many, and what becomes of it."""
    same = of(samples, "part", part)
    rows = []
    base = None
    for what in unique(same, "what"):
        value = median(of(same, "what", what), key)
        base = base or value
        rows.append([grouped(what), short(value), f"{value / base:.2f}" if base else ""])
    return f"\n### {title}\n\n" + table([head, "switchboard", "ratio"], rows)


def deflate(samples):
    """A table for each part; the first server is what the others are compared with."""
    text = ""
    titles = {
        "echo": "Echoes of chat: bytes received on the wire, of the payload; processor time of the "
                "server per message, to that without compression",
        "fan-out": "A message to 1,000: likewise, per delivery",
    }
    for part, title in titles.items():
        chosen = of(samples, "part", part)
        names = unique(chosen, "server")
        text += f"\n### {title}\n\n"
        rows = []
        for what in unique(chosen, "what"):
            here = of(chosen, "what", what)
            limit = per_cpu(here, OFF)
            row = [f"{what} B" if what.isdigit() else what.replace("k", " KiB")]
            for name in names:
                volumes = [sample["report"]["compression"] for sample in of(here, "server", name)]
                own = per_cpu(here, name)
                ratios = [limit[number] / own[number] for number in own if limit.get(number)]
                wire = f"{100 * median(volumes, 'received_ratio'):.0f} %"
                if name != OFF and ratios:
                    wire += f" · **{statistics.median(ratios):.2f}**{quartiles(ratios, '.2f')}"
                row.append(wire)
            rows.append(row)
        text += table(["size", *names], rows)
    chosen = of(samples, "part", "memory")
    names = unique(chosen, "server")
    text += "\n### Resident bytes per connection that has sent and received 1 KiB of chat\n\n"
    rows = []
    for count in unique(chosen, "what"):
        row = [grouped(count)]
        for name in names:
            reports = [sample["report"] for sample in of(of(chosen, "what", count), "server", name)]
            memories = [report["memory"] for report in reports]
            row.append(grouped(median(memories, "per_connection_end")))
        rows.append(row)
    return text + table(["connections", *names], rows) + disturbed(samples)


# The mode that others are compared with.
OFF = "--deflate off"


def per_cpu(samples, name):
    """Messages per second of server CPU, by round."""
    found = {}
    for sample in of(samples, "server", name):
        side = sample["report"]["server"] or {}
        if side.get("messages_per_cpu_s"):
            found[sample["round"]] = side["messages_per_cpu_s"]
    return found


def syscalls(samples):
    """What a message costs, and whether a connection is read and written once per tick."""
    text = (
        "\n### System calls per message\n\n"
        "A message is one that was received, so in fan-out a delivery. Timers and others from the "
        "first\nconnection on. The last columns are the most that one connection had in one tick; "
        "a read that\nfilled its buffer does not count there.\n\n"
    )
    shown = ("reads", "writes", "waits", "timers", "others")
    rows = []
    for workload in unique(samples, "workload"):
        for name in unique(of(samples, "workload", workload), "server"):
            same = of(of(samples, "workload", workload), "server", name)
            cells = [f"{median(same, key):.2f}" for key in (*shown, "epoll_ctl")]
            cells += [grouped(median(same, key)) for key in ("most_reads", "most_writes")]
            rows.append([f"{workload}, {name}", *cells])
    head = ["workload, server", *shown, "epoll_ctl per connection", "reads a tick", "writes a tick"]
    return text + table(head, rows)


def fairness(samples):
    part = of(samples, "part", "fairness")
    kinds = unique(part, "what")
    text = "\n### Round trip of one client, µs: p50 / p99, and what another's flood makes of it\n\n"
    rows = []
    for name in unique(part, "server"):
        row = [name]
        alone = None
        for kind in kinds:
            same = of(of(part, "server", name), "what", kind)
            p50, p99 = median(same, "p50"), median(same, "p99")
            alone = alone or p50
            shown = f"{p50:.0f} / {p99:.0f}"
            flood = median(same, "flood_per_s")
            if flood and alone:
                shown += f" (× {p50 / alone:.1f}; flood {short(flood)}/s)"
            row.append(shown)
        rows.append(row)
    return text + table(["server", *kinds], rows)


def table(head, rows):
    """Markdown; the first column is text, the others are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def of(samples, key, value):
    return [sample for sample in samples if sample[key] == value]


def unique(samples, key):
    """The values of a field, in the order in which they come first."""
    return list(dict.fromkeys(sample[key] for sample in samples))


def median(samples, key):
    values = [sample[key] for sample in samples if sample.get(key) is not None]
    return statistics.median(values) if values else 0


def quartiles(values, form):
    if len(values) < 2:
        return ""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return f" ({low:{form}}–{high:{form}})"


def short(value):
    if value >= 1e6:
        return f"{value / 1e6:.2f}M"
    return f"{value / 1e3:.0f}k" if value >= 1e4 else f"{value:.0f}"


def grouped(value):
    return f"{value:,.0f}"


MIB = 1024 * 1024

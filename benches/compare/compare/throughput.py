"""Messages per second of server CPU, and latency: servers interleaved, in a rotated order."""

from . import load, machine
from .servers import NotStarted, Running, note


def measure(found, workloads, setting, rounds):
    """A list of samples: workload, server, round, and the report of the load generator."""
    samples = []
    machine.raise_descriptor_limit()
    for number in range(rounds):
        for place, workload in enumerate(workloads):
            able = [server for server in found if workload.service in server.services]
            first = (number + place) % max(len(able), 1)
            # Whatever the machine does slowly hits all servers alike, and nobody is always first.
            for server in able[first:] + able[:first]:
                report = sample(server, workload, setting)
                if report is None:
                    continue
                shown = progress(report, workload)
                note(f"{number + 1}/{rounds} {workload.name:31} {server.name:17} {shown}")
                samples.append({
                    "workload": workload.name,
                    "server": server.name,
                    "round": number,
                    "report": report,
                })
    return samples


def sample(server, workload, setting):
    try:
        # A fresh process: nobody inherits the memory of the workload before.
        pinned = lambda: machine.pin(setting.server_core)  # noqa: E731
        with Running(server, workload.service, pinned) as running:
            arguments = [*workload.arguments, *load.timed(setting)]
            return load.run(server, running, arguments, setting)
    except NotStarted as error:
        note(str(error))
        return None


def progress(report, workload):
    wait = f"wait {100 * load.disturbance(report):.0f} %"
    if workload.shows == "latency":
        return f"p50 {report['latency_us']['p50']} us, p99 {report['latency_us']['p99']} us, {wait}"
    side = report["server"] or {}
    cores = f"server {side.get('cpu', 0):.2f}, load {(report['client'] or {}).get('cpu', 0):.2f}"
    return f"{side.get('messages_per_cpu_s', 0):12,.0f}/cpu s, {cores}, {wait}"

"""The machine: its cores, its limits, and what a table should say about it."""

import dataclasses
import os
import platform
import resource
import subprocess

from . import servers


@dataclasses.dataclass(frozen=True)
class Setting:
    """How long a sample takes, and where the two sides run."""

    warmup_s: float
    seconds: float

    @property
    def server_core(self):
        return CORES[0]

    @property
    def load_core(self):
        return CORES[-1] if len(CORES) < 2 else CORES[1]


# The cores we may use; with one, both sides share it.
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]


def pin(core):
    """What a child does before it becomes another program: it stays on this core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def pin_politely(core):
    """The same, and it runs only while nobody else wants to."""
    pin(core)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def raise_descriptor_limit():
    """As far as it goes, for us and all children. Returns how many a process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS_MAX:
        try:
            # Some are allowed to raise the hard one, too.
            resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS_MAX, DESCRIPTORS_MAX))
            return DESCRIPTORS_MAX
        except (OSError, ValueError):
            pass
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)


# More than any workload here needs.
DESCRIPTORS_MAX = 250_000


def connections_possible(wanted):
    """At most so many connections, and as many as a server and a client may hold."""
    possible = raise_descriptor_limit() - DESCRIPTORS_RESERVED
    if possible < wanted:
        servers.note(f"descriptors for {possible} connections only, not for {wanted} (ulimit -Hn)")
    return min(wanted, possible)


# What a process needs beside its connections, generously.
DESCRIPTORS_RESERVED = 200


def facts():
    """What was measured on."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "cores_used": CORES[:2],
        "kernel": f"{platform.system()} {platform.release()}",
        "rustc": said("rustc", "--version"),
        "commit": said("git", "-C", str(servers.ROOT), "describe", "--always", "--dirty"),
    }


def describe(command, found):
    """The head of the output: the command, the machine, and who took part."""
    known = facts()
    where = "server and load on one core each" if len(CORES) > 1 else "both sides on one core"
    versions = ", ".join(f"{server.name} ({server.version})" for server in found)
    return (
        f"`{command}`\n\n"
        f"{known['cpu']}, {known['cores']} cores, {known['kernel']}, {known['rustc']}; "
        f"{where}.\n\nServers: {versions}.\n"
    )


def cpu_model():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine() or "unknown CPU"


def said(*command):
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        return result.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"

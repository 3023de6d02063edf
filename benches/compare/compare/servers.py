"""The servers: how each is built, started and ended."""

import dataclasses
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").absolute()
PEERS = TARGET / "compare"
MODULES = PEERS / "js"
SWITCHBOARD = TARGET / "release" / "switchboard"

# Crates of the workspace, and the library that each of them shows.
CRATES = {
    "tungstenite": "tokio-tungstenite",
    "sockudo": "sockudo-ws",
    "fastwebsockets": "fastwebsockets",
    "tokio-websockets": "tokio-websockets",
}
NAMES = ["raw", "switchboard", *CRATES, "bun", "node"]

# Seconds that a server may take to listen, and to end.
START_MAX_S = 10
END_MAX_S = 5


@dataclasses.dataclass(frozen=True)
class Server:
    """A program, and how it offers each service."""

    name: str
    version: str
    # Service -> (command with {port}, path).
    services: dict

    @property
    def is_raw(self):
        return self.name == "raw"


class NotStarted(Exception):
    """A server that does not listen."""


class Running:
    """A server process, pinned to a core, ended with the block."""

    def __init__(self, server, service, prepare_child, more=(), before=()):
        command, path = server.services[service]
        self.port = free_port()
        words = [word.replace("{port}", str(self.port)) for word in command]
        argv = [*before, *words, *more]
        quiet = subprocess.DEVNULL
        try:
            self.process = subprocess.Popen(
                argv, stdin=quiet, stdout=quiet, stderr=quiet, preexec_fn=prepare_child
            )
        except OSError as error:
            raise NotStarted(f"{server.name}: {error}") from error
        self.pid = self.process.pid
        self.url = f"ws://127.0.0.1:{self.port}{path}"
        try:
            self.wait_until_it_listens(server.name)
        except BaseException:
            end(self.process)
            raise

    def wait_until_it_listens(self, name):
        until = time.monotonic() + START_MAX_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise NotStarted(f"{name} ended with status {self.process.returncode}")
            with socket.socket() as probe:
                probe.settimeout(0.5)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    # The server shall have forgotten us when it is measured.
                    probe.close()
                    time.sleep(0.05)
                    return
            time.sleep(0.02)
        raise NotStarted(f"{name} does not listen on its port")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)


def end(process):
    """Ends a process that we started."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_MAX_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def parse_peer(text):
    """NAME=COMMAND, as name and words."""
    name, found, command = text.partition("=")
    words = shlex.split(command)
    if not found or not name or not words or "{port}" not in command:
        raise ValueError(f"'{text}' is not NAME=COMMAND with {{port}} in the command")
    if name in NAMES:
        raise ValueError(f"there is a {name} already")
    return name, words


def prepare(only, given):
    """Builds what is wanted, and returns what can be measured, the raw echo first."""
    wanted = set(only or NAMES) | {name for name, _ in given}
    # The load generator is in it, so it is always needed.
    cargo(["--manifest-path", ROOT / "Cargo.toml", "--bin", "switchboard"], TARGET)
    if wanted & {"raw", *CRATES}:
        # All of them, as features of what they share depend on who is built together; one that does
        # not build shall not keep the others from it.
        cargo(["--manifest-path", HERE / "Cargo.toml", "--workspace", "--keep-going"], PEERS)
    found = [server for server in native(wanted) if pathlib.Path(program(server)).exists()]
    if wanted & {"bun", "node"}:
        found += scripted(wanted)
    found += [same_everywhere(name, "given", words) for name, words in given]
    absent = wanted - {server.name for server in found}
    if absent:
        note(f"not there: {', '.join(sorted(absent))}")
    return found


def program(server):
    return server.services["echo"][0][0]


def cargo(words, target):
    command = ["cargo", "build", "--release", "--locked", *map(str, words)]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    if subprocess.run(command, env=environment, check=False).returncode != 0:
        note(f"failed: {shlex.join(command)}")


def native(wanted):
    release = PEERS / "release"
    raw, ours = str(release / "rawecho"), str(SWITCHBOARD)
    listen = ["--listen", "127.0.0.1:{port}"]
    servers = [
        Server("raw", "epoll", {
            "echo": ([raw, "echo", "{port}"], "/"),
            "room": ([raw, "room", "{port}"], "/"),
        }),
        Server("switchboard", version_of("switchboard", ROOT / "Cargo.lock"), {
            "echo": ([ours, "echo", *listen], "/"),
            "room": ([ours, "serve", *listen], "/room"),
            "relay": ([ours, "serve", *listen], "/relay"),
        }),
    ]
    for crate, library in CRATES.items():
        words = [str(release / f"peer-{crate}"), "{port}"]
        version = f"{library} {version_of(library, HERE / 'Cargo.lock')}"
        server = same_everywhere(crate, version, words)
        if crate == "fastwebsockets":
            server = dataclasses.replace(server, services={"echo": (words, "/")})
        servers.append(server)
    return [server for server in servers if server.name in wanted]


def same_everywhere(name, version, words):
    """A server that has the three services on three paths of one port."""
    paths = {"echo": "/", "room": "/room", "relay": "/relay"}
    return Server(name, version, {service: (words, path) for service, path in paths.items()})


def version_of(package, lock):
    text = lock.read_text(encoding="utf-8")
    found = re.search(f'name = "{re.escape(package)}"\nversion = "([^"]+)"', text)
    return found[1] if found else "unknown"


def scripted(wanted):
    """Bun and node, from npm, if it is there."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        note("no npm: without bun and node")
        return []
    lock = (HERE / "js" / "package-lock.json").read_bytes()
    installed = MODULES / "installed.json"
    MODULES.mkdir(parents=True, exist_ok=True)
    for file in (HERE / "js").iterdir():
        shutil.copy(file, MODULES)
    if not installed.exists() or installed.read_bytes() != lock:
        # Bun's binary comes as a package of its own; no script has to run.
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        if subprocess.run(command, cwd=MODULES, stdout=sys.stderr, check=False).returncode != 0:
            note("npm ci failed: without bun and node")
            return []
        installed.write_bytes(lock)
    found = []
    if "bun" in wanted:
        for bun in sorted(MODULES.glob("node_modules/@oven/bun-*/bin/bun")):
            version = output(bun, "--version")
            if version:
                words = [str(bun), str(MODULES / "bun.mjs"), "{port}"]
                found.append(same_everywhere("bun", version, words))
                break
    if "node" in wanted:
        words = [node, str(MODULES / "node.mjs"), "{port}"]
        found.append(same_everywhere("node", f"ws on node {output(node, '--version')}", words))
    return found


def output(*command):
    """What a program says, or nothing if it does not run here."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        return result.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def note(text):
    print(f"# {text}", file=sys.stderr, flush=True)

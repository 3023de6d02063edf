"""The Autobahn|Testsuite's fuzzing client against an echo server, compared with what is expected.

Without --url the built binary is started as `switchboard echo` and ended afterwards. Prints every
case that is not plainly OK, then one line that says how many were as expected. Expected results
are checked in beside this file (expected-quick.json, expected-full.json, expected-takeover.json),
so that a change of behaviour shows in review; --record writes them.

Exit: 0 all as expected, 1 some differ or did not run, 2 usage, 77 skipped for the reason printed.
"""

import argparse
import collections
import fcntl
import fnmatch
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").absolute()
WORK = TARGET / "autobahn"
IMAGE = "crossbario/autobahn-testsuite"

# Sections that `quick` leaves out: limits and performance, compression.
SLOW_SECTIONS = ("9", "12", "13")
# What `takeover` runs: compression, with five kinds of data and seven offers; of each the messages
# up to 16 KiB, in one frame and in fragments. The longer ones take four times as long together.
TAKEOVER_SECTIONS = ("12", "13")
TAKEOVER_LENGTHS = ("1", "2", "3", "4", "5", "6", "7", "11", "12")
# Seconds until a run is given up. What has ended by then still counts.
QUICK_LIMIT = 180
FULL_LIMIT = 5400
# Seconds that the server may take to say where it listens, and to end.
SERVER_START = 10
SERVER_END = 15
# Lines of the log shown for the first case that differs.
WIRELOG_LINES = 20

SKIPPED = 77


class Skip(Exception):
    """The suite cannot run here, and why."""


class Misuse(Exception):
    """Something to be set right by who runs it."""


def main():
    options = parse_options()
    WORK.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    try:
        runner = prepare()
        cases = select(runner.list_cases(), options)
        if not cases:
            raise Misuse("no case matches %r" % options.cases)
        expected = load_expected(options, cases)
        with Server(options.url, options.mode) as server:
            results, problems = runner.run(server.url, cases, options)
            problems += server.problems()
    except Skip as reason:
        print("skipped: %s" % reason)
        return SKIPPED
    except Misuse as reason:
        print("autobahn: %s" % reason)
        return 2
    if options.record:
        record(options, results)
    return report(options, cases, expected, results, problems, time.monotonic() - started)


def parse_options():
    parser = argparse.ArgumentParser(prog="tests/autobahn/run", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", nargs="?", choices=("quick", "full", "takeover"), default="quick",
                        help="quick: the 247 cases outside sections 9, 12 and 13, in about 12 s "
                             "(default); full: all 517, in 5 to 20 minutes; takeover: 108 of "
                             "sections 12 and 13 against `echo --deflate takeover`, in a minute")
    parser.add_argument("--url", metavar="ws://HOST:PORT",
                        help="the echo server to test, instead of one started here")
    parser.add_argument("--cases", metavar="'6.4.* 7.*'",
                        help="these cases instead of the mode's")
    parser.add_argument("--jobs", type=int, metavar="N",
                        help="share the cases among N processes (default: quick 1, full 2)")
    parser.add_argument("--record", action="store_true",
                        help="write what was seen to the expected results")
    options = parser.parse_args()
    if options.url is not None and not options.url.startswith("ws://"):
        parser.error("the URL must begin with ws://")
    if options.jobs is None:
        options.jobs = 1 if options.mode == "quick" else 2
    if options.jobs < 1:
        parser.error("--jobs must be at least 1")
    options.limit = QUICK_LIMIT if options.mode == "quick" else FULL_LIMIT
    if options.cases is not None:
        options.limit = FULL_LIMIT
    return options


def select(everything, options):
    if options.cases is not None:
        patterns = options.cases.split()
        return [c for c in everything if any(fnmatch.fnmatchcase(c, p) for p in patterns)]
    if options.mode == "quick":
        return [c for c in everything if c.split(".")[0] not in SLOW_SECTIONS]
    if options.mode == "takeover":
        return [c for c in everything if c.split(".")[0] in TAKEOVER_SECTIONS
                and c.split(".")[2] in TAKEOVER_LENGTHS]
    return everything


# ---- where the suite runs


def prepare():
    """The suite in a virtual environment, or in a container where that cannot be built."""
    try:
        build_environment()
        return Local()
    except Skip as reason:
        docker = shutil.which("docker")
        if docker is None or subprocess.call([docker, "info"], stdout=subprocess.DEVNULL,
                                             stderr=subprocess.DEVNULL) != 0:
            raise Skip("%s; and there is no docker to run %s" % (reason, IMAGE)) from None
        print("autobahn: %s; using docker" % reason)
        return Container(docker)


def build_environment():
    files = [HERE / n for n in ("requirements.txt", "suite.txt", "accelerate.txt", "port.py")]
    key = hashlib.sha256(b"".join(f.read_bytes() for f in files))
    key.update(sys.version.encode())
    ready = WORK / "ready"
    with open(WORK / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ready.exists() and ready.read_text() == key.hexdigest():
            return
        print("autobahn: building %s (once)" % relative(WORK), flush=True)
        ready.unlink(missing_ok=True)
        for name in ("venv", "ported"):
            shutil.rmtree(WORK / name, ignore_errors=True)
        with open(WORK / "build.log", "w") as log:
            build_steps(log)
        ready.write_text(key.hexdigest())


def build_steps(log):
    install = ["-m", "pip", "install", "--disable-pip-version-check", "--no-deps",
               "--require-hashes"]
    step(log, [sys.executable, "-m", "venv", WORK / "venv"])
    step(log, [python(), *install, "--only-binary", ":all:", "-r", HERE / "requirements.txt"])
    # Built with the pinned setuptools, not with whatever is newest today.
    step(log, [python(), *install, "--no-binary", ":all:", "--no-build-isolation",
               "-r", HERE / "suite.txt"])
    try:
        step(log, [python(), *install, "--only-binary", ":all:", "-r", HERE / "accelerate.txt"])
    except Skip:
        print("autobahn: no wsaccel for this Python, runs without it")
    step(log, [python(), HERE / "port.py", WORK / "ported"])


def step(log, command):
    log.flush()
    if subprocess.call(command, stdout=log, stderr=subprocess.STDOUT,
                       stdin=subprocess.DEVNULL) != 0:
        lines = pathlib.Path(log.name).read_text(errors="replace").splitlines()
        raise Skip("cannot build the suite's environment with Python %d.%d (3.8 to 3.13 work), "
                   "see %s: %s" % (*sys.version_info[:2], relative(log.name),
                                   lines[-1] if lines else "no output"))


def python():
    return WORK / "venv" / "bin" / "python"


def relative(path):
    return os.path.relpath(path)


class Local:
    """Runs the cases by fuzz.py."""

    def __init__(self):
        # -B: no bytecode beside the sources of the repository.
        self.command = [python(), "-B", "-W", "ignore", HERE / "fuzz.py"]
        self.environment = dict(os.environ, PYTHONPATH=str(WORK / "ported"))

    def list_cases(self):
        out = subprocess.run([*self.command, "-", "--list"], env=self.environment, check=True,
                             stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        return out.stdout.decode().split()

    def run(self, url, cases, options):
        reports = fresh_directory(options)
        workers = []
        try:
            for i in range(min(options.jobs, len(cases))):
                # Dealt like cards: neighbours take about equally long.
                workers.append(self.start(url, cases[i::options.jobs], reports, i))
            self.wait(workers, reports, len(cases), options.limit)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
        problems = []
        for i, worker in enumerate(workers):
            if worker.returncode != 0:
                problems.append("runner %d: %s" % (i, last_line(reports / ("%d.log" % i))))
        return read_results(reports), problems

    def start(self, url, cases, reports, i):
        with open(reports / ("%d.log" % i), "w") as log:
            worker = subprocess.Popen([*self.command, url, reports / ("%d.jsonl" % i)],
                                      env=self.environment, stdin=subprocess.PIPE,
                                      stdout=log, stderr=log)
        worker.stdin.write(" ".join(cases).encode())
        worker.stdin.close()
        return worker

    def wait(self, workers, reports, total, limit):
        started = said = time.monotonic()
        while any(worker.poll() is None for worker in workers):
            now = time.monotonic()
            if now - started > limit:
                print("autobahn: given up after %d s" % limit)
                return
            if now - said > 30:
                said = now
                print("autobahn: %d of %d cases" % (len(read_results(reports)), total), flush=True)
            time.sleep(0.05)


def read_results(reports):
    results = {}
    for path in reports.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            try:
                result = json.loads(line)
            except ValueError:
                continue  # cut off when the runner was killed
            results[result["case"]] = result
    return results


def last_line(path):
    lines = path.read_text(errors="replace").splitlines()
    return lines[-1] if lines else "ended without a word"


def fresh_directory(options):
    name = "cases" if options.cases is not None else options.mode
    reports = WORK / "reports" / name
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    return reports


class Container:
    """Runs the cases by the suite's own program, from its image."""

    def __init__(self, docker):
        self.docker = docker

    def list_cases(self):
        return list(json.loads((HERE / "expected-full.json").read_text()))

    def run(self, url, cases, options):
        reports = fresh_directory(options)
        host = url
        if sys.platform != "linux":  # there the container has no way to the host's loopback
            host = re.sub(r"127\.0\.0\.1|localhost", "host.docker.internal", url)
        (reports / "spec.json").write_text(json.dumps({
            "outdir": "/reports/out", "servers": [{"agent": "server", "url": host}],
            "cases": cases, "exclude-cases": [], "exclude-agent-cases": {}}))
        name = "switchboard-autobahn-%d" % os.getpid()
        problems = []
        with open(reports / "0.log", "w") as log:
            try:
                status = subprocess.call(
                    [self.docker, "run", "--rm", "--name", name, "--network", "host",
                     "--user", "%d:%d" % (os.getuid(), os.getgid()),
                     "--volume", "%s:/reports" % reports, IMAGE,
                     "wstest", "-m", "fuzzingclient", "-s", "/reports/spec.json"],
                    stdout=log, stderr=log, stdin=subprocess.DEVNULL, timeout=options.limit)
            except subprocess.TimeoutExpired:
                subprocess.call([self.docker, "kill", name], stdout=log, stderr=log)
                status = "given up after %d s" % options.limit
        if status != 0:
            problems.append("docker run: %s: %s" % (status, last_line(reports / "0.log")))
        return self.read(reports / "out"), problems

    def read(self, out):
        if not (out / "index.json").exists():
            return {}
        results = {}
        for case, entry in json.loads((out / "index.json").read_text()).get("server", {}).items():
            detail = json.loads((out / entry["reportfile"]).read_text())
            results[case] = {
                "case": case, "behavior": entry["behavior"],
                "behaviorClose": entry["behaviorClose"], "code": entry["remoteCloseCode"],
                "ms": entry["duration"], "result": detail["result"],
                "resultClose": detail["resultClose"], "note": detail["wasNotCleanReason"],
                "wirelog": [str(e) for e in detail["wirelog"]]}
        return results


# ---- the server


class Server:
    """The server under test: the one at `url`, or one started for the run."""

    def __init__(self, url, mode):
        self.url = url
        self.more = ["--deflate", "takeover"] if mode == "takeover" else []
        self.process = None
        self.died = None

    def __enter__(self):
        if self.url is None:
            self.start()
        return self

    def start(self):
        command = [find_binary(), "echo", "--listen", "127.0.0.1:0", *self.more]
        output = WORK / "server.out"
        with open(output, "w") as out, open(WORK / "server.err", "w") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=err)
        deadline = time.monotonic() + SERVER_START
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.search(r"ws://127\.0\.0\.1:[1-9][0-9]*\b(?=.*\n)", output.read_text())
            if found:
                self.url = found.group()
                return
            time.sleep(0.02)
        self.end()
        raise Misuse("%s did not print the address that it listens at, see %s and %s"
                     % (" ".join(map(str, command)), relative(output),
                        relative(WORK / "server.err")))

    def problems(self):
        if self.process is not None and self.process.poll() is not None:
            return ["the server ended with status %s, see %s"
                    % (self.process.returncode, relative(WORK / "server.err"))]
        return []

    def __exit__(self, *_):
        self.end()

    def end(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(SERVER_END)
        except subprocess.TimeoutExpired:
            print("autobahn: the server had to be killed, it did not end by SIGTERM")
            self.process.kill()
            self.process.wait()


def find_binary():
    named = os.environ.get("SWITCHBOARD_BIN")
    candidates = [pathlib.Path(named)] if named else [
        TARGET / "release" / "switchboard", TARGET / "debug" / "switchboard"]
    for path in candidates:
        if os.access(path, os.X_OK):
            return path
    raise Misuse("no server to test: `cargo build --release` makes one, or give --url or "
                 "SWITCHBOARD_BIN (looked for %s)" % ", ".join(map(relative, candidates)))


# ---- what is expected, and what came


def expected_path(options):
    is_part = options.cases is not None and options.mode == "quick"
    mode = "full" if is_part else options.mode
    return HERE / ("expected-%s.json" % mode)


def load_expected(options, cases):
    # What `takeover` does not run by itself should be as it is without kept windows.
    known = {}
    for path in (HERE / "expected-full.json", expected_path(options)):
        if path.exists() and (options.mode == "takeover" or path == expected_path(options)):
            known.update(json.loads(path.read_text()))
    return {case: known.get(case) for case in cases}


def grades(result):
    return {"behavior": result["behavior"], "behaviorClose": result["behaviorClose"]}


def record(options, results):
    path = expected_path(options)
    known = json.loads(path.read_text()) if path.exists() else {}
    known.update((case, grades(result)) for case, result in results.items())
    lines = ["  %s: %s" % (json.dumps(c), json.dumps(known[c])) for c in sorted(known, key=order)]
    path.write_text("{\n%s\n}\n" % ",\n".join(lines))
    print("autobahn: recorded %d cases in %s" % (len(results), relative(path)))


def order(case):
    return [int(part) for part in case.split(".")]


def report(options, cases, expected, results, problems, seconds):
    differ = missing = 0
    shown = False
    unimplemented = []
    for case in cases:
        result = results.get(case)
        if result is None:
            missing += 1
            continue
        same = options.record or grades(result) == expected[case]
        differ += not same
        if same and result["behavior"] == "UNIMPLEMENTED":
            unimplemented.append(case)
        elif not same or set(grades(result).values()) != {"OK"}:
            print(describe(result, same, expected[case]))
        if not same and not shown:
            shown = True
            print("".join("    | %s\n" % e for e in result["wirelog"][-WIRELOG_LINES:]), end="")
    if unimplemented:
        print("%s to %s: UNIMPLEMENTED, %d cases (as expected)"
              % (unimplemented[0], unimplemented[-1], len(unimplemented)))
    if missing:
        names = [c for c in cases if c not in results]
        print("did not run: %s%s" % (" ".join(names[:12]), " ..." if missing > 12 else ""))
    for problem in problems:
        print("problem: %s" % problem)
    count = collections.Counter(outcome(r) for r in results.values())
    print("autobahn %s: %d cases in %d s: %s" % (
        options.mode if options.cases is None else "'%s'" % options.cases, len(results), seconds,
        ", ".join("%d %s" % (n, b) for b, n in count.most_common()) or "none"))
    bad = differ + missing + (1 if problems and not differ + missing else 0)
    print("%d passed, %d failed" % (len(cases) - differ - missing, bad))
    return 1 if bad else 0


def outcome(result):
    if result["behaviorClose"] in ("OK", "INFORMATIONAL"):
        return result["behavior"]
    return "%(behavior)s with close %(behaviorClose)s" % result


def describe(result, same, expected):
    words = [result["case"].ljust(8), result["behavior"], "/ close", result["behaviorClose"],
             "code %s" % result["code"], "%d ms" % result["ms"]]
    if same:
        words.append("(as expected)")
    else:
        words.append("EXPECTED %s" % ("nothing known" if expected is None else
                                      "%(behavior)s / close %(behaviorClose)s" % expected))
        words.append(": %s %s" % (result["result"], result["resultClose"]))
        if result["note"]:
            words.append("(%s)" % result["note"])
    return " ".join(words)


if __name__ == "__main__":
    # As an exception, so that the server and the runners are ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

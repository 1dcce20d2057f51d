"""Start servers, load them over loopback, and say what they spend on a request.

CPU per request (user and system time of the servers' whole process trees; neither the load generator nor the fixed answer behind a proxy
is counted) is the figure to compare: it stays within a few percent on a noisy machine, where the rate does not. Two servers are only
compared inside one sitting, in turn.
"""

import contextlib
import functools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import idle

OPEN_LOOP = os.environ.get("MONODON_OPEN_LOOP", "monodon-openloop")


@dataclass
class Server:
    """What is measured: commands that together answer at `url`."""

    name: str
    url: str
    commands: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    # For wrk: a script that says what is sent, where it is not a plain GET.
    script: str = ""
    # What runs behind them and is not measured.
    behind: list[str] = field(default_factory=list)
    # Of an answer that is so large that those under way at the end count: then requests are worked out from what came.
    answer_bytes: int = 0


@dataclass
class Run:
    rate: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    memory_mib: float
    errors: str


def descendants(roots):
    """Every live process id under `roots`, `roots` included."""
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{entry}/stat") as stat:
            parent = int(stat.read().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry))
    found, queue = [], list(roots)
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children.get(pid, [])
    return found


def usage(roots):
    """(CPU seconds, proportional memory in MiB) of the trees under `roots`; reaped children count through their parent."""
    ticks = kib = 0
    for pid in descendants(roots):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/stat") as stat:
                ticks += sum(map(int, stat.read().rpartition(")")[2].split()[11:15]))
            with open(f"/proc/{pid}/smaps_rollup") as rollup:
                kib += next((int(line.split()[1]) for line in rollup if line.startswith("Pss:")), 0)
    return ticks / os.sysconf("SC_CLK_TCK"), kib / 1024


def tail(log):
    """The last lines of what the servers printed."""
    with open(log.name, errors="replace") as text:
        return "".join(text.readlines()[-15:])


def wait_for(url, log, seconds=30):
    where = urlsplit(url)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection((where.hostname, where.port), 0.5).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"{url}: nothing listens after {seconds} s\n{tail(log)}")


@contextlib.contextmanager
def running(server, log):
    """The process group leaders of what is measured. All that was started is ended on the way out."""
    environment = {**os.environ, **server.environment}
    commands = [*server.behind, *server.commands]
    started = [
        subprocess.Popen("exec " + command, shell=True, stdout=log, stderr=log, start_new_session=True, env=environment)
        for command in commands
    ]
    try:
        wait_for(server.url, log)
        time.sleep(1)
        for process, command in zip(started, commands):
            if process.poll() is not None:
                raise SystemExit(f"{server.name}: ended at once with {process.returncode}: {command}\n{tail(log)}")
        yield [process.pid for process in started[len(server.behind) :]]
    finally:
        for process in reversed(started):
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in started:
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def milliseconds(text):
    number, unit = re.match(r"([\d.]+)(\w+)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[unit]


def wrk(server, connections, seconds):
    script = ["-s", server.script] if server.script else []
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *script, server.url]
    report = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    done, read, unit = re.search(r"(\d+) requests in \S+ ([\d.]+)(\w?)B read", report).groups()
    return {
        "requests": float(read) * 1024 ** " KMGT".index(unit or " ") / server.answer_bytes if server.answer_bytes else int(done),
        "rate": float(re.search(r"Requests/sec:\s*([\d.]+)", report)[1]),
        "p50": milliseconds(re.search(r"\n\s+50%\s+(\S+)", report)[1]),
        "p99": milliseconds(re.search(r"\n\s+99%\s+(\S+)", report)[1]),
        "errors": "; ".join(re.findall(r"(Non-2xx.*|Socket errors.*)", report)),
    }


def h2load(server, connections, seconds):
    """HTTP/2: 16 streams at a time on each connection."""
    streams = ["-c", str(connections), "-m", "16", "-t", "1", "-D", str(seconds)]
    report = subprocess.run(["h2load", *streams, server.url], stdout=subprocess.PIPE, text=True, check=True).stdout
    done, failed = re.search(r"(\d+) done, \d+ succeeded, (\d+) failed", report).groups()
    times = re.search(r"time for request:\s+\S+\s+(\S+)\s+(\S+)", report).groups()
    if "Application protocol: h2" not in report:
        raise SystemExit(f"{server.name}: h2load did not get HTTP/2\n{report}")
    return {
        "requests": int(done),
        "rate": float(re.search(r"([\d.]+) req/s", report)[1]),
        # Its report has no percentiles: the mean, and the longest.
        "p50": milliseconds(times[1]),
        "p99": milliseconds(times[0]),
        "errors": f"{failed} failed" if failed != "0" else "",
    }


def handshakes(kind, server, connections, seconds):
    """A connection for each request. `kind`: new or resumed."""
    said = generate(OPEN_LOOP, server, ["--handshakes", kind, "--connections", connections, "--seconds", seconds])
    return {
        "requests": int(said["answered"]),
        "rate": int(said["answered"]) / seconds,
        "p50": float(said["p50_ms"]),
        "p99": float(said["p99_ms"]),
        "errors": f"{said['failed']} failed" if said["failed"] != "0" else "",
    }


def generate(generator, server, arguments, ready=lambda: None):
    """Our own generator, and what it says. `ready` is called when its connections stand."""
    command = [generator, "--url", server.url, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        ready()
        said = dict(pair.split("=") for pair in process.stdout.read().split())
    if process.returncode != 0:
        raise SystemExit(f"{server.name}: {generator} ended with {process.returncode}")
    return said


def closed_loop(server, log, connections, seconds, generator="wrk"):
    """As many requests as `connections` clients get answered, each waiting for its answer. `generator` is wrk, h2load, or `handshakes new`
    or `handshakes resumed`."""
    name, _, kind = generator.partition(" ")
    send = {"wrk": wrk, "h2load": h2load, "handshakes": functools.partial(handshakes, kind)}[name]
    with running(server, log) as roots:
        send(server, connections, 1)
        before, _ = usage(roots)
        report = send(server, connections, seconds)
        after, memory = usage(roots)
    spent = 1e6 * (after - before) / max(1, report["requests"])
    return Run(report["rate"], spent, report["p50"], report["p99"], memory, report["errors"])


def open_loop(server, log, generator, rate, connections, seconds):
    """Requests at a fixed rate whatever the server does; latency counts from the moment a request was due."""
    before = 0.0
    with running(server, log) as roots:

        def ready():
            nonlocal before
            before, _ = usage(roots)

        said = generate(generator, server, ["--rate", rate, "--connections", connections, "--seconds", seconds], ready)
        after, memory = usage(roots)
    answered = int(said["answered"])
    failed = "" if said["failed"] == "0" else f"{said['failed']} failed"
    spent = 1e6 * (after - before) / max(1, answered)
    return Run(answered / seconds, spent, float(said["p50_ms"]), float(said["p99_ms"]), memory, failed)


def beside_uploads(server, log, generator, seconds):
    """The p99 of fast requests, in milliseconds, while a thousand clients send a megabyte each, slowly."""
    with running(server, log):
        said = generate(generator, server, ["--rate", 1000, "--connections", 64, "--seconds", seconds, "--uploads", 1000])
    if said["failed"] != "0" or said["refused"] != "0" or said["uploaded"] == "0":
        print(f"  {server.name}: {said}", file=sys.stderr, flush=True)
    return float(said["p99_ms"])


def idle_memory(server, log, _seconds, count=10_000):
    """KiB that the servers' memory (PSS) grows by for each idle connection that has had one request. The kernel's is not counted."""
    with running(server, log) as roots:
        with idle.connections(server.url, 50):
            _, before = usage(roots)
            with idle.connections(server.url, count) as held:
                _, after = usage(roots)
    return 1024 * (after - before) / held


def mixed_load(server, log, script, seconds):
    """Percentiles of the fast requests where one in ten is slow (see mixed.py): (p50, p90, p99) in milliseconds, and what failed."""
    with running(server, log):
        command = ["python3", script, "--url", server.url, "--secs"]
        # The first seconds are for starting, and for the edge to learn who is slow.
        subprocess.run([*command, "2"], check=True, stdout=subprocess.DEVNULL)
        output = subprocess.run([*command, str(seconds)], check=True, stdout=subprocess.PIPE, text=True).stdout
    said = dict(pair.split("=") for pair in output.split())
    return float(said["p50_ms"]), float(said["p90_ms"]), float(said["p99_ms"]), int(said["failed"])

"""Start servers, load them over loopback, and say what they spend on a request.

CPU per request (user and system time of the servers' whole process trees, the load generator not counted) is the figure to compare: it
stays within a few percent on a noisy machine, where the rate does not. Two servers are only compared inside one sitting, in turn.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Server:
    """What is measured: commands that together answer at `url`."""

    name: str
    url: str
    commands: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    # For wrk: a script that says what is sent, where it is not a plain GET.
    script: str = ""


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
    """The servers' process group leaders, ended on the way out."""
    environment = {**os.environ, **server.environment}
    started = [
        subprocess.Popen("exec " + command, shell=True, stdout=log, stderr=log, start_new_session=True, env=environment)
        for command in server.commands
    ]
    try:
        wait_for(server.url, log)
        time.sleep(1)
        for process, command in zip(started, server.commands):
            if process.poll() is not None:
                raise SystemExit(f"{server.name}: ended at once with {process.returncode}: {command}\n{tail(log)}")
        yield [process.pid for process in started]
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
    return {
        "requests": int(re.search(r"(\d+) requests in", report)[1]),
        "rate": float(re.search(r"Requests/sec:\s*([\d.]+)", report)[1]),
        "p50": milliseconds(re.search(r"\n\s+50%\s+(\S+)", report)[1]),
        "p99": milliseconds(re.search(r"\n\s+99%\s+(\S+)", report)[1]),
        "errors": "; ".join(re.findall(r"(Non-2xx.*|Socket errors.*)", report)),
    }


def closed_loop(server, log, connections, seconds):
    """As many requests as `connections` clients get answered, each waiting for its answer."""
    with running(server, log) as roots:
        wrk(server, connections, 1)
        before, _ = usage(roots)
        report = wrk(server, connections, seconds)
        after, memory = usage(roots)
    spent = 1e6 * (after - before) / max(1, report["requests"])
    return Run(report["rate"], spent, report["p50"], report["p99"], memory, report["errors"])


def open_loop(server, log, generator, rate, connections, seconds):
    """Requests at a fixed rate whatever the server does; latency counts from the moment a request was due."""
    command = [generator, "--url", server.url, "--rate", str(rate), "--connections", str(connections)]
    with running(server, log) as roots:
        subprocess.run([*command, "--seconds", "1"], check=True, stdout=subprocess.DEVNULL)
        before, _ = usage(roots)
        output = subprocess.run([*command, "--seconds", str(seconds)], check=True, stdout=subprocess.PIPE, text=True).stdout
        after, memory = usage(roots)
    said = dict(pair.split("=") for pair in output.split())
    answered = int(said["answered"])
    failed = "" if said["failed"] == "0" else f"{said['failed']} failed"
    spent = 1e6 * (after - before) / max(1, answered)
    return Run(answered / seconds, spent, float(said["p50_ms"]), float(said["p99_ms"]), memory, failed)


def mixed_load(server, log, script, seconds):
    """Percentiles of the fast requests where one in ten is slow (see mixed.py): (p50, p90, p99) in milliseconds, and what failed."""
    with running(server, log):
        command = [script, "--url", server.url, "--secs", str(seconds)]
        output = subprocess.run(["python3", *command], check=True, stdout=subprocess.PIPE, text=True).stdout
    said = dict(pair.split("=") for pair in output.split())
    return float(said["p50_ms"]), float(said["p90_ms"]), float(said["p99_ms"]), int(said["failed"])

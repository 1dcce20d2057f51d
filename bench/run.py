#!/usr/bin/env python3
"""`make bench`: Monodon beside its peers, in one sitting, and the ratios as a table in bench/RESULTS.md.

Runs inside the bench image, where nginx, granian, gunicorn, bjoern and wrk are installed from packages. `--only WORD` runs the cases whose
name holds the word; `--seconds` and `--rounds` set how long and how often (servers alternate: A B A B).
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from measure import Server, closed_loop, mixed_load, open_loop

HERE = Path(__file__).resolve().parent
EDGE = os.environ.get("MONODON_EDGE", "monodon-edge")
WORKER = os.environ.get("MONODON_WORKER", "monodon-worker")
OPEN_LOOP = os.environ.get("MONODON_OPEN_LOOP", "monodon-openloop")
PLAIN, TLS, DIRECT = "http://127.0.0.1:8080", "https://127.0.0.1:8443", "http://127.0.0.1:8000"


@dataclass
class Case:
    """One row: ours against each peer, and the ratio that we hold ourselves to (None: shown only), of CPU per request or of `figure`."""

    name: str
    ours: Server
    peers: list[tuple[Server, float | None]]
    connections: int = 32
    # The peers at half of whose top rate latency is compared.
    half_rate: tuple[str, ...] = ()
    figure: str = "cpu_us"


@dataclass
class Mixed:
    """Latency of fast requests while some are slow: ours against the one peer."""

    name: str
    ours: list[Server]
    peer: Server
    limit: float


class Room:
    """The folder of a sitting: configuration, certificate, files to serve, logs."""

    def __init__(self, path):
        self.path = path
        self.log = open(path / "servers.log", "ab")
        (path / "www").mkdir()
        (path / "www" / "1k.css").write_bytes(b"x" * 1024)
        (path / "www" / "100k.css").write_bytes(b"x" * 102_400)
        (path / "10m.bin").write_bytes(os.urandom(10 << 20))
        for conf in (HERE / "peers").glob("*.conf"):
            shutil.copy(conf, path)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
             "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", path / "key.pem", "-out", path / "cert.pem"],
            check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def environment(self):
        """What the applications need."""
        return {"PYTHONPATH": str(HERE / "apps"), "BENCH_DB": f"{self.path}/bench.sqlite3", "BENCH_FILE": f"{self.path}/10m.bin"}

    def nginx(self, conf="nginx.conf"):
        return f"nginx -p {self.path} -c {self.path}/{conf}"

    def edge(self, upstream):
        return (
            f"{EDGE} run --http 127.0.0.1:8080 --https 127.0.0.1:8443 --upstream {upstream} --static /static/={self.path}/www"
            f" --state {self.path}/state --spool {self.path} --threads 1 --admin 127.0.0.1:9101 --access-log {self.path}/edge-access.log"
        )

    def edge_plain(self, upstream):
        return self.edge(upstream).replace(" --https 127.0.0.1:8443", "")


def worker(application, workers, more=""):
    return f"{WORKER} {application} --bind 127.0.0.1:8000 --workers {workers} --admin 127.0.0.1:9102 --accesslog off {more}"


def granian(application, workers):
    return f"granian --interface wsgi --workers {workers} --blocking-threads 1 --host 127.0.0.1 --port 8000 --no-access-log {application}"


def gunicorn(application, workers, more=""):
    return f"gunicorn --bind 127.0.0.1:8000 --workers {workers} {more} {application}"


def bjoern(application):
    module, _, name = application.partition(":")
    return f"python3 -c 'import bjoern, {module}; bjoern.run({module}.{name}, \"127.0.0.1\", 8000)'"


def cases(room):
    fixed = room.nginx("fixed.conf")
    python = room.environment()

    def app(name, command, url, script=""):
        return Server(name, url, [command], python, script)

    def stack(name, front, command, path):
        return Server(name, TLS + path, [command, front], python)

    edge_fixed, edge_plain = room.edge("127.0.0.1:9001"), room.edge_plain("127.0.0.1:9001")
    yield Case(
        "proxy, plain",
        Server("monodon edge", PLAIN + "/fixed", [fixed, edge_plain]),
        [(Server("nginx", PLAIN + "/fixed", [fixed, room.nginx()]), None)],
    )
    yield Case(
        "proxy, TLS 1.3, kept alive",
        Server("monodon edge", TLS + "/fixed", [fixed, edge_fixed]),
        [(Server("nginx", TLS + "/fixed", [fixed, room.nginx()]), 1.0)],
    )
    for size in ("1k", "100k"):
        for scheme, url, ours in (("plain", PLAIN, edge_plain), ("TLS", TLS, edge_fixed)):
            yield Case(
                f"static {size}B, {scheme}",
                Server("monodon edge", f"{url}/static/{size}.css", [ours]),
                [(Server("nginx", f"{url}/static/{size}.css", [room.nginx()]), None)],
            )
    pages = (("raw WSGI", "raw:wsgi", "/", 0.55, 1.1), ("Django page", "djsite:wsgi", "/hello", 0.75, 1.05))
    for label, target, path, of_granian, of_bjoern in pages:
        yield Case(
            f"{label}, one process",
            app("monodon worker", worker(target, 1), DIRECT + path),
            [
                (app("granian", granian(target, 1), DIRECT + path), of_granian),
                (app("gunicorn sync", gunicorn(target, 1), DIRECT + path), None),
                (app("bjoern", bjoern(target), DIRECT + path), of_bjoern),
            ],
            half_rate=("granian", "gunicorn sync"),
        )
    script = str(HERE / "upload.lua")
    yield Case(
        "a 1 MB upload that the application reads, one process",
        app("monodon worker", worker("work:upload", 1), DIRECT + "/", script),
        [
            (app("granian", granian("work:upload", 1), DIRECT + "/", script), 0.8),
            (app("gunicorn sync", gunicorn("work:upload", 1), DIRECT + "/", script), None),
        ],
        connections=8,
    )
    yield Case(
        "a 10 MB file through wsgi.file_wrapper, one process",
        app("monodon worker", worker("work:file", 1), DIRECT + "/"),
        [(app("gunicorn sync", gunicorn("work:file", 1), DIRECT + "/"), 0.5)],
        connections=8,
    )
    yield Case(
        "4 threads, an application that sleeps 20 ms",
        app("monodon worker", worker("work:waits", 1, "--threads 4"), DIRECT + "/"),
        [(app("gunicorn gthread", gunicorn("work:waits", 1, "--threads 4"), DIRECT + "/"), 0.6)],
    )
    yield Case(
        "memory (MiB, PSS) of 4 Django processes with --preload",
        app("monodon worker", worker("djsite:wsgi", 4, "--preload"), DIRECT + "/hello"),
        [(app("gunicorn sync", gunicorn("djsite:wsgi", 4, "--preload"), DIRECT + "/hello"), 0.9)],
        figure="memory_mib",
    )
    for label, target, path, limits in (("raw WSGI", "raw:wsgi", "/", (None, None)), ("Django page", "djsite:wsgi", "/hello", (0.75, 0.4))):
        yield Case(
            f"whole stack over TLS, {label}, two processes",
            stack("monodon edge + worker", room.edge("127.0.0.1:8000"), worker(target, 2), path),
            [
                (stack("nginx + granian", room.nginx(), granian(target, 2), path), limits[0]),
                (stack("nginx + gunicorn", room.nginx(), gunicorn(target, 2), path), limits[1]),
            ],
            half_rate=("nginx + granian", "nginx + gunicorn") if label == "Django page" else (),
        )


def mixed_cases(room):
    def stack(name, front, command):
        return Server(name, PLAIN + "/", [command, front], room.environment())

    yield Mixed(
        "4 processes",
        [
            stack("monodon edge + worker", room.edge_plain("127.0.0.1:8000"), worker("work:mixed", 4)),
            stack("nginx + monodon worker", room.nginx(), worker("work:mixed", 4)),
        ],
        stack("nginx + gunicorn sync", room.nginx(), gunicorn("work:mixed", 4)),
        1.05,
    )


def median(runs):
    """The run whose CPU per request is the median one."""
    return sorted(runs, key=lambda run: run.cpu_us)[len(runs) // 2]


def sitting(case, room, options):
    """Rows of the table for one case: servers take turns, so that a drift of the machine meets all of them."""
    servers = [case.ours, *(peer for peer, _ in case.peers)]
    runs = {server.name: [] for server in servers}
    for round_ in range(options.rounds):
        for server in servers:
            print(f"  {case.name}: {server.name}, round {round_ + 1} of {options.rounds} … ", end="", file=sys.stderr, flush=True)
            run = closed_loop(server, room.log, case.connections, options.seconds)
            runs[server.name].append(run)
            print(f"{run.cpu_us:.1f} us, {run.rate:.0f}/s {run.errors}", file=sys.stderr, flush=True)
    ours = median(runs[case.ours.name])
    rows = [f"| {case.name} | {case.ours.name} | {ours.cpu_us:.1f} | {ours.rate:,.0f} | {ours.p99_ms:.2f} | {ours.memory_mib:.0f} | | |"]
    for peer, limit in case.peers:
        theirs = median(runs[peer.name])
        pairs = zip(runs[case.ours.name], runs[peer.name])
        ratio = statistics.median(getattr(a, case.figure) / getattr(b, case.figure) for a, b in pairs)
        verdict = "" if limit is None else f"≤ {limit}: {'met' if ratio <= limit else 'MISSED'}"
        errors = f" ({theirs.errors})" if theirs.errors else ""
        rows.append(
            f"| | {peer.name}{errors} | {theirs.cpu_us:.1f} | {theirs.rate:,.0f} | {theirs.p99_ms:.2f} | {theirs.memory_mib:.0f} | {ratio:.2f} | {verdict} |"
        )
    compared = [peer for peer, _ in case.peers if peer.name in case.half_rate]
    latency = [row for peer in compared for row in at_half_rate(case, peer, median(runs[peer.name]).rate, room, options)]
    return rows, latency


def at_half_rate(case, peer, top, room, options):
    """Latency at half the peer's top rate, open loop: what a user feels when the machine is not overrun."""
    rate = int(top / 2)
    found = {}
    for _ in range(options.rounds):
        for server in (case.ours, peer):
            run = open_loop(server, room.log, OPEN_LOOP, rate, 64, options.seconds * 2)
            found.setdefault(server.name, []).append(run)
            print(f"  {case.name} at {rate}/s: {server.name}: p50 {run.p50_ms} p99 {run.p99_ms} ms {run.errors}", file=sys.stderr, flush=True)
    p99 = {name: statistics.median(run.p99_ms for run in runs) for name, runs in found.items()}
    p50 = {name: statistics.median(run.p50_ms for run in runs) for name, runs in found.items()}
    verdict = "met" if p99[case.ours.name] <= p99[peer.name] else "MISSED"
    for name in (case.ours.name, peer.name):
        yield f"| {case.name} | {rate:,} | {name} | {p50[name]:.2f} | {p99[name]:.2f} | {'≤ the peer: ' + verdict if name == case.ours.name else ''} |"


def mixed_sitting(case, room, options):
    """Rows for one case of `Mixed`: the same random moments for everybody, in turn."""
    servers = [case.peer, *case.ours]
    runs = {server.name: [] for server in servers}
    for _ in range(options.rounds):
        for server in servers:
            *figures, failed = mixed_load(server, room.log, str(HERE / "mixed.py"), options.seconds * 5)
            runs[server.name].append(figures)
            print(f"  mixed, {case.name}: {server.name}: p99 {figures[2]} ms, {failed} failed", file=sys.stderr, flush=True)
    for server in servers:
        p50, p90, p99 = (statistics.median(column) for column in zip(*runs[server.name]))
        ratio = statistics.median(a[2] / b[2] for a, b in zip(runs[server.name], runs[case.peer.name]))
        verdict = "" if server is case.peer else f"≤ {case.limit}: {'met' if ratio <= case.limit else 'MISSED'}"
        yield f"| {case.name} | {server.name} | {p50:.2f} | {p90:.2f} | {p99:.2f} | {ratio:.2f} | {verdict} |"


def versions():
    """Who was measured, for the head of the page."""
    commands = (f"{EDGE} --version", f"{WORKER} --version", "nginx -v", "granian --version", "gunicorn --version", "python3 --version")
    for command in commands:
        done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        yield done.stdout.strip().splitlines()[-1] if done.stdout.strip() else command
    cpus = len(os.sched_getaffinity(0))
    yield f"{cpus} cores, Linux {platform.release().split('-')[0]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="run only the cases whose name holds this")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=HERE / "RESULTS.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="monodon-bench-") as folder:
        room = Room(Path(folder))
        subprocess.run(["python3", str(HERE / "apps" / "djsite.py")], check=True, env={**os.environ, **room.environment()})
        rows, latency, mixed = [], [], []
        for case in cases(room):
            if options.only in case.name:
                more, half = sitting(case, room, options)
                rows += more
                latency += half
        for case in mixed_cases(room):
            if options.only in f"mixed, {case.name}":
                mixed += mixed_sitting(case, room, options)
    page = [
        "# What a request costs",
        "",
        "Written by `make bench`. CPU microseconds per request (user and system, all processes of the server), medians of"
        f" {options.rounds} alternating runs of {options.seconds} s over loopback, {Case.connections} kept-alive connections; both proxies have one",
        "thread and their access log on, application servers have theirs off. The ratio is ours over the peer's, run by run; smaller is better.",
        "",
        *(f"- {line}" for line in versions()),
        "",
        "| what | server | CPU us | req/s | p99 ms | MiB | ratio | target |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
    ]
    if latency:
        page += ["", "Latency at half the peer's top rate, open loop (from the moment a request was due):", ""]
        page += ["| what | req/s | server | p50 ms | p99 ms | target |", "|---|---|---|---|---|---|", *latency]
    if mixed:
        page += ["", "Fast requests while one in ten takes 100 ms, 200 a second at random moments (mixed.py); the ratio is that of the p99:", ""]
        page += ["| what | server | p50 ms | p90 ms | p99 ms | ratio | target |", "|---|---|---|---|---|---|---|", *mixed]
    text = "\n".join(page) + "\n"
    print(text)
    if not options.only:
        options.output.write_text(text)


if __name__ == "__main__":
    main()

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

from measure import Server, closed_loop, open_loop

HERE = Path(__file__).resolve().parent
EDGE = os.environ.get("MONODON_EDGE", "monodon-edge")
WORKER = os.environ.get("MONODON_WORKER", "monodon-worker")
OPEN_LOOP = os.environ.get("MONODON_OPEN_LOOP", "monodon-openloop")
PLAIN, TLS, DIRECT = "http://127.0.0.1:8080", "https://127.0.0.1:8443", "http://127.0.0.1:8000"


@dataclass
class Case:
    """One row: ours against each peer, and the ratio of CPU per request that we hold ourselves to (None: shown only)."""

    name: str
    ours: Server
    peers: list[tuple[Server, float | None]]
    connections: int = 32
    half_rate: bool = False


class Room:
    """The folder of a sitting: configuration, certificate, files to serve, logs."""

    def __init__(self, path):
        self.path = path
        self.log = open(path / "servers.log", "ab")
        (path / "www").mkdir()
        (path / "www" / "1k.css").write_bytes(b"x" * 1024)
        (path / "www" / "100k.css").write_bytes(b"x" * 102_400)
        for conf in (HERE / "peers").glob("*.conf"):
            shutil.copy(conf, path)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
             "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", path / "key.pem", "-out", path / "cert.pem"],
            check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def nginx(self, conf="nginx.conf"):
        return f"nginx -p {self.path} -c {self.path}/{conf}"

    def edge(self, upstream):
        return (
            f"{EDGE} run --http 127.0.0.1:8080 --https 127.0.0.1:8443 --upstream {upstream} --static /static/={self.path}/www"
            f" --state {self.path}/state --spool {self.path} --threads 1 --admin 127.0.0.1:9101 --access-log {self.path}/edge-access.log"
        )

    def edge_plain(self, upstream):
        return self.edge(upstream).replace(" --https 127.0.0.1:8443", "")


def worker(application, workers):
    return f"{WORKER} {application} --bind 127.0.0.1:8000 --workers {workers} --admin 127.0.0.1:9102 --accesslog off"


def granian(application, workers):
    return f"granian --interface wsgi --workers {workers} --blocking-threads 1 --host 127.0.0.1 --port 8000 --no-access-log {application}"


def gunicorn(application, workers):
    return f"gunicorn --bind 127.0.0.1:8000 --workers {workers} {application}"


def bjoern(application):
    module, _, name = application.partition(":")
    return f"python3 -c 'import bjoern, {module}; bjoern.run({module}.{name}, \"127.0.0.1\", 8000)'"


def cases(room):
    fixed = room.nginx("fixed.conf")
    python = {"PYTHONPATH": str(HERE / "apps"), "BENCH_DB": str(room.path / "bench.sqlite3")}

    def app(name, command, url):
        return Server(name, url, [command], python)

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
    for label, target, path, limit in (("raw WSGI", "raw:wsgi", "/", 0.7), ("Django page", "djsite:wsgi", "/hello", None)):
        yield Case(
            f"{label}, one process",
            app("monodon worker", worker(target, 1), DIRECT + path),
            [
                (app("granian", granian(target, 1), DIRECT + path), limit),
                (app("gunicorn sync", gunicorn(target, 1), DIRECT + path), None),
                (app("bjoern", bjoern(target), DIRECT + path), None),
            ],
        )
    for label, target, path, limits in (("raw WSGI", "raw:wsgi", "/", (None, None)), ("Django page", "djsite:wsgi", "/hello", (0.75, 0.4))):
        yield Case(
            f"whole stack over TLS, {label}, two processes",
            stack("monodon edge + worker", room.edge("127.0.0.1:8000"), worker(target, 2), path),
            [
                (stack("nginx + granian", room.nginx(), granian(target, 2), path), limits[0]),
                (stack("nginx + gunicorn", room.nginx(), gunicorn(target, 2), path), limits[1]),
            ],
            half_rate=label == "Django page",
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
        ratio = statistics.median(a.cpu_us / b.cpu_us for a, b in zip(runs[case.ours.name], runs[peer.name]))
        verdict = "" if limit is None else f"≤ {limit}: {'met' if ratio <= limit else 'MISSED'}"
        errors = f" ({theirs.errors})" if theirs.errors else ""
        rows.append(
            f"| | {peer.name}{errors} | {theirs.cpu_us:.1f} | {theirs.rate:,.0f} | {theirs.p99_ms:.2f} | {theirs.memory_mib:.0f} | {ratio:.2f} | {verdict} |"
        )
    latency = [row for peer, _ in case.peers for row in at_half_rate(case, peer, median(runs[peer.name]).rate, room, options)] if case.half_rate else []
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
        python = {**os.environ, "PYTHONPATH": str(HERE / "apps"), "BENCH_DB": f"{folder}/bench.sqlite3"}
        subprocess.run(["python3", str(HERE / "apps" / "djsite.py")], check=True, env=python)
        rows, latency = [], []
        for case in cases(room):
            if options.only in case.name:
                more, half = sitting(case, room, options)
                rows += more
                latency += half
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
    text = "\n".join(page) + "\n"
    print(text)
    if not options.only:
        options.output.write_text(text)


if __name__ == "__main__":
    main()

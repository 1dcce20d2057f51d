#!/usr/bin/env python3
"""`make bench`: Monodon beside its peers, in one sitting, and the ratios as a table in bench/RESULTS.md.

Runs inside the bench image, where nginx, granian, gunicorn, bjoern and wrk are installed from packages. `--only WORD` runs the cases whose
name holds the word; `--seconds` and `--rounds` set how long and how often (servers alternate: A B A B).
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from cases import EDGE, HERE, WORKER, Case, Room, cases, figures, mixed_cases
from measure import OPEN_LOOP, closed_loop, mixed_load, open_loop

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
            run = closed_loop(server, room.log, case.connections, options.seconds, case.generator)
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


def figure_sitting(figure, room, options):
    """Rows for one case of `Figure`, in turn."""
    servers = [figure.ours, figure.peer]
    found = {server.name: [] for server in servers}
    for _ in range(options.rounds):
        for server in servers:
            take = figure.take_of_peer if figure.take_of_peer and server is figure.peer else figure.take
            value = take(server, room.log, options.seconds)
            found[server.name].append(value)
            print(f"  {figure.name}: {server.name}: {value:.2f} {figure.unit}", file=sys.stderr, flush=True)
    ours, theirs = (statistics.median(found[server.name]) for server in servers)
    ratio = statistics.median(a / b for a, b in zip(*(found[server.name] for server in servers)))
    verdict = "" if figure.limit is None else f"≤ {figure.limit}: {'met' if ratio <= figure.limit else 'MISSED'}"
    yield f"| {figure.name} | {figure.unit} | {figure.ours.name} | {ours:.2f} | {ratio:.2f} | {verdict} |"
    yield f"| | | {figure.peer.name} | {theirs:.2f} | | |"


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
        rows, latency, mixed, others = [], [], [], []
        for case in cases(room):
            if options.only in case.name:
                more, half = sitting(case, room, options)
                rows += more
                latency += half
        for case in mixed_cases(room):
            if options.only in f"mixed, {case.name}":
                mixed += mixed_sitting(case, room, options)
        for figure in figures(room):
            if options.only in figure.name:
                others += figure_sitting(figure, room, options)
    page = [
        "# What a request costs",
        "",
        "Written by `make bench`. CPU microseconds per request (user and system, all processes of the server; not the fixed answer behind a"
        f" proxy), medians of {options.rounds} alternating runs of {options.seconds} s over loopback, {Case.connections} kept-alive connections; both proxies have one",
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
    if others:
        page += ["", "Other figures:", "", "| what | unit | server | figure | ratio | target |", "|---|---|---|---|---|---|", *others]
    text = "\n".join(page) + "\n"
    print(text)
    if not options.only:
        options.output.write_text(text)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Proves the contract on lost requests: two edges (plain, TLS) before two workers, under load, while processes are killed, recycled, reloaded, while
whole workers are killed and restarted, the edges get other configurations, and the name of the workers changes its addresses or is not answered.

The first worker has one thread a process, and the plain edge reaches it by its unix socket; the second has four threads a process. Some of the
clients of the TLS edge speak HTTP/2 (this needs the package h2). Changes in the DNS need root, or what `unshare --mount` and port 53 take:
without, they are skipped, and that is said.

    python3 bench/soak.py --seconds 600 --edge monodon-edge --worker monodon-worker

The contract: GET and HEAD are never lost; POST is not lost on reload, scaling, recycling, rollout, and at a `kill -9` at most what the killed
process had in hand: worked on or, with threads, waiting for one. Nothing is given to the application twice but for GET, HEAD and OPTIONS; no
client gets another's bytes; a request that hangs gets 504 once and harms nobody else. As long as one worker is up, the other may be killed, stopped,
be in the DNS or not: nothing more is lost; and addresses that are known are kept while the DNS is away. In the end everything is idle, and a killed
supervisor leaves nothing behind.

It prints what it did and every loss with its cause as far as the ledger of the application tells, and ends with 1 on a loss beyond the
contract. `--seed` repeats the choice of what is done (not its timing), `--only WORD,…` restricts it, `--keep` keeps logs and ledger.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from soak_acts import Acts
from soak_clients import Client, Leaver, Record, Site, SlowReader, Uploader
from soak_dns import Dns
from soak_http2 import Http2Client
from soak_house import Edge, Worker, descriptors, free_ports, resident, until
from soak_judge import Judge

HANG = 3
OPTIONS = ["--timeout", f"{HANG}s", "--max-requests", "800", "--max-requests-jitter", "400", "--graceful-timeout", "20s"]
# A process has about 30 MB at first, and keeps 2 MB of each request of the kind "grow".
OPTIONS += ["--max-rss", "46MB", "--max-rss-jitter", "6MB"]
PROCESSES, THREADS = 4, 4


class Soak:
    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        self.random = random.Random(arguments.seed)
        self.record = Record()
        self.began = time.time()
        self.dns = Dns(folder, arguments.seed)
        port, check, plain, tls, *admin = free_ports(6)
        options = OPTIONS + arguments.option
        # The same port at two addresses: so a name has both.
        self.workers = [
            Worker("first", folder, arguments.worker, "127.0.0.2", port, check, PROCESSES, 1, options),
            Worker("second", folder, arguments.worker, "127.0.0.3", port, check, 2, THREADS, options),
        ]
        wrap = (lambda command: command) if self.dns.why_not else self.dns.command
        self.edges = [
            Edge("plain", folder, arguments.edge, plain, False, admin[0], check, wrap),
            Edge("tls", folder, arguments.edge, tls, True, admin[1], check, wrap),
        ]
        self.acts = Acts(self.random, self.record, self.workers, self.edges, self.dns)

    def say(self, words):
        now = time.time()
        print(f"{now - self.began:7.1f} s  {words}", flush=True)

    def start(self):
        if self.dns.why_not:
            self.say(f"SKIPPED: dns-change, dns-fault: {self.dns.why_not}")
        for worker in self.workers:
            worker.start()
        for edge in self.edges:
            self.acts.configure(edge)
            edge.start()
        site = self.acts.site = Site(self.edges[0].port, self.edges[1].port, self.edges[1].get("/ca.pem"))
        seed = self.arguments.seed * 1000
        kinds = [(Client, self.arguments.clients, 12), (SlowReader, 3, 0.5), (Uploader, 2, 2), (Leaver, 2, 4)]
        kinds.append((Http2Client, max(1, self.arguments.clients // 3), 6))
        self.clients = [kind(site, self.record, seed + 100 * at + n, rate) for at, (kind, count, rate) in enumerate(kinds) for n in range(count)]
        for client in self.clients:
            client.start()

    def run(self):
        acts = self.acts.all
        names = [name for name in acts if not self.arguments.only or name in self.arguments.only]
        weights = [acts[name][0] for name in names]
        end = self.began + self.arguments.seconds
        look = time.time() + 15
        while time.time() < end:
            time.sleep(self.random.uniform(0.5, 2 * self.arguments.every))
            [name] = self.random.choices(names, weights)
            if self.arguments.verbose:
                self.say(name)
            self.acts.do(name)
            if time.time() > look:
                look = time.time() + 15
                self.glance()
        self.acts.mend_dns()

    def glance(self):
        done = sum(self.record.done.values())
        edges = ", ".join(f"{edge.name} {resident(edge.pid):.0f} MB {descriptors(edge.pid)} fds" for edge in self.edges)
        workers = ", ".join(f"{w.name} {resident(w.pid):.0f} MB {descriptors(w.pid)} fds" for w in self.workers)
        self.say(f"{done} done, {len(self.record.losses)} lost, {len(self.record.wrong)} wrong; {edges}; {workers}")

    # Afterwards.

    def finish(self):
        for client in self.clients:
            client.over.set()
        for client in self.clients + self.acts.hangs:
            client.join(90)
            if client.is_alive():
                self.record.bad(f"a {type(client).__name__} still waits for its answer after 90 s")
        for edge in self.edges:
            self.idle(edge, "monodon_edge_http_requests_in_flight", "monodon_edge_queue_depth", "monodon_edge_body_spool_files",
                      "monodon_edge_upstream_requests_in_flight", "monodon_edge_connections")  # fmt: skip
        for worker in self.workers:
            self.idle(worker, "monodon_worker_requests_in_flight")
            try:
                settled = lambda worker=worker: worker.total("monodon_worker_processes") == worker.total("monodon_worker_processes_wanted")
                until(settled, f"{worker.name} has as many processes as are wanted")
            except TimeoutError as late:
                self.record.bad(str(late))
        for worker in self.workers:
            self.acts.harvest(worker)
        # It takes a while until one has grown.
        if self.arguments.seconds >= 120 and not self.acts.replaced["memory"]:
            self.record.bad(f"no process was replaced for its memory: {dict(self.acts.replaced)}")
        self.glance()
        for worker in self.workers:
            for pid in worker.processes():
                self.say(f"a process of {worker.name}: {resident(pid):.0f} MB, {descriptors(pid)} fds")

    def idle(self, server, *names):
        for name in names:
            try:
                until(lambda name=name: server.total(name) == 0, f"{name} of {server.name} is 0", 20)
            except TimeoutError as late:
                self.record.bad(f"{late}: it is {server.total(name)}")

    def end(self):
        """The second worker's supervisor is killed, the rest is stopped as one should."""
        first, second = self.workers
        second.kill([], supervisor=True)
        if left := second.leaves():
            self.record.bad(f"a killed supervisor leaves processes behind: {left}")
        for server in [*self.edges, first]:
            code = server.stop()
            if code != 0:
                self.record.bad(f"{server.name} stopped with {code}")

    def judge(self):
        """The number of losses beyond the contract, and of what is wrong."""
        kills = self.acts.kills
        beyond = Judge(self.record, kills, (self.folder / "ledger").read_text(), HANG).losses()
        for words in self.record.wrong:
            print(f"WRONG: {words}")
        print(f"\ndone: {dict(sorted(self.record.done.items()))}, together {sum(self.record.done.values())}")
        print(f"slowest: { {key: round(value, 2) for key, value in sorted(self.record.slowest.items())} }")
        print(f"did: {dict(self.acts.counts)}; in hand at kills: {sum(kill.in_hand for kill in kills)}; processes replaced: {dict(self.acts.replaced)}")
        print(f"name server: {f'SKIPPED: {self.dns.why_not}' if self.dns.why_not else dict(self.dns.asked)}")
        print(f"lost {len(self.record.losses)}, of them beyond the contract {beyond}; wrong {len(self.record.wrong)}")
        return beyond + len(self.record.wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--edge", default="monodon-edge")
    parser.add_argument("--worker", default="monodon-worker")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=10, help="ordinary clients, each about 12 requests a second")
    parser.add_argument("--every", type=float, default=1.5, help="mean seconds between two acts")
    parser.add_argument("--only", type=lambda words: words.split(","), help="acts: kill-process,kill-zygote,reload-worker,…")
    parser.add_argument("--option", action="append", default=[], help="one more flag for the workers, such as --option=--preload")
    parser.add_argument("--keep", action="store_true", help="keep the folder of logs, and say where it is")
    parser.add_argument("--verbose", action="store_true", help="say every act")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    soak = Soak(arguments, folder)
    try:
        soak.start()
        soak.run()
        soak.finish()
        soak.end()
        wrong = soak.judge()
    finally:
        for server in (*soak.workers, *soak.edges):
            if server.process and server.process.poll() is None:
                server.stop()
        if arguments.keep:
            print(f"logs: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

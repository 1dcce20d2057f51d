#!/usr/bin/env python3
"""Proves the contract on lost requests: two edges (plain, TLS) before two workers, under load, while processes are killed, recycled, reloaded.

The first worker has one thread a process, and the plain edge reaches it by its unix socket; the second has four threads a process. Some of the
clients of the TLS edge speak HTTP/2 (this needs the package h2).

    python3 bench/soak.py --seconds 600 --edge monodon-edge --worker monodon-worker

The contract: GET and HEAD are never lost; POST is not lost on reload, scaling, recycling, rollout, and at a `kill -9` at most what the killed
process had in hand: worked on or, with threads, waiting for one. Nothing is given to the application twice but for GET, HEAD and OPTIONS; no
client gets another's bytes; a request that hangs gets 504 once and harms nobody else. In the end everything is idle, and a killed supervisor leaves nothing behind.

It prints what it did and every loss with its cause as far as the ledger of the application tells, and ends with 1 on a loss beyond the
contract. `--seed` repeats the choice of what is done (not its timing), `--only WORD,…` restricts it, `--keep` keeps logs and ledger.
"""

import argparse
import collections
import dataclasses
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from soak_clients import Client, Hanger, Leaver, Record, Site, SlowReader, Uploader
from soak_http2 import Http2Client
from soak_house import Edge, Worker, descendants, descriptors, family, free_ports, resident, until

HANG = 3
# Between a kill and the last answer that it can have cost.
AFTERMATH = 2.0
OPTIONS = ["--timeout", f"{HANG}s", "--max-requests", "800", "--max-requests-jitter", "400", "--graceful-timeout", "20s"]
# A process has about 30 MB at first, and keeps 2 MB of each request of the kind "grow".
OPTIONS += ["--max-rss", "46MB", "--max-rss-jitter", "6MB"]
PROCESSES, THREADS = 4, 4


class Soak:
    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        self.random = random.Random(arguments.seed)
        self.record = Record()
        self.counts = collections.Counter()
        self.kills = []
        self.hangs = []
        self.replaced = collections.Counter()
        self.began = time.time()
        port, check, plain, tls, *admin = free_ports(6)
        options = OPTIONS + arguments.option
        self.first = Worker("first", folder, arguments.worker, "127.0.0.1", port, check, PROCESSES, options)
        self.second = Worker("second", folder, arguments.worker, "127.0.0.2", port, check, 2, [*options, "--threads", THREADS])
        self.edges = [
            Edge("plain", folder, arguments.edge, plain, False, admin[0], check),
            Edge("tls", folder, arguments.edge, tls, True, admin[1], check),
        ]
        self.plain, self.tls = plain, tls
        self.second_listed = False
        self.more = 0
        self.acts = {
            "kill-process": (6, self.kill_process),
            "kill-zygote": (2, self.kill_zygote),
            "reload-worker": (2, self.reload_worker),
            "reload-edge": (3, self.reload_edges),
            "scale": (3, self.scale),
            "hang": (3, self.hang),
            "second-listed": (2, self.list_second),
            "second-restarted": (2, self.restart_second),
        }

    def say(self, words):
        now = time.time()
        print(f"{now - self.began:7.1f} s  {words}", flush=True)

    def start(self):
        self.first.start()
        self.second.start()
        for edge in self.edges:
            edge.configure(self.upstreams(edge))
            edge.start()
        site = Site(self.plain, self.tls, self.edges[1].get("/ca.pem"))
        self.site = site
        seed = self.arguments.seed * 1000
        kinds = [(Client, self.arguments.clients, 12), (SlowReader, 3, 0.5), (Uploader, 2, 2), (Leaver, 2, 4)]
        kinds.append((Http2Client, max(1, self.arguments.clients // 3), 6))
        self.clients = [kind(site, self.record, seed + 100 * at + n, rate) for at, (kind, count, rate) in enumerate(kinds) for n in range(count)]
        for client in self.clients:
            client.start()

    # What is done meanwhile.

    def upstreams(self, edge):
        """What the edge is told: the plain one goes through the first worker's unix socket."""
        first = self.first.socket if edge is self.edges[0] else self.first.address
        return [first, self.second.address] if self.second_listed else [first]

    def kill_process(self):
        worker = self.second if self.second_listed and self.random.random() < 0.4 else self.first
        processes = sorted(worker.processes())
        if processes:
            pid = self.random.choice(processes)
            try:
                in_hand = worker.kill(pid)
            except ProcessLookupError:
                return
            self.kills.append(Kill(time.time(), worker, pid, in_hand))

    def reload_worker(self):
        worker = self.second if self.random.random() < 0.3 else self.first
        worker.signal(signal.SIGHUP)

    def kill_zygote(self):
        zygotes = self.first.zygotes()
        if zygotes:
            # Its children go on: nothing excuses a loss here.
            os.kill(self.random.choice(sorted(zygotes)), signal.SIGKILL)

    def reload_edges(self):
        for edge in self.edges:
            edge.configure(self.upstreams(edge))
            if self.random.random() < 0.5:
                edge.reload()
            else:
                edge.signal(signal.SIGHUP)

    def scale(self):
        up = self.more <= 0 or self.more < 2 and self.random.random() < 0.5
        self.more += 1 if up else -1
        self.first.signal(signal.SIGTTIN if up else signal.SIGTTOU)

    def hang(self):
        self.hangs.append(Hanger(self.site, self.record, self.random.getrandbits(64)))
        self.hangs[-1].start()

    def list_second(self):
        """Into the edges' list, or out of it."""
        self.second_listed = not self.second_listed
        self.reload_edges()

    def restart_second(self):
        code = self.second.stop()
        if code != 0:
            self.record.bad(f"the second worker stopped with {code}")
        self.second.start()

    def run(self):
        names = [name for name in self.acts if not self.arguments.only or name in self.arguments.only]
        weights = [self.acts[name][0] for name in names]
        end = self.began + self.arguments.seconds
        look = time.time() + 15
        while time.time() < end:
            time.sleep(self.random.uniform(0.5, 2 * self.arguments.every))
            [name] = self.random.choices(names, weights)
            self.counts[name] += 1
            self.acts[name][1]()
            if self.arguments.verbose:
                self.say(name)
            if time.time() > look:
                look = time.time() + 15
                self.glance()

    def glance(self):
        done = sum(self.record.done.values())
        edges = ", ".join(f"{edge.name} {resident(edge.pid):.0f} MB {descriptors(edge.pid)} fds" for edge in self.edges)
        workers = ", ".join(f"{w.name} {resident(w.pid):.0f} MB {descriptors(w.pid)} fds" for w in (self.first, self.second))
        self.say(f"{done} done, {len(self.record.losses)} lost, {len(self.record.wrong)} wrong; {edges}; {workers}")

    # Afterwards.

    def finish(self):
        for client in self.clients:
            client.over.set()
        for client in self.clients + self.hangs:
            client.join(90)
            if client.is_alive():
                self.record.bad(f"a {type(client).__name__} still waits for its answer after 90 s")
        for edge in self.edges:
            self.idle(edge, "monodon_edge_http_requests_in_flight", "monodon_edge_queue_depth", "monodon_edge_body_spool_files",
                      "monodon_edge_upstream_requests_in_flight", "monodon_edge_connections")  # fmt: skip
        for worker in (self.first, self.second):
            self.idle(worker, "monodon_worker_requests_in_flight")
            try:
                settled = lambda worker=worker: worker.total("monodon_worker_processes") == worker.total("monodon_worker_processes_wanted")
                until(settled, f"{worker.name} has as many processes as are wanted")
            except TimeoutError as late:
                self.record.bad(str(late))
        for worker in (self.first, self.second):
            for name, value in worker.figures().items():
                if name.startswith("monodon_worker_process_restarts_total") and value:
                    self.replaced[name.split('"')[1]] += int(value)
        # It takes a while until one has grown.
        if self.arguments.seconds >= 120 and not self.replaced["memory"]:
            self.record.bad(f"no process was replaced for its memory: {dict(self.replaced)}")
        self.glance()
        for worker in (self.first, self.second):
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
        those = descendants(self.second.pid)
        self.second.process.kill()
        self.second.process.wait()
        try:
            until(lambda: not [pid for pid in those if family().get(pid, (0, "Z"))[1] != "Z"], "all of it is gone", 15)
        except TimeoutError:
            left = [pid for pid in those if pid in family()]
            self.record.bad(f"a killed supervisor leaves processes behind: {left}")
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        for server in [*self.edges, self.first]:
            code = server.stop()
            if code != 0:
                self.record.bad(f"{server.name} stopped with {code}")

    def judge(self):
        """The ledger against the losses; the number of losses beyond the contract."""
        ledger = Ledger((self.folder / "ledger").read_text(), {kill.pid for kill in self.kills})
        self.record.wrong += ledger.wrong
        for kill in self.kills:
            kill.waiting = max(0, kill.in_hand - ledger.unfinished[kill.pid])
        beyond = 0
        for loss in sorted(self.record.losses, key=lambda loss: loss.at):
            near = [kill for kill in self.kills if -0.5 <= loss.at - kill.at <= AFTERMATH + HANG]
            pids = ledger.begun.get(loss.token, [])
            excuse = self.excuse(loss, near, pids, ledger)
            beyond += not excuse
            told = f"begun by {pids}, {'ended' if loss.token in ledger.ended else 'not ended'}" if pids else "never begun"
            kills = "; ".join(f"{kill} {loss.at - kill.at:.3f} s before" for kill in near)
            print(f"lost, {excuse or 'BEYOND the contract'}: {loss}; {told}; {kills or 'no kill near'}")
        for words in self.record.wrong:
            print(f"WRONG: {words}")
        print(f"\ndone: {dict(sorted(self.record.done.items()))}")
        print(f"slowest: { {key: round(value, 2) for key, value in sorted(self.record.slowest.items())} }")
        print(f"did: {dict(self.counts)}; in hand at kills: {sum(kill.in_hand for kill in self.kills)}; processes replaced: {dict(self.replaced)}")
        print(f"lost {len(self.record.losses)}, of them beyond the contract {beyond}; wrong {len(self.record.wrong)}")
        return beyond + len(self.record.wrong)

    def excuse(self, loss, near, pids, ledger):
        """Why the contract lets a request be lost, or None."""
        if loss.method == "POST" and any(kill.pid in pids for kill in near):
            return "a POST that the killed process was working on"
        if loss.method == "POST" and not pids:
            # The process had read it, and no thread had taken it yet: as many as it had in hand beyond those.
            for kill in near:
                if kill.worker is self.second and kill.waiting and 0 <= loss.at - kill.at < AFTERMATH:
                    kill.waiting -= 1
                    return "a POST that waited for a thread of the killed process"
        during = [kill for kill in near if loss.began <= kill.at <= loss.at]
        if loss.method in ("GET", "HEAD") and len(during) >= 2 and loss.at - during[-1].at < 0.5:
            return "a second kill in a row (nothing is sent a third time: it may be what kills)"
        # The edge holds back no more than 64 KiB of an answer.
        if loss.cut and loss.kind == "big" and pids and pids[-1] in ledger.slain | ledger.hung:
            return "the rest of an answer that the client had begun to read, of a process that was killed"
        return None


@dataclasses.dataclass
class Kill:
    at: float
    worker: Worker
    pid: int
    # Requests that it had, by its own count, when it was stopped for the kill; of them, those that no thread had taken yet.
    in_hand: int
    waiting: int = 0

    def __str__(self):
        return f"process {self.pid} of {self.worker.name} killed with {self.in_hand} in hand"


class Ledger:
    """What the application has written down: token → the processes that began it, and how many each process had not ended."""

    def __init__(self, text, slain):
        self.begun, self.ended = collections.defaultdict(list), set()
        self.unfinished = collections.Counter()
        # Processes that were killed from outside, and those that are for having a request that hangs.
        self.slain, self.hung = slain, set()
        self.wrong = []
        for line in text.splitlines():
            what, kind, token, pid = line.split()
            pid = int(pid)
            if what == "end":
                self.ended.add(token)
                self.unfinished[pid] -= 1
                continue
            self.unfinished[pid] += 1
            if kind == "hang":
                self.hung.add(pid)
            before = self.begun[token]
            # Sent again is what may be sent again, once, and what hangs only if its process was killed from outside.
            again = kind != "echo" and len(before) == 1 and (kind != "hang" or before[0] in slain)
            if before and not again:
                self.wrong.append(f"{kind} {token} was given to the application again, by {pid} after {before}")
            before.append(pid)


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
        for server in (soak.first, soak.second, *soak.edges):
            if server.process and server.process.poll() is None:
                server.stop()
        if arguments.keep:
            print(f"logs: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

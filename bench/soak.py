#!/usr/bin/env python3
"""Proves the contract on lost requests: two edges (plain, TLS) before two workers, under load, while processes are killed, recycled, reloaded.

    python3 bench/soak.py --seconds 600 --edge monodon-edge --worker monodon-worker

The contract: GET and HEAD are never lost; POST is not lost on reload, scaling, recycling, rollout, and at a `kill -9` at most what the killed
process was working on. Nothing is given to the application twice but for GET, HEAD and OPTIONS; no client gets another's bytes; a request that
hangs gets 504 once and harms nobody else. In the end everything is idle, and a killed supervisor leaves nothing behind.

It prints what it did and every loss with its cause as far as the ledger of the application tells, and ends with 1 on a loss beyond the
contract. `--seed` repeats the choice of what is done (not its timing), `--only WORD,…` restricts it, `--keep` keeps logs and ledger.
"""

import argparse
import collections
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from soak_clients import Client, Hanger, Leaver, Record, Site, SlowReader, Uploader
from soak_house import Edge, Worker, descendants, descriptors, family, free_ports, resident, until

HANG = 3
# Between a kill and the last answer that it can have cost.
AFTERMATH = 2.0
OPTIONS = ["--timeout", f"{HANG}s", "--max-requests", "400", "--max-requests-jitter", "200", "--graceful-timeout", "20s"]
PROCESSES = 4


class Soak:
    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        self.random = random.Random(arguments.seed)
        self.record = Record()
        self.counts = collections.Counter()
        self.kills = []
        self.hangs = []
        self.began = time.time()
        port, check, plain, tls, *admin = free_ports(6)
        self.first = Worker("first", folder, arguments.worker, "127.0.0.1", port, check, PROCESSES, OPTIONS + arguments.option)
        self.second = Worker("second", folder, arguments.worker, "127.0.0.2", port, check, 2, OPTIONS + arguments.option)
        self.edges = [
            Edge("plain", folder, arguments.edge, plain, False, admin[0], check),
            Edge("tls", folder, arguments.edge, tls, True, admin[1], check),
        ]
        self.plain, self.tls = plain, tls
        self.upstreams = [self.first.address]
        self.more = 0
        self.acts = {
            "kill-process": (6, self.kill_process),
            "kill-zygote": (2, self.kill_zygote),
            "reload-worker": (2, lambda: self.first.signal(signal.SIGHUP)),
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
            edge.configure(self.upstreams)
            edge.start()
        site = Site(self.plain, self.tls, self.edges[1].get("/ca.pem"))
        self.site = site
        seed = self.arguments.seed * 1000
        kinds = [(Client, self.arguments.clients, 12), (SlowReader, 3, 0.5), (Uploader, 2, 2), (Leaver, 2, 4)]
        self.clients = [kind(site, self.record, seed + 100 * at + n, rate) for at, (kind, count, rate) in enumerate(kinds) for n in range(count)]
        for client in self.clients:
            client.start()

    # What is done meanwhile.

    def killed(self, what, pids):
        self.kills.append((time.time(), what, set(pids)))

    def kill_process(self):
        worker = self.second if self.second.address in self.upstreams and self.random.random() < 0.3 else self.first
        processes = sorted(worker.processes())
        if processes:
            pid = self.random.choice(processes)
            self.killed("process", [pid])
            os.kill(pid, signal.SIGKILL)

    def kill_zygote(self):
        zygotes = self.first.zygotes()
        if zygotes:
            # Its children go on: nothing excuses a loss here.
            os.kill(self.random.choice(sorted(zygotes)), signal.SIGKILL)

    def reload_edges(self):
        for edge in self.edges:
            edge.configure(self.upstreams)
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
        known = self.second.address in self.upstreams
        self.upstreams = [self.first.address] if known else [self.first.address, self.second.address]
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
        begun, ended = collections.defaultdict(list), set()
        slain = {pid for _, _, pids in self.kills for pid in pids}
        for line in (self.folder / "ledger").read_text().splitlines():
            what, kind, token, pid = line.split()
            if what == "end":
                ended.add(token)
                continue
            # A GET whose process was killed from outside is sent again, also one that hangs.
            again = kind == "hang" and len(begun[token]) == 1 and begun[token][0] in slain
            if begun[token] and not again:
                self.record.bad(f"{kind} {token} was given to the application again, by {pid} after {begun[token]}")
            begun[token].append(int(pid))
        beyond = 0
        for loss in self.record.losses:
            near = [kill for kill in self.kills if -0.5 <= loss.at - kill[0] <= AFTERMATH + HANG]
            pids = begun.get(loss.token, [])
            excuse = self.excuse(loss, near, pids)
            beyond += not excuse
            told = f"begun by {pids}, {'ended' if loss.token in ended else 'not ended'}" if pids else "never begun, or not noted"
            kills = "; ".join(f"{what} {sorted(those)} killed {loss.at - at:.3f} s before" for at, what, those in near)
            print(f"lost, {excuse or 'BEYOND the contract'}: {loss}; {told}; {kills or 'no kill near'}")
        for words in self.record.wrong:
            print(f"WRONG: {words}")
        print(f"\ndone: {dict(sorted(self.record.done.items()))}")
        print(f"slowest: { {key: round(value, 2) for key, value in sorted(self.record.slowest.items())} }")
        print(f"did: {dict(self.counts)}; lost {len(self.record.losses)}, of them beyond the contract {beyond}; wrong {len(self.record.wrong)}")
        return beyond + len(self.record.wrong)

    def excuse(self, loss, near, pids):
        """Why the contract lets a request be lost, or None."""
        if loss.method == "POST" and any(pid in kill[2] for kill in near for pid in pids):
            return "a POST that the killed process was working on"
        if loss.method == "POST" and "--threads" in self.arguments.option and any(loss.at - kill[0] < 0.1 for kill in near):
            return "a POST that waited for a thread of the killed process"
        during = [kill for kill in near if loss.began <= kill[0] <= loss.at]
        if loss.method in ("GET", "HEAD") and len(during) >= 2 and loss.at - during[-1][0] < 0.5:
            return "a second kill in a row (nothing is sent a third time: it may be what kills)"
        return None


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

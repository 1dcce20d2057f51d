"""What bench/soak.py does to the servers while they are under load. Whatever it does, one worker at least is up and known to both edges."""

import collections
import os
import signal
import time

from soak_clients import Hanger
from soak_dns import FAULTS, NAME
from soak_house import until
from soak_judge import Kill

# Nobody listens here: what a name still says of a machine that is gone.
STALE = "127.0.0.99"
# Between a change in the DNS and the edge's knowing it; it asks every second.
NOTICE = 10
# What began at an upstream that a reload has taken out of the configuration keeps its list: it is over by then, also where it hangs.
LAST_REQUESTS = 6
ROUTED = ("echo", "page", "fast", "big")


class Acts:
    def __init__(self, random, record, workers, edges, dns):
        self.random, self.record, self.workers, self.edges, self.dns = random, record, workers, edges, dns
        self.site = None
        self.counts = collections.Counter()
        self.replaced = collections.Counter()
        self.kills, self.hangs = [], []
        self.listed = [workers[0]]
        self.down = None
        self.more = 0
        # The edges that have the workers by their name; the others have the addresses that are listed.
        self.by_name = set()
        self.fault_ends = None
        self.all = {
            "kill-process": (6, self.kill_process),
            "kill-zygote": (2, self.kill_zygote),
            "kill-upstream": (2, self.kill_upstream),
            "reload-worker": (2, self.reload_worker),
            "reload-edge": (3, self.reload_edges),
            "scale": (3, self.scale),
            "hang": (3, self.hang),
            "list": (2, self.list_others),
            "restart-upstream": (2, self.restart_upstream),
        }
        if not dns.why_not:
            self.all["dns-change"] = (4, self.change_dns)
            self.all["dns-fault"] = (2, self.break_dns)
            dns.addresses = [worker.host for worker in workers]

    def do(self, name):
        if self.fault_ends and time.time() > self.fault_ends:
            self.mend_dns()
        self.counts[name] += 1
        self.all[name][1]()

    # Workers.

    def kill_process(self):
        worker = self.workers[self.random.random() < 0.4]
        processes = sorted(worker.processes())
        if processes:
            self.note(worker, worker.kill([self.random.choice(processes)]), False)

    def note(self, worker, had, whole):
        now = time.time()
        self.kills += [Kill(now, worker, pid, in_hand, whole) for pid, in_hand in had.items()]

    def kill_zygote(self):
        zygotes = self.workers[0].zygotes()
        if zygotes:
            # Its children go on: nothing excuses a loss here.
            os.kill(self.random.choice(sorted(zygotes)), signal.SIGKILL)

    def kill_upstream(self):
        """All of a worker at once, or its supervisor alone: then its processes finish what they have, and nothing excuses a loss."""
        worker = self.spare_one()
        whole = self.random.random() < 0.5
        self.counts[f"kill-upstream: {'all of it' if whole else 'its supervisor'}"] += 1
        self.note(worker, worker.kill(worker.processes() if whole else [], supervisor=True), whole)
        if left := worker.leaves():
            self.record.bad(f"a killed supervisor leaves processes behind: {left}")
        self.without(worker)

    def restart_upstream(self):
        worker = self.spare_one()
        if (code := worker.stop()) != 0:
            self.record.bad(f"{worker.name} stopped with {code}")
        self.without(worker)

    def spare_one(self):
        """A worker that the edges can do without."""
        worker, other = self.random.sample(self.workers, 2)
        uses = all(edge.uses(other) for edge in self.edges)
        # What an edge has and what it is about to be told are two things.
        if not uses or other not in self.listed or other.host not in self.dns.addresses:
            self.mend_dns()
            self.listed = list(self.workers)
            self.dns.addresses = [worker.host for worker in self.workers]
            if not uses:
                self.reload_edges()
        until(lambda: all(edge.uses(other) for edge in self.edges), f"the edges use {other.name}")
        alone = max(edge.left_alone(worker) for edge in self.edges)
        time.sleep(max(0, alone + LAST_REQUESTS - time.time()))
        self.harvest(worker)
        return worker

    def without(self, worker):
        """It stays away for a moment, in which other things go on, and comes back."""
        self.down = worker
        for _ in range(self.random.randrange(4)):
            time.sleep(self.random.uniform(0.2, 2))
            self.do(self.random.choice([name for name in ("reload-edge", "list", "hang", "dns-change", "dns-fault") if name in self.all]))
        worker.start()
        self.down = None
        if worker is self.workers[0]:
            self.more = 0

    def harvest(self, worker):
        """Its counters, before they are gone."""
        for name, value in worker.figures().items():
            if name.startswith("monodon_worker_process_restarts_total") and value:
                self.replaced[name.split('"')[1]] += int(value)

    def reload_worker(self):
        self.workers[self.random.random() < 0.3].signal(signal.SIGHUP)

    def scale(self):
        up = self.more <= 0 or self.more < 2 and self.random.random() < 0.5
        self.more += 1 if up else -1
        self.workers[0].signal(signal.SIGTTIN if up else signal.SIGTTOU)

    def hang(self):
        self.hangs.append(Hanger(self.site, self.record, self.random.getrandbits(64)))
        self.hangs[-1].start()

    # Edges.

    def configure(self, edge):
        """A new file for it: where the workers are, and which paths have routes and upstreams of their own."""
        # A name that it has never asked for would be of no use while no answer comes.
        if not self.dns.why_not and not self.dns.fault:
            (self.by_name.add if self.random.random() < 0.6 else self.by_name.discard)(edge)
        if edge in self.by_name:
            servers = [f"{NAME}:{self.workers[0].port}"]
        else:
            # The plain one goes through the first worker's unix socket.
            servers = [w.socket if w is self.workers[0] and edge is self.edges[0] else w.address for w in self.listed]
        edge.configure(servers, self.random.sample(ROUTED, self.random.randrange(len(ROUTED) + 1)))

    def reload_edges(self):
        for edge in self.edges:
            self.configure(edge)
            if self.random.random() < 0.5:
                edge.reload()
            else:
                edge.signal(signal.SIGHUP)
            until(lambda edge=edge: edge.number_in_force() == edge.number, f"{edge.name} has its new configuration")

    def some_workers(self):
        """Not none, and not only the one that is away."""
        some = self.random.sample(self.workers, self.random.randint(1, len(self.workers)))
        return some if some != [self.down] else [worker for worker in self.workers if worker is not self.down]

    def list_others(self):
        self.listed = self.some_workers()
        self.reload_edges()

    # The DNS.

    def change_dns(self):
        addresses = [worker.host for worker in self.some_workers()]
        if self.random.random() < 0.25:
            addresses.append(STALE)
        self.dns.addresses = addresses
        if not self.dns.fault and self.random.random() < 0.5:
            self.follows(addresses, "a change in the DNS")

    def follows(self, addresses, what):
        expected = {f"{host}:{self.workers[0].port}" for host in addresses}
        for edge in self.by_name:
            try:
                until(lambda edge=edge: edge.knows() == expected, f"{edge.name} follows {what} to {addresses}", NOTICE)
            except TimeoutError as late:
                self.record.bad(f"{late}: it has {edge.knows()}")

    def break_dns(self):
        """For some seconds: what the edges know by then is to be kept."""
        if self.fault_ends:
            return
        self.follows(self.dns.addresses, "the DNS before a fault")
        self.kept = list(self.dns.addresses)
        self.dns.fault = self.random.choice(FAULTS)
        self.counts[f"dns-fault: {self.dns.fault}"] += 1
        self.fault_ends = time.time() + self.random.uniform(2, 10)

    def mend_dns(self):
        if self.fault_ends:
            self.follows(self.kept, f"what it knew before the DNS's fault ({self.dns.fault})")
        self.dns.fault = self.fault_ends = None

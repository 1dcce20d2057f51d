"""What bench/soak.py makes of the losses: the ledger of the application against what the clients have seen, and what the contract excuses."""

import collections
import dataclasses

from soak_house import Worker

# Between a kill and the last answer that it can have cost.
AFTERMATH = 2.0


@dataclasses.dataclass
class Kill:
    at: float
    worker: Worker
    pid: int
    # Requests that it had, by its own count, when it was stopped for the kill; of them, those that no thread had taken yet.
    in_hand: int
    # With all others of its worker.
    whole: bool = False
    waiting: int = 0

    def __str__(self):
        return f"process {self.pid} of {self.worker.name} killed{' with all others' if self.whole else ''} with {self.in_hand} in hand"


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


class Judge:
    def __init__(self, record, kills, ledger_text, hang):
        self.record, self.kills, self.hang = record, kills, hang
        self.ledger = Ledger(ledger_text, {kill.pid for kill in kills})
        record.wrong += self.ledger.wrong
        for kill in kills:
            kill.waiting = max(0, kill.in_hand - self.ledger.unfinished[kill.pid])

    def losses(self):
        """Prints each; returns how many are beyond the contract."""
        beyond = 0
        ledger = self.ledger
        for loss in sorted(self.record.losses, key=lambda loss: loss.at):
            near = [kill for kill in self.kills if -0.5 <= loss.at - kill.at <= AFTERMATH + self.hang]
            pids = ledger.begun.get(loss.token, [])
            excuse = self.excuse(loss, near, pids)
            beyond += not excuse
            told = f"begun by {pids}, {'ended' if loss.token in ledger.ended else 'not ended'}" if pids else "never begun"
            kills = "; ".join(f"{kill} {loss.at - kill.at:.3f} s before" for kill in near)
            print(f"lost, {excuse or 'BEYOND the contract'}: {loss}; {told}; {kills or 'no kill near'}")
        return beyond

    def excuse(self, loss, near, pids):
        """Why the contract lets a request be lost, or None."""
        if loss.method == "POST" and any(kill.pid in pids for kill in near):
            return "a POST that the killed process was working on"
        if loss.method == "POST" and not pids:
            # The process had read it, and no thread had taken it yet: as many as it had in hand beyond those.
            for kill in near:
                if kill.worker.threads > 1 and kill.waiting and 0 <= loss.at - kill.at < AFTERMATH:
                    kill.waiting -= 1
                    return "a POST that waited for a thread of the killed process"
        # All processes of a worker are one kill.
        during = sorted({kill.at for kill in near if loss.began <= kill.at <= loss.at})
        if loss.method in ("GET", "HEAD") and len(during) >= 2 and loss.at - during[-1] < 0.5:
            return "a second kill in a row (nothing is sent a third time: it may be what kills)"
        # The edge holds back no more than 64 KiB of an answer.
        if loss.cut and loss.kind == "big" and pids and pids[-1] in self.ledger.slain | self.ledger.hung:
            return "the rest of an answer that the client had begun to read, of a process that was killed"
        return None

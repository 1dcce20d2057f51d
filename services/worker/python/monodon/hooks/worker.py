"""What hooks get as `worker`: made before the fork, and the same object in the new process."""

import json
import os
import sys


class Worker:
    def __init__(self, age: int, sockets: list, app, cfg, log):
        self.age = age
        self.pid = "[booting]"
        self.ppid = os.getpid()
        self.sockets = sockets
        self.app = app
        self.cfg = cfg
        self.log = log
        # As gunicorn: how often it gives a sign of life, not how long a request may take.
        self.timeout = cfg.timeout / 2
        self.booted = False
        self.aborted = False
        self.max_requests = cfg.max_requests or sys.maxsize
        self.wsgi = None
        self._alive = True
        # A signal that a hook hears is being acted on.
        self.interrupted = False
        # Its entry in the scoreboard, once it is a process of its own.
        self._slot = None
        self._nr = None
        self._own = frozenset((*vars(self), "_own"))

    def __str__(self) -> str:
        return f"<Worker {self.pid}>"

    def notes(self) -> dict | None:
        """What hooks have set on it, if it can be told to another process (the zygote that comes after a reload)."""
        notes = {name: value for name, value in vars(self).items() if name not in self._own}
        try:
            text = json.dumps(notes)
        except (TypeError, ValueError):
            return None
        return notes if len(text) < 4096 and json.loads(text) == notes else None

    def bind(self, slot) -> None:
        """In the new process."""
        self._slot = slot

    @property
    def nr(self) -> int:
        """Requests so far; in `post_request` with the one in hand."""
        if self._nr is not None:
            return self._nr
        return self._slot.served() if self._slot is not None else 0

    @nr.setter
    def nr(self, value: int) -> None:
        self._nr = value

    @property
    def alive(self) -> bool:
        return self._alive

    @alive.setter
    def alive(self, alive: bool) -> None:
        """False has the process replaced when it has finished what it is working on."""
        self._alive = alive
        if not alive and self._slot is not None:
            self._slot.retire()

    def notify(self) -> None:
        """The worker gives its signs of life by itself."""

"""What hooks get as `server`: gunicorn's arbiter, as far as hooks use it.

Its state is that of the zygote. What it asks for (another number of workers, a reload, an end) is done by the
supervisor, whose process id is `server.pid`.
"""

import os
import signal
import socket
import sys


class Listener:
    """One of `server.LISTENERS`: a socket that says its address as gunicorn writes it."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self._sock = None

    @property
    def sock(self) -> socket.socket:
        # A copy, made when a hook asks for it: whoever holds one holds the port.
        if self._sock is None:
            self._sock = socket.socket(fileno=os.dup(self._descriptor))
        return self._sock

    def __getattr__(self, name: str):
        return getattr(self.sock, name)

    def __str__(self) -> str:
        name = self.sock.getsockname()
        if self.sock.family == socket.AF_UNIX:
            return f"unix:{name}"
        host = f"[{name[0]}]" if self.sock.family == socket.AF_INET6 else name[0]
        return f"http://{host}:{name[1]}"

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None


class Application:
    """What hooks know as `server.app` and `worker.app`."""

    def __init__(self, cfg, name: str, load):
        self.cfg = cfg
        self.app_uri = name
        self.callable = None
        self._load = load

    def load(self):
        return self._load()

    def wsgi(self):
        """The application, imported when it is asked for the first time."""
        if self.callable is None:
            self.callable = self._load()
        return self.callable


class Arbiter:
    def __init__(self, cfg, log, app, hooks, supervisor: int, listeners: list, ask):
        self.cfg = cfg
        self.log = log
        self.app = app
        self.pid = supervisor
        self.WORKERS: dict = {}
        self.LISTENERS = [Listener(descriptor) for descriptor in listeners]
        self.address = cfg.address
        self.timeout = cfg.timeout
        self.proc_name = cfg.proc_name
        self.worker_age = 0
        self.master_name = "Master"
        self.master_pid = 0
        self.reexec_pid = 0
        self.START_CTX = {"args": list(sys.orig_argv), "cwd": os.getcwd(), 0: sys.executable}
        self._num_workers = None
        self._hooks = hooks
        self._ask = ask

    @property
    def num_workers(self):
        return self._num_workers

    @num_workers.setter
    def num_workers(self, wanted: int):
        # The supervisor decides, and says so: `nworkers_changed` is called then.
        self._ask(scale=int(wanted))

    def changed(self, wanted: int, before) -> None:
        """The supervisor wants so many from now on."""
        self._num_workers = wanted
        self._hooks.call("nworkers_changed", self, wanted, before)

    def close(self) -> None:
        """No copy of a listening socket stays."""
        for listener in self.LISTENERS:
            listener.close()
        self.LISTENERS = []

    def kill_worker(self, pid: int, number: int) -> None:
        if pid in self.WORKERS:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def kill_workers(self, number: int) -> None:
        for pid in list(self.WORKERS):
            self.kill_worker(pid, number)

    def reload(self) -> None:
        os.kill(self.pid, signal.SIGHUP)

    def stop(self, graceful: bool = True) -> None:
        os.kill(self.pid, signal.SIGTERM if graceful else signal.SIGQUIT)

    def halt(self, reason=None, exit_status: int = 0) -> None:
        self.stop()

    def wakeup(self) -> None:
        """The supervisor needs none."""

    def manage_workers(self) -> None:
        """The supervisor does that by itself."""

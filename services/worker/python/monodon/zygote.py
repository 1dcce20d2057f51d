"""The zygote: the process that forks workers, told by the supervisor over a socket.

It has no thread and no runtime, for only such a process may fork Python. With `--preload` it imports the application
first, so that all workers share its memory; without it each worker imports for itself. gunicorn's arbiter hooks run
here, for it is the only parent that runs Python. Each message is one packet of JSON. Whatever happens to it, the
supervisor notices: the socket closes, and the workers that lose their parent are adopted by the supervisor.
"""

import atexit
import faulthandler
import gc
import json
import os
import select
import signal
import socket
import sys
import warnings

from monodon import _monodon, app_metrics, gunicorn_conf, hooks, importer, interpreter, logs, process, title
from monodon.hooks.cfg import Config
from monodon.hooks.logger import Logger
from monodon.hooks.server import Application, Arbiter
from monodon.hooks.worker import Worker

# A packet has to fit into the socket's buffer; no traceback worth reading is longer.
LONGEST = 32_000
# What hooks and applications send to gunicorn's master, by `os.kill(os.getppid(), …)`: the supervisor acts on it.
FORWARDED = [
    getattr(signal, "SIG" + name) for name in ("HUP", "INT", "QUIT", "TERM", "TTIN", "TTOU", "USR1", "USR2", "WINCH")
]


class Zygote:
    def __init__(self, channel: socket.socket, setup: dict):
        self.channel = channel
        self.setup = setup
        self.entries: dict[int, int] = {}
        self.threads: list[str] = []
        self.files = None
        if setup["config"]["develop"]["reload"]:
            from monodon import develop

            self.files = develop.Files(self.tell)

    def tell(self, **message) -> None:
        self.channel.send(json.dumps(message).encode())

    def configure_logging(self) -> bool:
        try:
            logs.configure(self.setup["config"])
        except Exception as error:
            self.tell(failed=f"logging cannot be configured: {error}"[-LONGEST:], hook=None)
            return False
        return True

    def load(self):
        """The application; with `--reload` the traceback, as an application, when it cannot be imported."""
        try:
            return importer.load_as(self.setup["config"])
        except BaseException as error:
            if self.files is None:
                raise
            from monodon import develop

            text = importer.explain(error)[-LONGEST:]
            self.files.look(error)
            self.tell(broken=text)
            return develop.page(text)

    def serve(self) -> int:
        if not self.prepare():
            return 3
        if self.setup["config"]["preload_app"]:
            # What is there now stays for good: no collection need visit it, so the pages stay shared after a fork.
            gc.collect()
            gc.freeze()
        if folder := app_metrics.elsewhere():
            self.tell(app_metrics=folder)
        self.tell(up=True, threads=self.threads, hooks=list(self.hooks), python=interpreter.describe())
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.wakeup = (reader, writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self.channel, select.POLLIN)
        poll.register(reader, select.POLLIN)
        while True:
            self.reap()
            for ready, _ in poll.poll():
                if ready == reader:
                    try:
                        os.read(reader, 4096)
                    except BlockingIOError:
                        pass
                elif not self.obey():
                    return 0

    def prepare(self) -> bool:
        """All that comes before the first fork, in gunicorn's order."""
        config = self.setup["config"]
        for number in FORWARDED:
            signal.signal(number, lambda number, _: self.tell(signal=number))
        try:
            location = config["gunicorn_conf"]
            self.hooks = hooks.Hooks(gunicorn_conf.load(location) if location else {}, location)
            cfg = Config(config, self.hooks)
            app = Application(cfg, config["app"], self.load)
            log = Logger()
            setup = self.setup
            self.server = Arbiter(cfg, log, app, self.hooks, setup["supervisor"], setup["listeners"], self.tell)
            self.server.changed(setup["workers"], setup["workers_before"])
            if config["preload_app"]:
                app.wsgi()
                self.threads = _threads()
            self.hooks.call("on_starting", self.server)
            if setup["reload"]:
                self.hooks.call("on_reload", self.server)
            if setup["first"]:
                self.hooks.call("when_ready", self.server)
            if self.files is not None:
                self.files.look()
        except BaseException as error:
            if self.files is not None:
                self.files.look(error)
            self.tell(failed=hooks.explain(error)[-LONGEST:], hook=hooks.blame(error))
            return False
        return True

    def obey(self) -> bool:
        """False when it is time to go."""
        # A pipe for the new process's stacks comes with an order to fork.
        packet, pipes, _, _ = socket.recv_fds(self.channel, 65536, 1, socket.MSG_CMSG_CLOEXEC)
        if not packet:
            # The supervisor is gone; the workers notice by themselves.
            return False
        message = json.loads(packet)
        log = self.server.log
        if "fork" in message:
            if not pipes:
                self.tell(fork_failed=message["fork"], error="no descriptor is left for its pipe", hook=None)
                return True
            self.fork(message["fork"], message["generation"], message["age"], pipes[0])
            os.close(pipes[0])
        elif "workers" in message:
            with hooks.logged(log):
                self.server.changed(message["workers"], self.server.num_workers)
        elif "adopt" in message:
            for found in message["adopt"]:
                # One whose attributes are not all known is left out: hooks look at those of all workers.
                if found["notes"] is not None:
                    self.server.WORKERS.setdefault(found["pid"], self.adopted(found))
        elif "take_over" in message:
            # The zygote before this one is gone, with all that it held.
            with hooks.logged(log):
                self.hooks.call("when_ready", self.server)
            self.tell(took_over=True)
        elif "reaped" in message:
            found = message["reaped"]
            self.server.WORKERS.setdefault(found["pid"], self.adopted(found))
            self.gone(found["pid"])
        elif "pre_exec" in message:
            done = False
            with hooks.logged(log):
                self.hooks.call("pre_exec", self.server)
                done = True
            self.tell(pre_executed=done)
        elif "close" in message:
            self.close()
        elif "end" in message:
            if not message["end"]:
                self.vanish()
            self.reap()
            with hooks.logged(log):
                self.hooks.call("on_exit", self.server)
            return False
        elif "reopen" in message:
            logs.reopen()
        return True

    def worker(self, age: int) -> Worker:
        server = self.server
        return Worker(age, server.LISTENERS, server.app, server.cfg, server.log)

    def adopted(self, found: dict) -> Worker:
        """A worker that another zygote has forked."""
        worker = self.worker(found["age"])
        worker.pid = found["pid"]
        vars(worker).update(found["notes"] or {})
        return worker

    def fork(self, entry: int, generation: int, age: int, stacks: int) -> None:
        self.server.worker_age = age
        worker = self.worker(age)
        try:
            self.hooks.call("pre_fork", self.server, worker)
        except hooks.Failed as error:
            self.tell(fork_failed=entry, error=hooks.explain(error)[-LONGEST:], hook=hooks.blame(error))
            return
        # What stands in the buffers would be written twice.
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            with warnings.catch_warnings():
                # Threads that an import has started are told by ourselves; those of hooks are the user's own wish.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
        except OSError as error:
            self.tell(fork_failed=entry, error=str(error), hook=None)
            return
        if pid == 0:
            code = 1
            try:
                write_stacks(self.setup["stacks_signal"], stacks)
                code = process.work(self, entry, generation, worker)
            except BaseException as error:
                code = 1
                sys.stderr.write(importer.explain(error) + "\n")
            finally:
                try:
                    sys.stdout.flush()
                    sys.stderr.flush()
                finally:
                    os._exit(code)
        self.entries[pid] = entry
        worker.pid = pid
        self.server.WORKERS[pid] = worker

    def reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            entry = self.entries.pop(pid, None)
            if entry is not None:
                self.tell(exited=pid, entry=entry, status=status, peak_kb=usage.ru_maxrss)
                self.gone(pid)

    def gone(self, pid: int) -> None:
        worker = self.server.WORKERS.pop(pid)
        with hooks.logged(self.server.log):
            self.hooks.call("child_exit", self.server, worker)

    def close(self) -> None:
        """Nobody connects any more."""
        self.server.close()
        for descriptor in self.setup["listeners"]:
            os.close(descriptor)
        self.setup["listeners"] = []

    def vanish(self) -> None:
        """Another zygote has taken over: its workers are the supervisor's, and no thread of a hook's may hold it."""
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def write_stacks(number: int, pipe: int) -> None:
    """The Python stacks of all threads go to the supervisor's pipe when it sends the signal, or anyone SIGUSR2; whatever
    the process is doing, for faulthandler needs no lock."""
    for signal_number in (number, signal.SIGUSR2):
        faulthandler.register(signal_number, file=pipe, all_threads=True)


def _threads() -> list[str]:
    """Threads that an import has started; they are not in a forked process."""
    import threading

    known = {thread.native_id: thread.name for thread in threading.enumerate()}
    names = []
    for task in os.listdir("/proc/self/task"):
        if int(task) == os.getpid():
            continue
        name = known.get(int(task))
        if name is None:
            try:
                with open(f"/proc/self/task/{task}/comm") as file:
                    name = file.read().strip() + " (not started by Python)"
            except OSError:
                continue
        names.append(name)
    return sorted(names)


def main() -> int:
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    setup = json.loads(channel.recv(1 << 20))
    if not _monodon.die_with(setup["supervisor"]):
        return 1
    # Of its own group, so that Ctrl-C on a terminal reaches the supervisor alone, which tells everyone what to do.
    os.setpgid(0, 0)
    for descriptor in [*setup["listeners"], *setup["handover"], setup["scoreboard"], setup["alive"], setup["stacks"]]:
        os.set_inheritable(descriptor, False)
    sys.argv = setup["argv"]
    title.set(setup, "zygote")
    # SIGSEGV and abort() leave Python's stack on stderr.
    faulthandler.enable()
    write_stacks(setup["stacks_signal"], setup["stacks"])
    # What the application prints is seen when it prints it.
    sys.stdout.reconfigure(line_buffering=True)
    if names := setup["app_metrics"]:
        app_metrics.install(names["zygote"], names["folder"])
    importer.prepare_path(setup["config"]["pythonpath"], setup["config"]["folder"])
    zygote = Zygote(channel, setup)
    try:
        if not zygote.configure_logging():
            return 3
        return zygote.serve()
    except BrokenPipeError:
        return 0


if __name__ == "__main__":
    sys.exit(main())

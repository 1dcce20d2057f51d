"""The zygote: the process that forks workers, told by the supervisor over a socket.

It has no thread and no runtime, for only such a process may fork Python. With `--preload` it imports the application
first, so that all workers share its memory; without it each worker imports for itself. Each message is one packet of
JSON. Whatever happens to it, the supervisor notices: the socket closes, and the workers that lose their parent are
adopted by the supervisor.
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

from monodon import _monodon, app_metrics, importer

# A packet has to fit into the socket's buffer; no traceback worth reading is longer.
LONGEST = 32_000


class Zygote:
    def __init__(self, channel: socket.socket, setup: dict):
        self.channel = channel
        self.setup = setup
        self.entries: dict[int, int] = {}
        self.application = None
        self.leaving = False

    def tell(self, **message) -> None:
        self.channel.send(json.dumps(message).encode())

    def preload(self) -> bool:
        try:
            self.application = importer.load(self.setup["config"]["app"])
        except BaseException as error:
            self.tell(failed=importer.explain(error)[-LONGEST:])
            return False
        return True

    def serve(self) -> int:
        if self.setup["config"]["preload_app"]:
            if not self.preload():
                return 3
            # What is there now stays for good: no collection need visit it, so the pages stay shared after a fork.
            gc.collect()
            gc.freeze()
        self.tell(up=True, threads=_threads())
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.wakeup = (reader, writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self.channel, select.POLLIN)
        poll.register(reader, select.POLLIN)
        while True:
            self.reap()
            if self.leaving and not self.entries:
                return 0
            for ready, _ in poll.poll():
                if ready == reader:
                    try:
                        os.read(reader, 4096)
                    except BlockingIOError:
                        pass
                elif not self.obey():
                    return 0

    def obey(self) -> bool:
        # A pipe for the new process's stacks comes with an order to fork.
        packet, pipes, _, _ = socket.recv_fds(self.channel, 65536, 1, socket.MSG_CMSG_CLOEXEC)
        if not packet:
            # The supervisor is gone; the workers notice by themselves.
            return False
        message = json.loads(packet)
        if "fork" in message:
            if not pipes:
                self.tell(fork_failed=message["fork"], error="no descriptor is left for its pipe")
                return True
            self.fork(message["fork"], message["generation"], pipes[0])
            os.close(pipes[0])
        elif "leave" in message:
            self.leaving = True
            for descriptor in self.setup["listeners"]:
                os.close(descriptor)
            self.setup["listeners"] = []
        return True

    def fork(self, entry: int, generation: int, stacks: int) -> None:
        # What stands in the buffers would be written twice.
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            pid = os.fork()
        except OSError as error:
            self.tell(fork_failed=entry, error=str(error))
            return
        if pid == 0:
            code = 1
            try:
                write_stacks(self.setup["stacks_signal"], stacks)
                code = self.work(entry, generation)
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

    def work(self, entry: int, generation: int) -> int:
        """In the new process."""
        _monodon.follow(self.setup["supervisor"], self.setup["graceful_seconds"])
        if names := self.setup["app_metrics"]:
            app_metrics.identify(f"w{entry}{names['tag']}")
        self.tell(forked=entry, pid=os.getpid())
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor in self.wakeup:
            os.close(descriptor)
        _monodon.begin(self.setup["scoreboard"], entry, generation)
        application = self.application
        if application is None:
            try:
                application = importer.load(self.setup["config"]["app"])
            except BaseException as error:
                self.tell(boot_failed=entry, pid=os.getpid(), traceback=importer.explain(error)[-LONGEST:])
                return 3
        self.channel.close()
        code = _monodon.serve(json.dumps(self.setup), entry, application)
        # What the application has registered to run at its end.
        atexit._run_exitfuncs()
        return code

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
    # SIGSEGV and abort() leave Python's stack on stderr.
    faulthandler.enable()
    write_stacks(setup["stacks_signal"], setup["stacks"])
    # What the application prints is seen when it prints it.
    sys.stdout.reconfigure(line_buffering=True)
    if names := setup["app_metrics"]:
        app_metrics.install(names["zygote"])
    importer.prepare_path(setup["config"]["pythonpath"], setup["config"]["folder"])
    try:
        return Zygote(channel, setup).serve()
    except BrokenPipeError:
        return 0


if __name__ == "__main__":
    sys.exit(main())

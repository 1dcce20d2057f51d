"""The servers of bench/soak.py: starts them in a folder of their own, reads their figures, looks at their processes in /proc."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent


def until(condition, what, patience=30):
    """Waits until `condition()` is true, and returns it."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {patience} s")
        time.sleep(0.05)
    return found


def free_ports(count):
    socks = [socket.socket() for _ in range(count)]
    for sock in socks:
        sock.bind(("0.0.0.0", 0))
    ports = [sock.getsockname()[1] for sock in socks]
    for sock in socks:
        sock.close()
    return ports


def family():
    """All processes: pid → (parent, state)."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                state, parent = Path(f"/proc/{name}/stat").read_text().rsplit(")", 1)[1].split()[:2]
            except OSError:
                continue
            found[int(name)] = (int(parent), state)
    return found


def children(pid):
    return [child for child, (parent, state) in family().items() if parent == pid and state != "Z"]


def descendants(pid):
    every = family()
    found, level = [], [pid]
    while level:
        level = [child for child, (parent, state) in every.items() if parent in level and state != "Z"]
        found += level
    return found


def leads(pid):
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid):
    """MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Server:
    def __init__(self, name, folder, command, admin, environment=None):
        self.name, self.folder, self.command, self.admin = name, folder, [str(word) for word in command], admin
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("MONODON_")}
        self.environment |= {"TMPDIR": str(folder)} | (environment or {})
        self.process = None

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        with open(self.folder / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        until(self.ready, f"{self.name} is ready")
        return self

    def ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}: see {self.folder}/{self.name}.log")
        return self.get("/readyz") is not None

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=5) as response:
                return response.read().decode()
        except OSError:
            return None

    def figures(self):
        """`/metrics`: name with labels → value."""
        text = self.get("/metrics") or ""
        pairs = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def total(self, name, *parts):
        """The sum of a family's samples whose labels hold each of `parts`."""
        samples = self.figures().items()
        return sum(value for key, value in samples if key.split("{")[0] == name and all(part in key for part in parts))

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, patience=45):
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "killed: did not stop"


class Worker(Server):
    def __init__(self, name, folder, binary, host, port, admin_port, processes, options):
        ledger = {"SOAK_LEDGER": str(folder / "ledger")}
        self.address, self.socket, self.control = f"{host}:{port}", f"unix:{folder}/{name}-app.sock", folder / f"{name}.sock"
        command = [binary, "soaked:application", "--chdir", HERE / "apps", "--admin", f"{host}:{admin_port}"]
        command += ["--bind", self.address, "--bind", self.socket, "--control", self.control, "--workers", processes]
        command += ["--accesslog", folder / f"{name}-access.log", *options]
        super().__init__(name, folder, command, f"{host}:{admin_port}", ledger)

    def zygotes(self):
        """Each leads the group of its children."""
        return [pid for pid in children(self.pid) if leads(pid)]

    def processes(self):
        """Also those that the supervisor has adopted from a zygote that is gone."""
        return [pid for pid in descendants(self.pid) if not leads(pid)]


    def kill(self, pid):
        """Kills a process of its own. Returns how many requests it had in hand: it is stopped first, so that the figure is exact."""
        os.kill(pid, signal.SIGSTOP)
        until(lambda: family().get(pid, (0, "T"))[1] in "TZ", "it has stopped", 5)
        try:
            with socket.socket(socket.AF_UNIX) as control:
                control.settimeout(5)
                control.connect(str(self.control))
                control.sendall(b"status\n")
                with control.makefile() as answer:
                    rows = json.load(answer)["processes"]
        finally:
            os.kill(pid, signal.SIGKILL)
        return next((row["in_flight"] for row in rows if row["pid"] == pid), 0)


class Edge(Server):
    def __init__(self, name, folder, binary, port, tls, admin_port, check_port):
        self.file, self.state = folder / f"{name}.toml", folder / f"{name}-state"
        self.check_port, self.binary = check_port, binary
        self.listen = f'{"https" if tls else "http"} = ["127.0.0.1:{port}"]'
        super().__init__(name, folder, [binary, "run", "--config", self.file], f"127.0.0.1:{admin_port}")

    def configure(self, upstreams):
        words = ", ".join(f'"{address}"' for address in upstreams)
        new = self.file.with_suffix(".new")
        new.write_text(
            f'{self.listen}\nupstream = [{words}]\nupstream_check = ":{self.check_port}/readyz"\nadmin = "{self.admin}"\n'
            f'state = "{self.state}"\nspool = "{self.state}/spool"\naccess_log = "{self.folder}/{self.name}-access.log"\nthreads = "2"\n'
        )
        new.rename(self.file)

    def reload(self):
        done = subprocess.run(
            [self.binary, "reload", "--config", self.file], env=self.environment, capture_output=True, text=True, timeout=30
        )
        if done.returncode:
            raise RuntimeError(f"reload of {self.name}: {done.stdout}{done.stderr}")

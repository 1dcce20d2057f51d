"""The servers of bench/soak.py: starts them in a folder of their own, reads their figures, looks at their processes in /proc."""

import json
import os
import re
import signal
import socket
import ssl
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


def sent(pid, number):
    """False when it is gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


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
    def __init__(self, name, folder, binary, host, port, admin_port, processes, threads, options):
        self.host, self.port, self.threads = host, port, threads
        options = [*options, "--threads", threads] if threads > 1 else options
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

    def in_flight(self):
        """Requests in hand by its own count: pid → how many."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(5)
            control.connect(str(self.control))
            control.sendall(b"status\n")
            with control.makefile() as answer:
                return {row["pid"]: row["in_flight"] for row in json.load(answer)["processes"]}

    def kill(self, pids, supervisor=False):
        """Kills these processes of its own, and before them the supervisor, if that is meant. Returns how many requests each had in hand: they are
        stopped first, so that the figures are exact."""
        self.those = descendants(self.pid)
        stopped = [pid for pid in pids if sent(pid, signal.SIGSTOP)]
        try:
            until(lambda: all(family().get(pid, (0, "T"))[1] in "TZ" for pid in stopped), "they have stopped", 5)
            had = self.in_flight()
        finally:
            if supervisor:
                self.process.kill()
                self.process.wait()
            for pid in stopped:
                sent(pid, signal.SIGKILL)
        return {pid: had.get(pid, 0) for pid in stopped}

    def leaves(self):
        """What a killed supervisor leaves behind: waits until all is gone, and ends what is not."""
        left = lambda: [pid for pid in self.those if family().get(pid, (0, "Z"))[1] != "Z"]
        try:
            until(lambda: not left(), "all of it is gone", 25)
        except TimeoutError:
            return [pid for pid in left() if sent(pid, signal.SIGKILL)]
        return []


class Edge(Server):
    def __init__(self, name, folder, binary, port, tls, admin_port, check_port, wrap):
        self.file, self.state = folder / f"{name}.toml", folder / f"{name}-state"
        self.check_port, self.binary, self.port = check_port, binary, port
        self.scheme = "https" if tls else "http"
        self.listen = f'{self.scheme} = ["127.0.0.1:{port}"]'
        # Each configuration has a number, which a route of its own tells.
        self.number = 0
        # Upstreams: name → servers; and those that are in the file no more: (servers, since when).
        self.upstreams, self.former = {}, []
        super().__init__(name, folder, wrap([binary, "run", "--config", self.file]), f"127.0.0.1:{admin_port}")

    def configure(self, servers, routed):
        """Writes its file. `servers` is where the application is, `routed` the paths that have a route and an upstream of their own."""
        self.number += 1
        now = {path: servers for path in routed}
        self.former += [(had, time.time()) for path, had in self.upstreams.items() if path not in now]
        self.upstreams = now
        words, check = json.dumps(servers), f":{self.check_port}/readyz"
        text = (
            f'{self.listen}\nupstream = {words}\nupstream_check = "{check}"\nadmin = "{self.admin}"\n'
            f'state = "{self.state}"\nspool = "{self.state}/spool"\naccess_log = "{self.folder}/{self.name}-access.log"\nthreads = "2"\n'
        )
        for path in routed:
            text += f'[upstreams.{path}]\nservers = {words}\ncheck = "{check}"\n'
        text += f'[[site]]\nhosts = ["localhost"]\ndefault = true\n[[site.route]]\nexact = "/configuration"\nrespond = "{self.number}"\nstatus = 200\n'
        for path in routed:
            text += f'[[site.route]]\npath = "/{path}/"\nupstream = "{path}"\n'
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.rename(self.file)

    def left_alone(self, worker):
        """When the last upstream left the configuration that had no other address than this worker's; 0: none has."""
        return max((when for servers, when in self.former if set(servers) <= {worker.address, worker.socket}), default=0)

    def reload(self):
        done = subprocess.run(
            [self.binary, "reload", "--config", self.file], env=self.environment, capture_output=True, text=True, timeout=30
        )
        if done.returncode:
            raise RuntimeError(f"reload of {self.name}: {done.stdout}{done.stderr}")

    def number_in_force(self):
        trusted = ssl.create_default_context(cadata=self.get("/ca.pem")) if self.scheme == "https" else None
        request = urllib.request.Request(f"{self.scheme}://localhost:{self.port}/configuration", headers={"Host": "localhost"})
        with urllib.request.urlopen(request, timeout=30, context=trusted) as response:
            return int(response.read())

    def up(self):
        """The addresses that each upstream of the configuration has for ready: upstream → addresses."""
        found = {}
        for key, value in self.figures().items():
            if key.startswith("monodon_edge_upstream_up{"):
                labels = dict(re.findall(r'(\w+)="([^"]*)"', key))
                found.setdefault(labels["upstream"], set()).update({labels["address"]} if value else ())
        return found

    def uses(self, worker):
        """Whether that worker is among what each upstream has for ready."""
        found = self.up()
        return bool(found) and all({worker.address, worker.socket} & addresses for addresses in found.values())

    def knows(self):
        """All addresses that it has, ready or not."""
        keys = (key for key in self.figures() if key.startswith("monodon_edge_upstream_state{"))
        return {re.search(r'address="([^"]*)"', key)[1] for key in keys}

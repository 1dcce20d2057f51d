"""Starts real workers on free ports with an application given as source, and tears them down."""

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.parse

import pytest

PATIENCE = 20.0

HELLO = """
import os

def application(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode() + b" " + body]
"""


def until(condition, what="the condition", patience=PATIENCE):
    """Waits until `condition()` is true, and returns it."""
    deadline = time.monotonic() + patience
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true in {patience} s")
        time.sleep(0.02)


class Worker:
    """A `monodon-worker` under test. `log` holds the JSON lines of stdout, `out` the other lines, `err()` all of stderr.

    `prefix` is a command that executes the rest; other keywords go to `Popen`."""

    def __init__(
        self, folder: pathlib.Path, source: str, *flags: str, app="app:application", env=None, files=None,
        prefix=(), bind=True, python=(), **popen,
    ):
        self.folder = folder
        self.write(source)
        for name, text in (files or {}).items():
            self.write(text, name)
        self.control = str(folder / "control.sock")
        self.log: list[dict] = []
        self.out: list[str] = []
        self._err = open(folder / "stderr", "w+")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("MONODON_", "WEB_CONC", "GUNICORN_"))}
        environment |= {"TMPDIR": str(folder)} | (env or {})
        defaults = ["--bind", "127.0.0.1:0"] if bind else []
        defaults += ["--admin", "127.0.0.1:0", "--control", self.control]
        if "--workers" not in flags and "WEB_CONCURRENCY" not in environment:
            defaults += ["--workers", "2"]
        self.process = subprocess.Popen(
            [*prefix, sys.executable, *python, "-m", "monodon", *([app] if app else []), *defaults, *flags],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=self._err,
            **popen,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def write(self, source: str, name="app.py"):
        # A new time stamp of at least a second: else Python may take the compiled file for current.
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        cached = self.folder / "__pycache__"
        for file in cached.glob(f"{path.stem}.*") if cached.exists() else ():
            file.unlink()

    def _read(self):
        for line in self.process.stdout:
            text = line.decode(errors="replace").rstrip("\n")
            try:
                record = json.loads(text)
                self.log.append(record if isinstance(record, dict) else {"text": text})
            except ValueError:
                self.out.append(text)

    def err(self) -> str:
        return (self.folder / "stderr").read_text()

    def told(self) -> str:
        """What was said anywhere: on stderr and, with exceptions, in the log."""
        lines = [f"{line.get('message', '')}\n{line.get('exception', '')}" for line in list(self.log)]
        return self.err() + "\n".join(lines)

    def hears(self, part: str) -> dict:
        """The first line of the log that has `part` in its message, once it is there."""
        return until(lambda: self.said(part), f"{part!r} in the log")[0]

    def said(self, part: str) -> list[dict]:
        return [line for line in list(self.log) if part in line.get("message", "")]

    @property
    def started(self) -> dict:
        def line():
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.err()}\n{self.log}"
            return self.said("serving ")

        return until(line, "the start")[0]

    @property
    def address(self) -> tuple[str, int]:
        url = urllib.parse.urlsplit(self.started["listen"].split(", ")[0])
        return url.hostname, url.port

    @property
    def port(self) -> int:
        return self.address[1]

    @property
    def admin(self) -> tuple[str, int]:
        host, _, port = self.started["admin"].rpartition(":")
        return host, int(port)

    def ready(self) -> "Worker":
        """Waits until as many processes serve as are wanted."""

        def check():
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.err()}"
            status, body = self.ask("/readyz")
            return status == 200 and json.loads(body)["status"] == "pass"

        until(check, "readiness")
        return self

    def ask(self, path: str) -> tuple[int, str]:
        """Asks the admin port."""
        connection = http.client.HTTPConnection(*self.admin, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def request(self, method="GET", path="/", body=None, headers=None, timeout=PATIENCE):
        """One request on a connection of its own: (status, headers, body)."""
        connection = http.client.HTTPConnection(*self.address, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def tell(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(PATIENCE)
            control.connect(self.control)
            control.sendall(command.encode() + b"\n")
            with control.makefile() as answer:
                return answer.read().strip()

    def status(self) -> dict:
        return json.loads(self.tell("status"))

    def pids(self) -> list[int]:
        return [row["pid"] for row in self.status()["processes"] if row["state"] in ("idle", "busy")]

    def zygote(self) -> int:
        return parent_of(self.pids()[0])

    def signal(self, number: int):
        self.process.send_signal(number)

    def wait(self, patience=PATIENCE) -> int:
        code = self.process.wait(patience)
        self._reader.join(5)
        return code

    def metric(self, start: str) -> float:
        """The value of the first sample that begins so; 0 when there is none."""
        lines = self.ask("/metrics")[1].splitlines()
        return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(start)), 0.0)

    def close(self):
        if self.process.poll() is None:
            self.signal(signal.SIGQUIT)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(5)
        self.process.stdout.close()
        self._err.close()


def parent_of(pid: int) -> int:
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def alive(pid: int) -> bool:
    """Lives, and is no zombie that waits to be reaped."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Load:
    """Clients that keep their connections and send one request after another; every answer is checked."""

    def __init__(self, worker: Worker, methods=("GET", "POST"), clients=4):
        self.address = worker.address
        self.answered = 0
        self.failed: list[str] = []
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(methods[number % len(methods)],), daemon=True)
            for number in range(clients)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def more(self, count=50):
        """Waits for `count` more answers."""
        before = self.answered
        until(lambda: self.answered >= before + count or self.failed, "the load")

    def _run(self, method):
        connection = None
        number = 0
        while not self._end.is_set():
            number += 1
            body = f"{method} {number}".encode() * 10
            try:
                if connection is None:
                    connection = socket.create_connection(self.address, timeout=PATIENCE)
                length = b"Content-Length: %d\r\n" % len(body) if method == "POST" else b""
                head = method.encode() + b" / HTTP/1.1\r\nHost: test\r\n" + length + b"\r\n"
                connection.sendall(head + (body if method == "POST" else b""))
                status, close, answer = _answer(connection)
                if status != 200 or (method == "POST" and not answer.endswith(body)):
                    raise ValueError(f"status {status}: {answer[:200]!r}")
                with self._lock:
                    self.answered += 1
                if close:
                    connection.close()
                    connection = None
            except (OSError, ValueError) as error:
                with self._lock:
                    self.failed.append(f"{method} {number}: {error!r}")
                connection = None
        if connection is not None:
            connection.close()


def _answer(connection: socket.socket) -> tuple[int, bool, bytes]:
    """Status, whether the connection closes, body. Only answers with a length, which is what the test applications give."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            raise ValueError(f"closed after {data!r}")
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    fields = {name.strip().lower(): value.strip() for name, _, value in (f.partition(b":") for f in head.split(b"\r\n")[1:])}
    length = int(fields[b"content-length"])
    while len(body) < length:
        part = connection.recv(65536)
        if not part:
            raise ValueError("closed in mid-body")
        body += part
    return int(head.split()[1]), fields.get(b"connection", b"").lower() == b"close", body


@pytest.fixture
def start(tmp_path):
    """start(source, *flags, app=…, env=…, files={name: text}) -> Worker that has been started, not yet waited for."""
    yield from _starting(tmp_path)


@pytest.fixture(scope="module")
def shared_start(tmp_path_factory):
    """The same for a whole file of tests, that one server may serve many of them."""
    yield from _starting(tmp_path_factory.mktemp("shared"))


def _starting(tmp_path):
    running = []

    def begin(source=HELLO, *flags, **options):
        folder = tmp_path / f"app{len(running)}"
        folder.mkdir()
        running.append(Worker(folder, source, *flags, **options))
        return running[-1]

    yield begin
    for one in running:
        one.close()
        # pytest shows it when the test has failed.
        print(*one.log, *one.out, one.err(), sep="\n")


@pytest.fixture
def worker(start):
    """The same, and ready."""
    return lambda *arguments, **options: start(*arguments, **options).ready()

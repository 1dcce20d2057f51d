"""The clients of bench/soak.py. Each is a thread with connections of its own; what they see goes into a `Record`."""

import hashlib
import http.client
import random
import socket
import ssl
import threading
import time
import uuid
from dataclasses import dataclass

from apps.soaked import SIZES, content

# More than the edge's queue_timeout and the worker's timeout together, so that it is always they who speak first.
PATIENCE = 60


@dataclass
class Loss:
    began: float
    at: float
    method: str
    kind: str
    token: str
    what: str
    request_id: str
    fresh: bool
    # The head of the answer was there.
    cut: bool = False

    def __str__(self):
        kept = "a new" if self.fresh else "a kept"
        when = time.strftime("%H:%M:%S", time.localtime(self.at)) + f".{int(self.at % 1 * 1000):03}"
        return f"{when} {self.method} /{self.kind}/{self.token} on {kept} connection: {self.what} (request id {self.request_id or 'unknown'})"


class Record:
    """What all clients have seen."""

    def __init__(self):
        self.lock = threading.Lock()
        self.done: dict[str, int] = {}
        self.losses: list[Loss] = []
        # What no kill excuses: somebody else's bytes, a request id given twice.
        self.wrong: list[str] = []
        self.ids: set[str] = set()
        self.slowest: dict[str, float] = {}

    def good(self, label, seconds):
        with self.lock:
            self.done[label] = self.done.get(label, 0) + 1
            self.slowest[label] = max(self.slowest.get(label, 0), seconds)

    def lost(self, *args):
        with self.lock:
            self.losses.append(Loss(*args))

    def bad(self, words):
        with self.lock:
            self.wrong.append(words)

    def identified(self, request_id):
        with self.lock:
            if request_id in self.ids:
                self.wrong.append(f"request id {request_id} was given twice")
            self.ids.add(request_id)


class Site:
    """Where the edge is, and how to connect to it."""

    def __init__(self, http_port, https_port, ca):
        self.http, self.https = http_port, https_port
        self.tls = ssl.create_default_context(cadata=ca)
        self.tls_http2 = ssl.create_default_context(cadata=ca)
        self.tls_http2.set_alpn_protocols(["h2"])

    def http2_connection(self):
        raw = socket.create_connection(("127.0.0.1", self.https), PATIENCE)
        try:
            sock = self.tls_http2.wrap_socket(raw, server_hostname="localhost")
        except OSError:
            raw.close()
            raise
        if sock.selected_alpn_protocol() != "h2":
            raise RuntimeError("the edge does not speak HTTP/2")
        return sock

    def connection(self, tls, buffer=None):
        raw = socket.socket()
        if buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.settimeout(PATIENCE)
        try:
            raw.connect(("127.0.0.1", self.https if tls else self.http))
            sock = self.tls.wrap_socket(raw, server_hostname="localhost") if tls else raw
        except OSError:
            raw.close()
            raise
        connection = http.client.HTTPConnection("localhost", timeout=PATIENCE)
        connection.sock = sock
        # A connection that ends must be seen, not opened anew behind our back.
        connection.auto_open = False
        return connection


class Client(threading.Thread):
    """Kept-alive connections; one request after the other, with short pauses, every answer compared byte by byte."""

    def __init__(self, site, record, seed, rate):
        super().__init__(daemon=True)
        self.site, self.record, self.rate = site, record, rate
        self.random = random.Random(seed)
        self.over = threading.Event()
        self.connection = None
        self.served = 0

    def run(self):
        while not self.over.is_set():
            self.turn()
            self.over.wait(self.random.expovariate(self.rate))
        self.drop()

    def turn(self):
        draw = self.random.random()
        if draw < 0.50:
            self.ask("HEAD" if draw < 0.05 else "GET", "fast")
        elif draw < 0.68:
            self.ask("GET", "page")
        elif draw < 0.93:
            self.ask("POST", "echo", self.random.randbytes(self.random.choice((10, 1000, 30_000))))
        elif draw < 0.97:
            self.ask("GET", "big")
        elif draw < 0.98:
            self.ask("GET", "grow")
        else:
            self.ask("GET", "slow")

    def drop(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def ask(self, method, kind, body=None, expected_status=200, buffer=None, pace=None):
        token = uuid.UUID(int=self.random.getrandbits(128)).hex
        fresh = self.connection is None or self.random.random() < 0.02
        request_id, began, status = "", time.time(), None

        def lost(what):
            self.drop()
            self.record.lost(began, time.time(), method, kind, token, what, request_id, fresh, status == expected_status)

        try:
            if fresh:
                self.drop()
                self.connection = self.site.connection(self.random.random() < 0.5, buffer)
            self.connection.request(method, f"/{kind}/{token}", body=body)
            response = self.connection.getresponse()
            request_id, status = response.getheader("X-Request-Id", ""), response.status
            data = response.read() if pace is None else self.read_slowly(response, pace)
            leaves = response.will_close
        except (OSError, http.client.HTTPException) as error:
            return lost(f"{type(error).__name__}: {error} after {time.time() - began:.3f} s")
        if not request_id:
            self.record.bad(f"an answer of status {response.status} to {method} /{kind}/{token} has no request id")
        else:
            self.record.identified(request_id)
        if response.status != expected_status:
            return lost(f"status {response.status} after {time.time() - began:.3f} s")
        if expected_status == 200:
            self.compare(method, kind, token, body, response, data, request_id)
        self.record.good(f"{method} /{kind}", time.time() - began)
        if leaves:
            self.drop()

    def compare(self, method, kind, token, body, response, data, request_id):
        if method == "HEAD":
            expected = b""
        elif kind == "echo":
            expected = hashlib.sha256(token.encode() + body).hexdigest().encode()
        else:
            expected = content(token, SIZES[kind])
        if response.getheader("X-Seen-Token") != token or data != expected:
            self.record.bad(f"{method} /{kind}/{token} got another answer's bytes (id {request_id}, {len(data)} bytes)")
        if response.getheader("X-Seen-Id") != request_id:
            self.record.bad(f"{method} /{kind}/{token}: the application saw another request id than {request_id}")
        if response.getheader("X-Monodon-Process"):
            self.record.bad("the header from the worker to the edge has come through")

    def read_slowly(self, response, pace):
        parts = []
        while part := response.read(65536):
            parts.append(part)
            self.over.wait(pace)
        return b"".join(parts)


class SlowReader(Client):
    """Takes its time over 2 MB, with a small socket buffer."""

    def turn(self):
        self.drop()
        self.ask("GET", "big", buffer=16384, pace=self.random.uniform(0.05, 0.3))
        self.drop()


class Uploader(Client):
    """Posts 1 MB."""

    def turn(self):
        self.ask("POST", "echo", self.random.randbytes(1 << 20))


class Leaver(Client):
    """Leaves at a moment of its choice: while it sends, while it waits, while it reads. It counts nothing: it must only do no harm."""

    def turn(self):
        kind = self.random.choice(("fast", "page", "slow", "big", "echo"))
        token = uuid.UUID(int=self.random.getrandbits(128)).hex
        head = f"{'POST' if kind == 'echo' else 'GET'} /{kind}/{token} HTTP/1.1\r\nHost: localhost\r\n"
        if kind == "echo":
            head += "Content-Length: 100000\r\n"
        text = (head + "\r\n").encode() + (b"x" * 100_000 if kind == "echo" else b"")
        try:
            sock = self.site.connection(self.random.random() < 0.5).sock
            with sock:
                sock.sendall(text[: self.random.choice((len(text), len(text) // 2, 20))])
                time.sleep(self.random.choice((0, 0.002, 0.05)))
                if self.random.random() < 0.3:
                    sock.recv(1000)
        except OSError as error:
            # It may leave, the edge may not: but for a connection it cannot have.
            if isinstance(error, ConnectionRefusedError):
                self.record.lost(0, time.time(), "-", kind, token, str(error), "", True)
            return
        self.record.good("left early", 0)


class Hanger(Client):
    """Sends, when told, one request that never ends: it must get 504."""

    def __init__(self, site, record, seed):
        super().__init__(site, record, seed, 1)

    def run(self):
        self.ask("GET", "hang", expected_status=504)
        self.drop()

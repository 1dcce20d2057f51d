"""What is measured: each case ours beside its peers, with the ratio that we hold ourselves to."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import measure
from measure import OPEN_LOOP, Server

HERE = Path(__file__).resolve().parent
EDGE = os.environ.get("MONODON_EDGE", "monodon-edge")
WORKER = os.environ.get("MONODON_WORKER", "monodon-worker")
PLAIN, TLS, DIRECT = "http://127.0.0.1:8080", "https://127.0.0.1:8443", "http://127.0.0.1:8000"


@dataclass
class Case:
    """One row: ours against each peer, and the ratio that we hold ourselves to (None: shown only), of CPU per request or of `figure`."""

    name: str
    ours: Server
    peers: list[tuple[Server, float | None]]
    connections: int = 32
    # The peers at half of whose top rate latency is compared.
    half_rate: tuple[str, ...] = ()
    figure: str = "cpu_us"
    # What sends: see `measure.closed_loop`.
    generator: str = "wrk"


@dataclass
class Figure:
    """One number of ours beside the same of a peer, smaller is better."""

    name: str
    unit: str
    take: Callable
    ours: Server
    peer: Server
    # None: told for comparison only.
    limit: float | None = None
    # How the peer's is taken, if otherwise.
    take_of_peer: Callable | None = None


@dataclass
class Mixed:
    """Latency of fast requests while some are slow: ours against the one peer."""

    name: str
    ours: list[Server]
    peer: Server
    limit: float


class Room:
    """The folder of a sitting: configuration, certificate, files to serve, logs."""

    def __init__(self, path):
        self.path = path
        self.log = open(path / "servers.log", "ab")
        (path / "www").mkdir()
        (path / "www" / "1k.css").write_bytes(b"x" * 1024)
        (path / "www" / "100k.css").write_bytes(b"x" * 102_400)
        (path / "10m.bin").write_bytes(os.urandom(10 << 20))
        os.link(path / "10m.bin", path / "www" / "10m.bin")
        for conf in (HERE / "peers").glob("*.conf"):
            shutil.copy(conf, path)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
             "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", path / "key.pem", "-out", path / "cert.pem"],
            check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def environment(self):
        """What the applications need."""
        return {"PYTHONPATH": str(HERE / "apps"), "BENCH_DB": f"{self.path}/bench.sqlite3", "BENCH_FILE": f"{self.path}/10m.bin"}

    def nginx(self, conf="nginx.conf"):
        return f"nginx -p {self.path} -c {self.path}/{conf}"

    def edge(self, upstream, threads=1, more=""):
        """Both listeners, with all that is on by default: access log (to a file), metrics, request ids, forwarded and security headers."""
        return (
            f"{EDGE} run --http 127.0.0.1:8080 --https 127.0.0.1:8443 --upstream {upstream} --static /static/={self.path}/www"
            f" --state {self.path}/state --spool {self.path} --threads {threads} --admin 127.0.0.1:9101"
            f" --access-log {self.path}/edge-access.log --connections-limit 40000 {more}"
        )

    def edge_plain(self, upstream):
        return self.edge(upstream).replace(" --https 127.0.0.1:8443", "")


def worker(application, workers, more=""):
    return f"{WORKER} {application} --bind 127.0.0.1:8000 --workers {workers} --admin 127.0.0.1:9102 --accesslog off {more}"


def granian(application, workers):
    return f"granian --interface wsgi --workers {workers} --blocking-threads 1 --host 127.0.0.1 --port 8000 --no-access-log {application}"


def gunicorn(application, workers, more=""):
    return f"gunicorn --bind 127.0.0.1:8000 --workers {workers} {more} {application}"


def bjoern(application):
    module, _, name = application.partition(":")
    return f"python3 -c 'import bjoern, {module}; bjoern.run({module}.{name}, \"127.0.0.1\", 8000)'"


def cases(room):
    fixed = room.nginx("fixed.conf")
    python = room.environment()

    def app(name, command, url, script=""):
        return Server(name, url, [command], python, script)

    def stack(name, front, command, path):
        return Server(name, TLS + path, [command, front], python)

    edge_fixed, edge_plain = room.edge("127.0.0.1:9001"), room.edge_plain("127.0.0.1:9001")
    for label, url, ours, limit, generator in (
        ("proxy, plain", PLAIN, edge_plain, 0.95, "wrk"),
        ("proxy, TLS 1.3, kept alive", TLS, edge_fixed, 0.85, "wrk"),
        ("proxy, HTTP/2 over TLS", TLS, edge_fixed, 0.85, "h2load"),
        ("full TLS handshakes, a request each", TLS, edge_fixed, 0.6, "handshakes new"),
        ("resumed TLS handshakes, a request each", TLS, edge_fixed, 0.9, "handshakes resumed"),
    ):
        yield Case(
            label,
            Server("monodon edge", url + "/fixed", [ours], behind=[fixed]),
            [(Server("nginx", url + "/fixed", [room.nginx()], behind=[fixed]), limit)],
            half_rate=("nginx",) if label == "proxy, TLS 1.3, kept alive" else (),
            generator=generator,
        )
    for size, scheme, url, limit in (
        ("1k", "plain", PLAIN, 1.0), ("1k", "TLS", TLS, 0.9), ("100k", "plain", PLAIN, None), ("100k", "TLS", TLS, 0.95),
        ("10m", "plain", PLAIN, None), ("10m", "TLS", TLS, 1.0),
    ):  # fmt: skip
        path = f"/static/{size}.bin" if size == "10m" else f"/static/{size}.css"
        large = 10 << 20 if size == "10m" else 0
        yield Case(
            f"static {size}B, {scheme}",
            Server("monodon edge", url + path, [edge_plain if url == PLAIN else edge_fixed], answer_bytes=large),
            [(Server("nginx", url + path, [room.nginx()], answer_bytes=large), limit)],
            connections=8 if size == "10m" else 32,
        )
    pages = (("raw WSGI", "raw:wsgi", "/", 0.55, 1.1), ("Django page", "djsite:wsgi", "/hello", 0.75, 1.05))
    for label, target, path, of_granian, of_bjoern in pages:
        yield Case(
            f"{label}, one process",
            app("monodon worker", worker(target, 1), DIRECT + path),
            [
                (app("granian", granian(target, 1), DIRECT + path), of_granian),
                (app("gunicorn sync", gunicorn(target, 1), DIRECT + path), None),
                (app("bjoern", bjoern(target), DIRECT + path), of_bjoern),
            ],
            half_rate=("granian", "gunicorn sync"),
        )
    script = str(HERE / "upload.lua")
    yield Case(
        "a 1 MB upload that the application reads, one process",
        app("monodon worker", worker("work:upload", 1), DIRECT + "/", script),
        [
            (app("granian", granian("work:upload", 1), DIRECT + "/", script), 0.8),
            (app("gunicorn sync", gunicorn("work:upload", 1), DIRECT + "/", script), None),
        ],
        connections=8,
    )
    yield Case(
        "a 10 MB file through wsgi.file_wrapper, one process",
        app("monodon worker", worker("work:file", 1), DIRECT + "/"),
        [(app("gunicorn sync", gunicorn("work:file", 1), DIRECT + "/"), 0.5)],
        connections=8,
    )
    yield Case(
        "4 threads, an application that sleeps 20 ms",
        app("monodon worker", worker("work:waits", 1, "--threads 4"), DIRECT + "/"),
        [(app("gunicorn gthread", gunicorn("work:waits", 1, "--threads 4"), DIRECT + "/"), 0.6)],
    )
    yield Case(
        "memory (MiB, PSS) of 4 Django processes with --preload",
        app("monodon worker", worker("djsite:wsgi", 4, "--preload"), DIRECT + "/hello"),
        [(app("gunicorn sync", gunicorn("djsite:wsgi", 4, "--preload"), DIRECT + "/hello"), 0.9)],
        figure="memory_mib",
    )
    for label, target, path, limits in (("raw WSGI", "raw:wsgi", "/", (None, None)), ("Django page", "djsite:wsgi", "/hello", (0.75, 0.4))):
        yield Case(
            f"whole stack over TLS, {label}, two processes",
            stack("monodon edge + worker", room.edge("127.0.0.1:8000"), worker(target, 2), path),
            [
                (stack("nginx + granian", room.nginx(), granian(target, 2), path), limits[0]),
                (stack("nginx + gunicorn", room.nginx(), gunicorn(target, 2), path), limits[1]),
            ],
            half_rate=("nginx + granian", "nginx + gunicorn") if label == "Django page" else (),
        )


def figures(room):
    fixed, nginx = room.nginx("fixed.conf"), room.nginx()

    def edge(name, url=TLS + "/fixed", **more):
        command = room.edge_plain("127.0.0.1:9001") if url.startswith("http:") else room.edge("127.0.0.1:9001", **more)
        return Server(name, url, [command], behind=[fixed])

    peer = Server("nginx", TLS + "/fixed", [nginx], behind=[fixed])
    yield Figure("10,000 idle kept-alive TLS connections", "KiB each", measure.idle_memory, edge("monodon edge"), peer, 0.8)
    yield Figure(
        "1,000 slow uploads of 1 MB beside 1,000 fast requests a second: p99 of the fast ones",
        "ms",
        lambda server, log, seconds: measure.beside_uploads(server, log, OPEN_LOOP, max(20, seconds * 3)),
        edge("monodon edge"),
        peer,
        1.0,
    )
    def over(count):
        # As many requests in either case: only where they come from differs.
        def spent(server, log, seconds):
            return measure.open_loop(server, log, OPEN_LOOP, 5000, count, max(6, seconds)).cpu_us

        return spent

    yield Figure(
        "10,000 connections beside 10, the same 5,000 requests a second",
        "us of CPU a request",
        over(10_000),
        edge("monodon edge, 10,000 connections", PLAIN + "/fixed"),
        edge("monodon edge, 10 connections", PLAIN + "/fixed"),
        1.3,
        over(10),
    )
    yield Figure(
        "two threads beside one",
        "us of CPU a request",
        lambda server, log, seconds: measure.closed_loop(server, log, 64, seconds).cpu_us,
        edge("monodon edge, two threads", threads=2),
        edge("monodon edge, one thread"),
        1.1,
    )
    # What the machine itself makes of it: load, proxy and the server behind have its cores together.
    (room.path / "nginx2.conf").write_text((room.path / "nginx.conf").read_text().replace("worker_processes 1;", "worker_processes 2;"))
    yield Figure(
        "the same of nginx: two processes beside one",
        "us of CPU a request",
        lambda server, log, seconds: measure.closed_loop(server, log, 64, seconds).cpu_us,
        Server("nginx, two processes", TLS + "/fixed", [room.nginx("nginx2.conf")], behind=[fixed]),
        peer,
    )


def mixed_cases(room):
    def stack(name, front, command):
        return Server(name, PLAIN + "/", [command, front], room.environment())

    peer = stack("nginx + gunicorn sync", room.nginx(), gunicorn("work:mixed", 4))
    yield Mixed(
        "4 processes",
        [
            stack("monodon edge + worker", room.edge_plain("127.0.0.1:8000"), worker("work:mixed", 4)),
            stack("nginx + monodon worker", room.nginx(), worker("work:mixed", 4)),
        ],
        peer,
        1.05,
    )
    def bulkhead(word, value):
        config = room.path / f"{word}.toml"
        config.write_text(f'[[site]]\n[[site.route]]\npath = "/slow"\nupstream = "default"\nmax_slots = {value}\n')
        edge = room.edge_plain("127.0.0.1:8000") + f" --config {config}"
        return stack(f"monodon edge + worker, max_slots = {word}", edge, worker("work:mixed", 4))

    yield Mixed("4 processes, the slow route held to 3 slots", [bulkhead("3", 3), bulkhead("auto", '"auto"')], peer, 0.2)

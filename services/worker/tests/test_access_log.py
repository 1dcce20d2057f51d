"""The access log against gunicorn's own, line for line, and where ours means to differ."""

import base64
import contextlib
import json
import re
import signal
import socket
import subprocess
import sys

import pytest
from conftest import PATIENCE, until
from raw import Client
from wsgi_server import Server

# The request's time, the process, and what the clock says: everything else must be the same.
ATOMS = {
    "h": r"\S+", "l": None, "u": None, "r": None, "s": None, "st": None, "m": None, "U": None, "q": None, "H": None,
    "b": None, "B": None, "f": None, "a": None, "nonsense": None,
    "t": r"\[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]",
    "T": r"0", "M": r"\d{1,3}", "D": r"\d{1,6}", "L": r"0\.\d{6}", "p": r"<\d+>",
    "{x-one}i": None, "{X-Two}i": None, "{x-none}i": None, "{host}i": None, "{x-empty}i": None,
    "{content-type}o": None, "{Content-Length}o": None, "{x-back}o": None, "{x-none}o": None,
    "{wsgi.url_scheme}e": None, "{WSGI.URL_SCHEME}e": None, "{request_method}e": None, "{wsgi.version}e": None,
    "{x.set.by.the.application}e": None, "{http_x_one}e": None, "{none}e": None, "{path_info}e": None,
}
# Each atom alone, then what `%` can do with it.
FORMAT = "\x1f".join(f"%({name})s" for name in ATOMS)
MASK = [re.compile(pattern) if pattern else None for pattern in ATOMS.values()]
SHAPES = '%(B)05d|%(m)6s|%(m)-6s|%(a).3s|100%%|%(s)8s|%(B)-6d|%(h)s %(l)s %(u)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'

SOURCE = """
def application(environ, start_response):
    body = environ["wsgi.input"].read()
    environ["x.set.by.the.application"] = "set"
    how = environ["QUERY_STRING"]
    if how == "fails":
        raise ValueError("on purpose")
    status = "204 No Content" if how == "empty" else "404 Not Found" if how == "missing" else "200 OK"
    headers = [("Content-Type", "text/plain"), ("X-Back", environ.get("HTTP_X_ONE", "none"))]
    answer = [] if how == "empty" else [b"1234567", body]
    if how == "length":
        headers.append(("Content-Length", str(7 + len(body))))
    start_response(status, headers)
    return iter(answer) if how == "parts" else answer
"""

BASIC = base64.b64encode(b"alice:secret").decode()
REQUESTS = [
    ("GET", "/", [], None),
    ("GET", "/?length", ["User-Agent: curl/8.5.0", "Referer: http://example.org/?a=b"], None),
    ("POST", "/echo?parts", ["X-One: 1"], b"a body"),
    ("GET", "/a%20b/c%2Fd?q=1&r=%20", ["X-One: first", "X-Two: a b  c"], None),
    ("GET", "/?missing", [f"Authorization: Basic {BASIC}"], None),
    ("GET", "/?missing", ["Authorization: Basic ====", "X-Empty:"], None),
    ("GET", "/?missing", ["Authorization: Bearer abc"], None),
    ("GET", "/?empty", ["X-One: a", "X-One: b"], None),
    ("GET", '/?quote"d', ['User-Agent: a "quoted" one', 'Referer: "'], None),
    ("DELETE", "/x//y/./z?", [], None),
    ("OPTIONS", "*", [], None),
    ("GET", "http://example.org/absolute?x", [], None),
    ("HEAD", "/?length", [], None),
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def gunicorn(folder, *flags):
    """A real gunicorn with one process; yields its address."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "logged:application", "--bind", f"127.0.0.1:{port}", "--threads", "2"]
    with open(folder / "gunicorn.err", "w") as errors:
        process = subprocess.Popen([*command, *flags], cwd=folder, stdout=errors, stderr=errors)
        try:

            def up():
                assert process.poll() is None, (folder / "gunicorn.err").read_text()
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    return True

            until(up, "gunicorn's start")
            yield "127.0.0.1", port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)


def ask_all(address):
    """On one connection, so that the lines come in this order although threads work on the requests."""
    with Client(address) as client:
        for method, target, headers, body in REQUESTS:
            client.get(target, *headers, method=method, body=body)


def lines_of(path, count):
    until(lambda: path.exists() and path.read_text("latin-1").count("\n") >= count, f"{count} lines in {path}")
    return path.read_text("latin-1").splitlines()


def masked(line):
    fields = line.split("\x1f")
    assert len(fields) == len(MASK), line
    for name, field, mask in zip(ATOMS, fields, MASK):
        assert mask is None or mask.fullmatch(field), (name, field)
    return ["*" if mask else field for field, mask in zip(fields, MASK)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("access")
    (folder / "logged.py").write_text(SOURCE)
    return folder


@pytest.fixture(scope="module")
def gunicorns(folder):
    """What gunicorn writes for all the requests: with every atom, with widths, and in its default format."""
    found = []
    for number, flags in enumerate((["--access-logformat", FORMAT], ["--access-logformat", SHAPES], [])):
        path = folder / f"gunicorn-{number}.log"
        with gunicorn(folder, "--access-logfile", str(path), *flags) as address:
            ask_all(address)
        found.append(lines_of(path, len(REQUESTS)))
    return found


class Logged(Server):
    """Our worker with the same application."""

    def __init__(self, folder, *flags):
        super().__init__(folder, *flags)

    def write(self, source, name="app.py"):
        super().write(SOURCE, name)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_every_atom_is_what_gunicorn_writes(gunicorns, tmp_path, threads):
    path = tmp_path / "access.log"
    flags = ["--access-logfile", str(path), "--access-logformat", FORMAT, "--threads", threads]
    with Logged(tmp_path, *flags) as server:
        ask_all(server.address)
        ours = lines_of(path, len(REQUESTS))
    for request, line, theirs in zip(REQUESTS, ours, gunicorns[0], strict=True):
        assert dict(zip(ATOMS, masked(line))) == dict(zip(ATOMS, masked(theirs))), request


def test_widths_and_the_default_format_are_gunicorns(gunicorns, tmp_path):
    for number, flags in enumerate((["--access-logformat", SHAPES], []), start=1):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "access.log"
        with Logged(folder, "--access-logfile", str(path), *flags) as server:
            ask_all(server.address)
            ours = lines_of(path, len(REQUESTS))
        times = re.compile(r" \[[^\]]+ [+-]\d{4}\] ")
        for request, line, theirs in zip(REQUESTS, ours, gunicorns[number], strict=True):
            assert times.sub(" ", line) == times.sub(" ", theirs), request


def test_a_request_cannot_forge_lines_fields_or_a_terminal(tmp_path):
    """gunicorn escapes quotes alone: there the first of these paths begins a new line."""
    path = tmp_path / "access.log"
    flags = ["--access-logfile", str(path), "--access-logformat", '"%(U)s" "%(a)s" "%({x-one}i)s" "%({path_info}e)s"']
    with Logged(tmp_path, *flags) as server:
        with Client(server.address) as client:
            client.get("/a%0a%22b%1b", "User-Agent: t\x9b\\\"", "X-One: \\")
        assert lines_of(path, 1) == [r'"/a\x0a\"b\x1b" "t\x9b\\\"" "\\" "/a\x0a\"b\x1b"']


def test_refused_requests_have_a_line_too(tmp_path):
    path = tmp_path / "access.log"
    with Logged(tmp_path, "--access-logfile", str(path), "--access-logformat", '%(h)s "%(r)s" %(s)s %(m)s %(a)s') as server:
        for sent in [
            b"\x16\x03\x01\r\n\r\n",
            b"GET /a HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n",
            b"POST /b HTTP/1.1\r\nHost: a\r\nUser-Agent: u\r\nContent-Length: 99999999999\r\n\r\n",
        ]:
            with Client(server.address) as client:
                client.send(sent)
                client.answer()
        assert lines_of(path, 3) == [
            '127.0.0.1 "-" 400 - -',
            '127.0.0.1 "GET /a HTTP/1.1" 400 GET -',
            '127.0.0.1 "POST /b HTTP/1.1" 413 POST u',
        ]


def test_the_format_follows_the_place_unless_it_is_said(tmp_path):
    """JSON goes to a container's stdout, gunicorn's lines go to files."""
    for number, (flags, json_wanted) in enumerate(
        [
            ([], False),
            (["--log-format", "json"], True),
            (["--access-log-format", "json"], True),
            (["--log-format", "json", "--access-log-format", "combined"], False),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "access.log"
        with Logged(folder, "--accesslog", str(path), *flags) as server:
            ask_all(server.address)
            first = lines_of(path, len(REQUESTS))[0]
            assert first.startswith("{") == json_wanted, first
            if json_wanted:
                assert json.loads(first)["status"] == 200


def test_usr1_opens_the_file_anew(tmp_path):
    path = tmp_path / "access.log"
    with Logged(tmp_path, "--access-logfile", str(path), "--access-logformat", "%(U)s") as server:
        with Client(server.address) as client:
            client.get("/before")
            assert lines_of(path, 1) == ["/before"]
            path.rename(tmp_path / "old.log")
            server.signal(signal.SIGUSR1)
            until(path.exists, "the new file")
            client.get("/after")
            assert lines_of(path, 1) == ["/after"]
            assert lines_of(tmp_path / "old.log", 1) == ["/before"]


def test_a_wrong_format_ends_the_start_with_what_to_write(tmp_path):
    server = Logged(tmp_path, "--access-logformat", "%h %(s)s")
    try:
        assert server.wait() == 2
        assert "--access-log" in server.err() and "`%h %(s)s` is no atom" in server.err()
    finally:
        server.close()

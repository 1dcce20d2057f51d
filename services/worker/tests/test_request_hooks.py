"""`pre_request` and `post_request`: what they see, and that they change nothing of what the client gets."""

import socket

import pytest
from conftest import until
from hook_server import RECORD, Hooked

CONF = RECORD + """
import time

def pre_request(worker, req):
    req.started = time.time()
    worker.last = req.path
    if req.path == "/refused":
        raise ValueError("not this one")
    note("pre_request", method=req.method, uri=req.uri, path=req.path, query=req.query, version=req.version,
         headers=req.headers, peer=req.remote_addr, scheme=req.scheme, nr=worker.nr, close=req.should_close())

def post_request(worker, req, environ, resp):
    note("post_request", path=req.path, known=req.started > 0, last=worker.last, nr=worker.nr,
         environ=environ.get("PATH_INFO"), resp=resp and dict(
            status=resp.status, code=resp.status_code, headers=resp.headers, sent=resp.sent, length=resp.response_length,
            headers_sent=resp.headers_sent, chunked=resp.chunked))
    if req.path == "/late":
        raise ValueError("too late")
"""

APP = """
import os

class Closing:
    def __init__(self, *parts):
        self.parts = iter(parts)
    def __iter__(self):
        return self.parts
    def close(self):
        with open("events", "a") as file:
            file.write('{"hook": "close"}\\n')

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/raises":
        raise KeyError("from the application")
    if path == "/echo":
        body = environ["wsgi.input"].read()
        start_response("201 Made", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
    if path == "/parts":
        start_response("200 OK", [("X-Name", "value")])
        return Closing(b"one ", b"two ", b"three")
    if path == "/file":
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](open("app.py", "rb"))
    if path == "/write":
        start_response("200 OK", [])(b"written ")
        return [b"returned"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""


@pytest.fixture(scope="module", params=["1", "3"], ids=["inline", "threads"])
def both(request, tmp_path_factory):
    """The same application with hooks, and without."""
    flags = ("--workers", "1", "--threads", request.param)
    servers = [Hooked(tmp_path_factory.mktemp("hooks"), conf, APP, *flags) for conf in (CONF, "")]
    yield [server.ready() for server in servers]
    for server in servers:
        server.close()


@pytest.fixture
def one(both):
    # `post_request` is called when the client has its answer: what the test before has caused comes before this.
    both[0].request(path="/before")
    until(lambda: any(event["path"] == "/before" for event in both[0].events("post_request")), "post_request")
    both[0].forget()
    return both[0]


@pytest.fixture
def start(tmp_path):
    running = []

    def begin(conf, *flags):
        running.append(Hooked(tmp_path, conf, APP, "--workers", "1", *flags))
        return running[-1]

    yield begin
    for server in running:
        server.close()


def last(one):
    """The last call of `post_request`: it is called when the client has its answer."""
    return until(lambda: one.events("post_request"), "post_request")[-1]


def test_the_request_is_seen_as_it_came(one):
    with socket.create_connection(one.address) as client:
        here = list(client.getsockname())
        client.sendall(b"GET /a%20b?c=d&e HTTP/1.0\r\nHost: test\r\nX-Two: 1\r\nx-two: 2\r\nConnection: keep-alive\r\n\r\n")
        client.recv(65536)
    (seen,) = one.events("pre_request")
    assert (seen["method"], seen["uri"], seen["path"], seen["query"]) == ("GET", "/a%20b?c=d&e", "/a%20b", "c=d&e")
    assert seen["version"] == [1, 0] and seen["scheme"] == "http" and seen["peer"] == here and seen["close"] is False
    assert seen["headers"] == [["HOST", "test"], ["X-TWO", "1"], ["X-TWO", "2"], ["CONNECTION", "keep-alive"]]
    assert seen["pid"] == one.pids()[0]


def test_the_response_is_seen_as_it_went(one):
    assert one.request("POST", "/echo", body=b"12345")[2] == b"12345"
    seen = last(one)
    assert seen["path"] == seen["environ"] == seen["last"] == "/echo" and seen["known"]
    assert seen["resp"] == {
        "status": "201 Made",
        "code": 201,
        "headers": [["Content-Type", "text/plain"], ["Content-Length", "5"]],
        "sent": 5,
        "length": 5,
        "headers_sent": True,
        "chunked": False,
    }


@pytest.mark.parametrize("path", ["/", "/parts", "/file", "/write"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_response_is_the_same_with_hooks_as_without(both, one, path, method):
    (status, headers, body), expected = one.request(method, path), both[1].request(method, path)
    assert {name.lower() for name in headers} == {name.lower() for name in expected[1]}
    assert (status, headers.get("Transfer-Encoding"), body) == (expected[0], expected[1].get("Transfer-Encoding"), expected[2])
    assert last(one)["resp"]["sent"] == len(body)
    if path == "/parts":
        names = [event["hook"] for event in one.events()]
        assert names == ["pre_request", "close", "post_request"]


def test_requests_are_counted(one):
    one.request()
    first = last(one)["nr"]
    one.forget()
    one.request()
    assert one.events("pre_request")[0]["nr"] == first and last(one)["nr"] == first + 1


def test_what_pre_request_raises_is_answered_with_500_and_named(one):
    assert one.request(path="/refused")[0] == 500
    seen = last(one)
    assert seen["resp"] is None and seen["environ"] is None
    until(lambda: "the hook pre_request of" in one.told() and "ValueError: not this one" in one.told(), "the words")
    assert one.request()[0] == 200


def test_what_post_request_raises_is_logged_and_the_client_has_its_answer(one):
    assert one.request(path="/late")[2] == b"hello"
    until(lambda: "the hook post_request of" in one.told() and "ValueError: too late" in one.told(), "the words")
    assert one.request()[0] == 200


def test_post_request_is_called_when_the_application_has_failed(one):
    assert one.request(path="/raises")[0] == 500
    seen = last(one)
    assert seen["resp"]["status"] is None and seen["environ"] == "/raises"


def test_a_request_without_an_address_has_none(start):
    one = start(CONF, "--bind", "unix:s")
    until((one.folder / "s").exists, "the socket")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(one.folder / "s"))
        client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    assert one.events("pre_request")[0]["peer"] == ""


@pytest.mark.parametrize("signature", ["worker, req", "worker, req, environ", "worker, req, environ, resp", "*all"])
def test_older_forms_of_post_request_are_called_as_they_want_it(start, signature):
    conf = RECORD + f"""
def post_request({signature}):
    note("post_request", count=len(locals().get("all") or locals()))
"""
    one = start(conf).ready()
    one.request()
    seen = last(one)
    assert seen["count"] == (4 if signature == "*all" else signature.count(",") + 1)


def test_a_worker_that_is_no_longer_alive_is_replaced_after_the_request(start):
    conf = """
def post_request(worker, req):
    if req.path == "/enough":
        worker.alive = False
"""
    one = start(conf).ready()
    (pid,) = one.pids()
    assert one.request()[0] == 200
    assert one.pids() == [pid]
    assert one.request(path="/enough")[2] == b"hello"
    until(lambda: one.pids() and one.pids() != [pid], "the replacement")
    assert one.request()[0] == 200

"""What RFC 9112 allows is served, what it does not is refused, as strictly as by gunicorn: see `hostile`."""

import socket
import struct

import hostile
import pytest
from conftest import Worker, until
from raw import Client

APP = """
import json

after = []

def application(environ, start_response):
    path = environ["PATH_INFO"]
    body = b"" if path == "/unread" else environ["wsgi.input"].read()
    if path == "/after":
        after.append(1)
    elif path == "/count":
        body = str(len(after)).encode()
    elif path == "/stream":
        start_response("200 OK", [])
        return (b"s" * 100_000 for _ in range(1000))
    elif path == "/lengths":
        start_response("200 OK", [("Content-Length", "4"), ("Content-Length", "5")])
        return [b"12345"]
    start_response("200 OK", [("X-Length", environ.get("CONTENT_LENGTH", "none"))])
    return [body]
"""


@pytest.fixture(scope="module", params=["1", "4"], ids=["inline", "threads"])
def target(request, tmp_path_factory):
    flags = ["--workers", "1", "--threads", request.param, "--head-timeout", "1s", "--body-timeout", "1s"]
    running = Worker(tmp_path_factory.mktemp("hostile"), APP, *flags)
    yield running.ready()
    running.close()


def ask(address, raw, method="GET"):
    """The final answer to these bytes, after which nothing comes any more; None if the connection just ends."""
    with Client(address) as client:
        try:
            client.send(raw)
            client.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        try:
            answer = client.answer(method)
            while answer.status < 200:
                answer = client.answer(method)
        except EOFError:
            return None, []
        more = []
        while not client.is_closed():
            more.append(client.answer())
        return answer, more


AFTER = b"GET /after HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("name", hostile.CASES)
def test_what_is_served_and_what_is_not(target, name):
    status, raw = hostile.CASES[name]
    before = count(target)
    answer, more = ask(target.address, raw + AFTER)
    assert answer is not None
    assert answer.status == status, answer
    ends = status != 200 or name.startswith("close") or b"HTTP/1.0" in raw and b"keep-alive" not in raw
    if ends:
        assert (answer["connection"], more) == ("close", [])
    else:
        assert [one.status for one in more] == [200]
    assert count(target) == before + (not ends)


def count(target):
    return int(target.request(path="/count")[2])


# What gunicorn takes all the same, by the beginnings of the names above: it has no limit of a body, does not look at Host
# or at the form of a target, lets applications answer CONNECT, and bears a little more.
STRICTER = [
    "length '18446744073709551616'",
    "length '99999999999999999999999999'",
    "length over all limits",
    "identity and chunked",
    "coding 'gzip, chunked'",
    "coding 'identity, chunked'",
    "chunk size '00000000000000003'",
    "chunk extension 'xxx",
    "chunk extension before a space",
    "too many trailers",
    "target ",
    "CONNECT",
    "no host",
    "host ",
    "a head too long",
    "upgrade with a body",
    "upgrade twice",
    "expect twice",
    "expect and too much",
]
# And its parser in C, which version 27 prefers where it is installed.
STRICTER_THAN_FAST = [*STRICTER, "LF before", "two spaces", "folded with", "an empty folded line", "head ends with LF"]
STRICTER_THAN_FAST += ["line ends with LF", "all lines end with LF", "second line ends with LF", "last line ends with LF"]


@pytest.mark.parametrize("parser", ["python", "fast"])
def test_gunicorn_refuses_nothing_that_is_served(parser):
    if parser == "fast":
        pytest.importorskip("gunicorn_h1c")
    served = {name: refusal(parser, raw) for name, (status, raw) in hostile.CASES.items() if status == 200}
    assert {name: why for name, why in served.items() if why} == {}
    taken = [name for name, (status, raw) in hostile.CASES.items() if status != 200 and not refusal(parser, raw)]
    known = tuple(STRICTER if parser == "python" else STRICTER_THAN_FAST)
    assert [name for name in taken if not name.startswith(known)] == []


def refusal(parser, raw):
    """Why gunicorn does not take this request, if it does not."""
    from gunicorn.config import Config
    from gunicorn.http.parser import RequestParser

    config = Config()
    config.set("http_parser", parser)
    try:
        request = next(RequestParser(config, iter([raw]), ("127.0.0.1", 1)))
        while request.body.read(65536):
            pass
    except Exception as error:
        return repr(error)
    return None


def test_what_the_application_does_not_read_is_no_request(target):
    with Client(target.address) as client:
        inner = AFTER * 10
        before = count(target)
        client.send(b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner)
        assert client.answer().body == b""
        assert client.get("/count").body == str(before).encode()
        client.send(b"POST /unread HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(inner) + inner + b"\r\n0\r\n\r\n")
        assert client.answer().body == b""
        assert client.get("/count").body == str(before).encode()


@pytest.mark.parametrize("head", ["GET / HTTP/1.1\r\nHost", "GET / HTTP/1.1\r\nHost: a\r\nX: ", "\r\n", "G"])
def test_a_head_that_does_not_come_is_408(target, head):
    with Client(target.address) as client:
        client.send(head)
        answer = client.answer()
        assert (answer.status, answer["connection"], client.is_closed()) == (408, "close", True)


def test_a_head_that_comes_byte_by_byte_has_one_time_for_all_of_it(target):
    """Slowloris: each byte is in time, all of them are not."""
    with Client(target.address, timeout=0.1) as client:
        client.send("GET / HTTP/1.1\r\n")
        for _ in range(200):
            try:
                client.send("X")
                if not client.more() or client.buffer:
                    break
            except TimeoutError:
                pass
            except OSError:
                break
        client.socket.settimeout(5)
        assert client.answer().status == 408


@pytest.mark.parametrize("body", ["Content-Length: 9\r\n\r\n12", "Transfer-Encoding: chunked\r\n\r\n5\r\nab", "Transfer-Encoding: chunked\r\n\r\n0\r\n"])
def test_a_body_that_does_not_come_is_408(target, body):
    before = count(target)
    with Client(target.address) as client:
        client.send(f"POST /after HTTP/1.1\r\nHost: a\r\n{body}")
        answer = client.answer()
        assert (answer.status, answer["connection"]) == (408, "close")
    assert count(target) == before


def test_an_idle_connection_is_closed_without_a_word(target):
    """Nothing of a request was there, so there is nothing to answer; the first has the time of a head."""
    with Client(target.address) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert client.answer().status == 200
        assert client.is_closed()


def test_the_refusal_reaches_a_client_that_is_still_sending(target):
    with Client(target.address) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n")
        for _ in range(3):
            client.send(b"x" * 50_000)
        assert client.answer().status == 413
    with Client(target.address) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n" + b"X: y\r\n" * 20_000)
        assert client.answer().status == 400


def test_a_million_header_bytes_are_not_kept(target):
    with Client(target.address) as client:
        try:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 1_000_000)
        except OSError:
            pass
        assert client.answer().status == 431


@pytest.mark.parametrize("how", ["reset", "close", "half"])
def test_clients_that_leave_leave_nothing_behind(target, how):
    clients = [Client(target.address) for _ in range(5)]
    for number, client in enumerate(clients):
        client.send([b"", b"GET", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1", b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n", AFTER][number])
        if how == "reset":
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if how == "half":
            client.socket.shutdown(socket.SHUT_WR)
            while client.more():
                client.buffer = b""
        client.socket.close()
    until(lambda: target.metric("monodon_worker_process_connections{") == 0, "the end of all connections")
    assert target.request()[0] == 200


def test_a_half_closed_connection_is_still_answered(target):
    with Client(target.address) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.answer().body == b"abc"
        assert client.is_closed()


def test_two_lengths_of_the_application_are_its_error(target):
    with Client(target.address) as client:
        assert client.get("/lengths").status == 500
        assert client.get("/count").status == 200

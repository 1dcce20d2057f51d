"""Requests as they come over a connection: whole, broken, cut off, or made to deceive."""

import hashlib
import json

import pytest
from wsgi_server import client, server  # noqa: F401


def test_a_connection_serves_one_request_after_the_other(client):  # noqa: F811
    for number in range(50):
        assert client.get("/echo", method="POST", body=b"%d" % number).body == b"%d" % number


def test_close_is_obeyed(client):  # noqa: F811
    answer = client.get("/environ", "Connection: close")
    assert (answer["connection"], client.is_closed()) == ("close", True)


def test_pipelined_requests_are_answered_in_order(client):  # noqa: F811
    for number in range(20):
        client.ask("/echo", method="POST", body=b"body %d" % number)
        client.ask(f"/environ?{number}")
    for number in range(20):
        assert client.answer().body == b"body %d" % number
        assert json.loads(client.answer().body)["QUERY_STRING"] == str(number)


def test_a_request_in_single_bytes(client):  # noqa: F811
    request = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n"
    for place in range(len(request)):
        client.send(request[place : place + 1])
    assert client.answer().body == b"abcde"
    assert client.get("/echo", method="POST", body=b"next").body == b"next"


@pytest.mark.parametrize("size", [1, 65_535, 262_144, 262_145, 5_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_uploads(client, size, chunked):  # noqa: F811
    body = bytes(range(251)) * (size // 251 + 1)
    body = body[:size]
    if chunked:
        client.send("POST /digest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for place in range(0, size, 70_001):
            part = body[place : place + 70_001]
            client.send(b"%x\r\n" % len(part) + part + b"\r\n")
        client.send(b"0\r\n\r\n")
    else:
        client.ask("/digest", method="POST", body=body)
    assert json.loads(client.answer().body) == [size, hashlib.sha256(body).hexdigest(), str(size)]
    assert client.get("/echo", method="POST", body=b"next").body == b"next"


def test_continue_is_said_when_the_body_is_waited_for(client):  # noqa: F811
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert client.answer().status == 100
    client.send("abc")
    assert client.answer().body == b"abc"
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
    assert client.answer().status == 100
    client.send("3\r\nabc\r\n0\r\n\r\n")
    assert client.answer().body == b"abc"


def test_continue_is_not_said_when_the_body_is_here(client):  # noqa: F811
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc")
    assert client.answer().status == 200


def test_a_body_over_the_limit_is_refused_before_it_is_read(client):  # noqa: F811
    client.send("POST /counted?large HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n")
    assert client.answer().status == 413
    assert client.is_closed()


@pytest.mark.parametrize(
    "cut", ["Content-Length: 10\r\n\r\n12345", "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n"]
)
def test_an_upload_that_is_cut_off_never_reaches_the_application(server, client, cut):  # noqa: F811
    name = f"cut{len(cut)}"
    with server.connect() as leaving:
        leaving.send(f"POST /counted?{name} HTTP/1.1\r\nHost: a\r\n{cut}")
        leaving.socket.shutdown(1)
        assert leaving.is_closed()
    assert client.get(f"/count?{name}").body == b"0"


BAD = {
    "length and chunked": "POST /counted?bad HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": "POST /counted?bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": "POST /counted?bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "misspelt": "POST /counted?bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked in 1.0": "POST /counted?bad HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": "POST /counted?bad HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "signed length": "POST /counted?bad HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
    "list of lengths": "POST /counted?bad HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\na",
    "endless length": "POST /counted?bad HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "chunk size": "POST /counted?bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    "chunk extension": "POST /counted?bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n",
    "chunk end": "POST /counted?bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naXX0\r\n\r\n",
    "bare LF": "GET /counted?bad HTTP/1.1\nHost: a\n\n",
    "bare CR": "GET /counted?bad HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
    "NUL": "GET /counted?bad HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "folded": "GET /counted?bad HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    "space before colon": "GET /counted?bad HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\n",
    "no colon": "GET /counted?bad HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    "no host": "GET /counted?bad HTTP/1.1\r\n\r\n",
    "two hosts": "GET /counted?bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "fragment": "GET /counted?bad#x HTTP/1.1\r\nHost: a\r\n\r\n",
    "method": "G@T /counted?bad HTTP/1.1\r\nHost: a\r\n\r\n",
    "version": "GET /counted?bad HTTP/1.2.3\r\nHost: a\r\n\r\n",
    "http/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "connect": "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    "expectation": "POST /counted?bad HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: coffee\r\n\r\na",
}


@pytest.mark.parametrize("request_", BAD.values(), ids=BAD.keys())
def test_what_is_refused_ends_the_connection(server, client, request_):  # noqa: F811
    with server.connect() as bad:
        bad.send(request_ + "GET /counted?bad HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = bad.answer()
        assert 400 <= answer.status < 600, answer
        assert answer["connection"] == "close"
        assert bad.is_closed()
    assert client.get("/count?bad").body == b"0"


def test_a_head_that_is_too_large(server):  # noqa: F811
    with server.connect() as client:  # noqa: F811
        assert client.get("/" + "a" * 9000).status == 414
    with server.connect() as client:
        assert client.get("/environ", *[f"X-{n}: 1" for n in range(200)]).status == 431
    with server.connect() as client:
        assert client.get("/environ", "X-Long: " + "a" * 9000).status == 431


def test_upgrades_are_not_taken(client):  # noqa: F811
    answer = client.get("/environ", "Connection: Upgrade", "Upgrade: websocket")
    assert answer.status == 200

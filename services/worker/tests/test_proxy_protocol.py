"""The PROXY protocol: who the client is, told before the first request; everything else that begins like it is refused."""

import socket
import struct

import pytest
from raw import Client

SHOW = """
import json, os, time

def application(environ, start_response):
    if environ["PATH_INFO"] == "/sleep":
        time.sleep(1)
    names = ("PROXY_PROTOCOL", "PROXY_ADDR", "PROXY_PORT", "REMOTE_ADDR", "REMOTE_PORT", "wsgi.url_scheme")
    told = {name: environ[name] for name in names if name in environ} | {"pid": os.getpid()}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]
"""

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LINE = b"PROXY TCP4 203.0.113.7 192.0.2.1 51234 443\r\n"


def binary(command=0x21, family=0x11, rest=None):
    if rest is None:
        rest = socket.inet_aton("203.0.113.7") + socket.inet_aton("192.0.2.1") + struct.pack(">HH", 51234, 443)
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(rest)) + rest


@pytest.fixture(scope="module")
def servers(shared_start):
    """By the value of `proxy_protocol`; one process each, so that idle ones cost little."""
    running = {}

    def get(mode, *flags):
        if (mode, *flags) not in running:
            flag = ["--proxy-protocol", mode] if mode else []
            running[(mode, *flags)] = shared_start(SHOW, *flag, "--workers", "1", *flags).ready()
        return running[(mode, *flags)]

    return get


def told(answer):
    import json

    assert answer.status == 200, answer
    return json.loads(answer.body)


def test_a_line_tells_the_client_for_all_requests_of_the_connection(servers):
    with Client(servers("auto").address) as client:
        client.send(LINE)
        for _ in range(2):
            seen = told(client.get("/"))
            assert (seen["REMOTE_ADDR"], seen["REMOTE_PORT"]) == ("203.0.113.7", "51234")
            assert (seen["PROXY_PROTOCOL"], seen["PROXY_ADDR"], seen["PROXY_PORT"]) == ("TCP4", "192.0.2.1", "443")


def test_a_line_with_the_request_in_the_same_packet_and_byte_by_byte(servers):
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    with Client(servers("auto").address) as client:
        client.send(LINE + request)
        assert told(client.answer())["REMOTE_ADDR"] == "203.0.113.7"
    with Client(servers("auto").address) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in LINE + request:
            client.send(bytes([byte]))
        assert told(client.answer())["REMOTE_ADDR"] == "203.0.113.7"


def test_the_binary_form(servers):
    with Client(servers("auto").address) as client:
        client.send(binary() + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        seen = told(client.answer())
        assert (seen["PROXY_PROTOCOL"], seen["REMOTE_ADDR"], seen["PROXY_PORT"]) == ("TCP4", "203.0.113.7", "443")
    six = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + socket.inet_pton(socket.AF_INET6, "::1") + struct.pack(">HH", 1, 2)
    with Client(servers("auto").address) as client:
        client.send(binary(family=0x21, rest=six + b"\x04\0\x01x"))
        seen = told(client.get("/"))
        assert (seen["PROXY_PROTOCOL"], seen["REMOTE_ADDR"], seen["PROXY_ADDR"]) == ("TCP6", "2001:db8::7", "::1")


@pytest.mark.parametrize(
    "header, name",
    [(b"PROXY UNKNOWN\r\n", "UNKNOWN"), (binary(0x20, 0, b""), "LOCAL"), (binary(0x21, 0, b""), "UNKNOWN")],
)
def test_a_header_that_names_nobody_leaves_the_address_of_the_socket(servers, header, name):
    with Client(servers("auto").address) as client:
        client.send(header)
        seen = told(client.get("/"))
        assert (seen["PROXY_PROTOCOL"], seen["REMOTE_ADDR"]) == (name, "127.0.0.1")
        assert "PROXY_ADDR" not in seen


def test_a_connection_without_a_header_is_plain_http(servers):
    with Client(servers("auto").address) as client:
        seen = told(client.get("/"))
        assert seen["REMOTE_ADDR"] == "127.0.0.1" and "PROXY_PROTOCOL" not in seen


def test_the_header_is_looked_for_once(servers):
    with Client(servers("auto").address) as client:
        client.send(LINE)
        assert told(client.get("/"))["REMOTE_ADDR"] == "203.0.113.7"
        client.send(LINE)
        assert client.answer().status == 400
        assert client.is_closed()


def test_the_client_s_own_forwarded_headers_are_not_believed_because_the_proxy_is(servers):
    """The proxy passes bytes on, so what they say is the client's word."""
    with Client(servers("auto").address) as client:
        client.send(LINE)
        seen = told(client.get("/", "X-Forwarded-For: 198.51.100.1", "X-Forwarded-Proto: https"))
        assert (seen["REMOTE_ADDR"], seen["wsgi.url_scheme"]) == ("203.0.113.7", "http")


MALFORMED = [
    b"PROXY TCP4 203.0.113.7 192.0.2.1 51234\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 51234 443 x\r\n",
    b"PROXY TCP4 203.0.113.700 192.0.2.1 51234 443\r\n",
    b"PROXY TCP6 203.0.113.7 192.0.2.1 51234 443\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 51234 65536\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 -1 443\r\n",
    b"PROXY UDP4 203.0.113.7 192.0.2.1 51234 443\r\n",
    b"PROXY / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PROXY " + b"x" * 200,
    binary(command=0x11),
    binary(command=0x22),
    binary(family=0x12),
    binary(family=0x31, rest=bytes(216)),
    binary(rest=bytes(11)),
    binary(family=0x21),
    binary(rest=bytes(12) + b"\x04\0"),
    binary(rest=bytes(12) + b"\x03\0\x04\0\0\0\0"),
]


@pytest.mark.parametrize("header", MALFORMED)
def test_a_malformed_header_is_refused(servers, header):
    with Client(servers("auto").address) as client:
        client.send(header)
        assert client.answer().status == 400
        assert client.is_closed()


@pytest.mark.parametrize("header", [LINE, binary(), b"PROXY nonsense\r\n"])
def test_a_header_from_a_peer_that_may_not_send_one_is_refused(servers, header):
    with Client(servers("auto", "--proxy-allow-from", "192.0.2.0/24").address) as client:
        client.send(header)
        assert client.answer().status == 403
        assert client.is_closed()
    with Client(servers("auto", "--proxy-allow-from", "192.0.2.0/24").address) as client:
        assert client.get("/").status == 200


@pytest.mark.parametrize("header", [LINE, binary()])
def test_an_allowed_network_and_star(servers, header):
    for allowed in ("127.0.0.0/8", "*"):
        with Client(servers("auto", "--proxy-allow-from", allowed).address) as client:
            client.send(header)
            assert told(client.get("/"))["REMOTE_ADDR"] == "203.0.113.7"


def test_only_the_version_that_is_named_is_taken(servers):
    for mode, good, bad in (("v1", LINE, binary()), ("v2", binary(), LINE)):
        with Client(servers(mode).address) as client:
            client.send(good)
            assert told(client.get("/"))["REMOTE_ADDR"] == "203.0.113.7"
        with Client(servers(mode).address) as client:
            client.send(bad)
            assert client.answer().status == 400


def test_it_is_off_by_default(servers):
    for header in (LINE, binary()):
        with Client(servers(None).address) as client:
            client.send(header)
            assert client.answer().status == 400


def test_the_flag_alone_means_either_version(servers):
    # As in gunicorn; the next argument is none of its values.
    with Client(servers(None, "--proxy-protocol", "--max-requests", "0").address) as client:
        client.send(LINE)
        assert told(client.get("/"))["REMOTE_ADDR"] == "203.0.113.7"


def test_half_a_header_is_waited_for_as_long_as_a_head(servers):
    with Client(servers("auto", "--head-timeout", "1s").address) as client:
        client.send(LINE[:20])
        assert client.answer().status == 408


def test_through_a_unix_socket_anybody_may_send_it(shared_start, tmp_path):
    path = str(tmp_path / "s")
    flags = ("--proxy-protocol", "v1", "--proxy-allow-from", "192.0.2.1", "--bind", f"unix:{path}", "--workers", "1")
    shared_start(SHOW, *flags).ready()
    with Client(path) as client:
        client.send(LINE)
        assert told(client.get("/"))["REMOTE_ADDR"] == "203.0.113.7"


def test_what_was_told_goes_along_when_a_connection_is_handed_over(shared_start):
    one = shared_start(SHOW, "--proxy-protocol").ready()
    with Client(one.address) as client, Client(one.address) as silent:
        client.send(LINE)
        first = told(client.get("/"))
        assert one.tell("reload").startswith("ok")
        second = told(client.get("/"))
        assert first["pid"] != second["pid"]
        assert (second["REMOTE_ADDR"], second["PROXY_PORT"]) == ("203.0.113.7", "443")
        # One that had said nothing yet may still introduce itself.
        silent.send(LINE)
        assert told(silent.get("/"))["REMOTE_ADDR"] == "203.0.113.7"


def test_what_was_told_goes_along_when_a_busy_process_gives_a_connection_away(shared_start):
    one = shared_start(SHOW, "--proxy-protocol", "--workers", "2").ready()
    with Client(one.address) as client:
        client.send(LINE)
        home = told(client.get("/"))["pid"]
        others = []
        try:
            while True:
                others.append(Client(one.address))
                if told(others[-1].get("/"))["pid"] == home:
                    break
            others[-1].ask("/sleep")
            seen = told(client.get("/"))
            while seen["pid"] == home:
                # It was quicker than the one that sleeps.
                seen = told(client.get("/"))
            assert seen["REMOTE_ADDR"] == "203.0.113.7"
        finally:
            for other in others:
                other.socket.close()

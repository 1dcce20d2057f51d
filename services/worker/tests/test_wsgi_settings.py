"""The settings of sections HTTP and proxies, each in a server that has it."""

import json

import pytest
from raw import Client
from test_wsgi_environ import environ
from wsgi_server import Server

BOTH = pytest.mark.parametrize("threads", ["1", "2"], ids=["inline", "threads"])


@pytest.fixture
def serving(tmp_path):
    """serving(threads, *flags, env=…) -> a connection to a server with them."""
    opened = []

    def begin(threads, *flags, **options):
        one = Server(tmp_path, "--threads", threads, *flags, **options)
        opened.append(one)
        one.ready()
        connection = one.connect()
        opened.append(connection.socket)
        connection.connect = one.connect
        return connection

    yield begin
    for one in reversed(opened):
        one.close()


FORWARDED = ["X-Forwarded-For: 203.0.113.7", "X-Forwarded-Host: shop.example:8443", "X-Forwarded-Port: 8443"]


@BOTH
def test_the_environ_can_be_left_alone_but_for_the_scheme(serving, threads):
    client = serving(threads, "--forwarded-environ", "scheme")
    seen = environ(client, "/environ", *FORWARDED, "X-Forwarded-Proto: https")
    assert (seen["REMOTE_ADDR"], seen["REMOTE_PORT"]) == ("127.0.0.1", str(client.socket.getsockname()[1]))
    assert (seen["HTTP_HOST"], seen["wsgi.url_scheme"]) == ("example.org", "https")
    assert seen["HTTP_X_FORWARDED_FOR"] == "203.0.113.7"


@BOTH
def test_strangers_are_not_believed(serving, threads):
    client = serving(threads, "--forwarded-allow-ips", "192.0.2.1")
    seen = environ(client, "/environ", *FORWARDED, "X-Forwarded-Proto: https", "SCRIPT_NAME: /environ", "Forwarded: for=1.2.3.4")
    assert (seen["REMOTE_ADDR"], seen["HTTP_HOST"], seen["wsgi.url_scheme"]) == ("127.0.0.1", "example.org", "http")
    assert seen["SCRIPT_NAME"] == ""
    assert not [name for name in seen if "FORWARDED" in name or name == "HTTP_SCRIPT_NAME"]
    # Schemes that contradict each other are only a proxy's fault.
    assert environ(client, "/environ", "X-Forwarded-Proto: https", "X-Forwarded-Ssl: off")["wsgi.url_scheme"] == "http"


@BOTH
def test_without_belief_the_fields_of_strangers_can_still_be_shown(serving, threads):
    client = serving(threads, "--forwarded-allow-ips", "192.0.2.1", "--forwarded-environ", "scheme")
    seen = environ(client, "/environ", *FORWARDED, "X-Forwarded-Proto: https")
    assert (seen["HTTP_X_FORWARDED_FOR"], seen["HTTP_X_FORWARDED_PROTO"]) == ("203.0.113.7", "https")
    assert (seen["REMOTE_ADDR"], seen["wsgi.url_scheme"]) == ("127.0.0.1", "http")


@BOTH
def test_secure_scheme_headers(serving, threads):
    client = serving(threads, "--secure-scheme-headers", '{"X-Tls": "yes", "X-FORWARDED-PROTO": "https"}')
    for headers, scheme in {
        ("X-Tls: yes",): "https",
        ("X-Tls: no",): "http",
        ("X-Forwarded-Ssl: on",): "http",
        ("X-Forwarded-Proto: HTTPS",): "https",
        ("X-Forwarded-Proto: http, https",): "https",
        ("X-Tls: yes", "X-Forwarded-Proto: https"): "https",
    }.items():
        assert environ(client, "/environ", *headers)["wsgi.url_scheme"] == scheme, headers
    refused = client.get("/counted?scheme", "X-Tls: yes", "X-Forwarded-Proto: http")
    assert (refused.status, refused["connection"], client.is_closed()) == (400, "close", True)
    with client.connect() as other:
        assert other.get("/count?scheme").body == b"0"


@BOTH
def test_underscores_are_refused_where_they_are_to_be(serving, threads):
    client = serving(threads, "--header-map", "refuse", "--forwarder-headers", "REMOTE_USER,SCRIPT_NAME")
    seen = environ(client, "/environ", "Remote_User: ann", "SCRIPT_NAME: /environ")
    assert (seen["HTTP_REMOTE_USER"], seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("ann", "/environ", "")
    assert (client.get("/environ", "X_Real: 1").status, client.is_closed()) == (400, True)


@BOTH
def test_underscores_pass_where_they_are_said_to(serving, threads):
    client = serving(threads, "--header-map", "dangerous")
    assert environ(client, "/environ", "X_Real: a", "X-Real: b")["HTTP_X_REAL"] == "a,b"


@BOTH
def test_any_underscore_of_a_proxy_passes_by_a_star(serving, threads):
    client = serving(threads, "--forwarder-headers", "*")
    assert environ(client, "/environ", "X_Real: a")["HTTP_X_REAL"] == "a"


MOUNTS = {
    "/shop/environ/a%20b": ("/shop", "/environ/a b"),
    "/shop": ("/shop", ""),
    "/shop/": ("/shop", "/"),
}


@BOTH
@pytest.mark.parametrize("how", ["flag", "environment", "raw_env"])
def test_the_application_is_mounted_below_a_path(serving, threads, how):
    flags = {"flag": ["--root-path", "/shop/"], "raw_env": ["--raw-env", "SCRIPT_NAME=/shop"]}.get(how, [])
    env = {"SCRIPT_NAME": "/shop"} if how == "environment" else {}
    client = serving(threads, *flags, "--forwarded-environ", "all", env=env)
    for target, (script, path) in MOUNTS.items():
        seen = json.loads(client.get(target).body) if "environ" in target else json.loads(client.get(target, "X-Show: 1").body)
        assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["RAW_URI"]) == (script, path, target)
    # The proxy knows better.
    assert environ(client, "/other/environ", "SCRIPT_NAME: /other")["PATH_INFO"] == "/environ"
    assert (client.get("/shopping/environ").status, client.is_closed()) == (404, True)


@BOTH
def test_files_are_read_by_python_without_sendfile(serving, threads):
    client = serving(threads, "--no-sendfile")
    assert len(client.get("/reads").body) == 300_000
    assert client.get("/stands").body == b"300000"


@BOTH
def test_limits_of_the_head(serving, threads):
    client = serving(threads, "--limit-request-line", "60000", "--limit-request-field-size", "0", "--limit-request-fields", "5")
    assert client.get("/environ?" + "q" * 50_000).status == 200
    assert client.get("/environ", "X-Long: " + "v" * 90_000).status == 200
    assert client.get("/environ", *[f"X-{n}: 1" for n in range(4)]).status == 200
    assert client.get("/environ", *[f"X-{n}: 1" for n in range(5)]).status == 431


def test_a_unix_socket_is_named_as_the_client_asked(tmp_path):
    path = str(tmp_path / "socket")
    with Server(tmp_path, "--bind", f"unix:{path}") as running:
        assert running.started
        with Client(path) as client:
            seen = environ(client)
            assert (seen["SERVER_NAME"], seen["SERVER_PORT"], seen["REMOTE_ADDR"]) == ("example.org", "80", "")
            client.send("GET /environ HTTP/1.1\r\nHost: [::1]:8080\r\nX-Forwarded-Proto: https\r\n\r\n")
            seen = json.loads(client.answer().body)
            assert (seen["SERVER_NAME"], seen["SERVER_PORT"], seen["wsgi.url_scheme"]) == ("::1", "443", "https")


@pytest.mark.parametrize("flags", [("--secure-scheme-headers", "X=1"), ("--root-path", "shop"), ("--header-map", "keep")])
def test_wrong_values_are_named(start, flags):
    one = start("", *flags)
    assert one.wait() == 2
    assert flags[0] in one.err()

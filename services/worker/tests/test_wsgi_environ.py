"""What the application is told of a request."""

import json

import pytest
from wsgi_server import client, server  # noqa: F401


def environ(client, target="/environ", *headers, **more):  # noqa: F811
    answer = client.get(target, *headers, **more)
    assert answer.status == 200, answer
    return json.loads(answer.body)


def test_the_request_line(client):  # noqa: F811
    seen = environ(client, "/environ/a%20b/%2541/caf%C3%A9?x=%20&y", method="PUT", body=b"12")
    assert seen["REQUEST_METHOD"] == "PUT"
    assert seen["PATH_INFO"] == "/environ/a b/%41/" + "café".encode().decode("latin-1")
    assert seen["QUERY_STRING"] == "x=%20&y"
    assert seen["RAW_URI"] == seen["REQUEST_URI"] == "/environ/a%20b/%2541/caf%C3%A9?x=%20&y"
    assert seen["SCRIPT_NAME"] == ""
    assert seen["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert seen["CONTENT_LENGTH"] == "2"
    assert (seen["SERVER_NAME"], seen["SERVER_PORT"]) == ("127.0.0.1", str(client.socket.getpeername()[1]))
    assert (seen["REMOTE_ADDR"], seen["REMOTE_PORT"]) == ("127.0.0.1", str(client.socket.getsockname()[1]))


def test_slashes_and_escaped_slashes_stay_as_they_are(client):  # noqa: F811
    seen = environ(client, "/environ//a%2fb//")
    assert seen["PATH_INFO"] == "/environ//a/b//"
    assert seen["RAW_URI"] == "/environ//a%2fb//"


def test_an_absolute_target_names_the_host(client):  # noqa: F811
    client.send("GET http://other.example:81/environ?q HTTP/1.1\r\nHost: example.org\r\n\r\n")
    seen = json.loads(client.answer().body)
    assert (seen["HTTP_HOST"], seen["PATH_INFO"], seen["QUERY_STRING"]) == ("other.example:81", "/environ", "q")


def test_what_wsgi_asks_for(server, client):  # noqa: F811
    seen = environ(client)
    assert seen["wsgi.version"] == [1, 0]
    assert seen["wsgi.url_scheme"] == "http"
    assert seen["wsgi.input_terminated"] is True
    assert seen["wsgi.run_once"] is False
    assert seen["wsgi.multithread"] is (client.get("/thread").body != b'["MainThread", true]')
    assert "CONTENT_LENGTH" not in seen
    assert "CONTENT_TYPE" not in seen


def test_one_request_leaves_nothing_to_the_next(client):  # noqa: F811
    first = environ(client, "/environ?q", "Content-Type: a/b", "X-One: 1", "X-Forwarded-Proto: https", method="POST", body=b"x")
    assert (first["CONTENT_TYPE"], first["HTTP_X_ONE"], first["wsgi.url_scheme"]) == ("a/b", "1", "https")
    second = environ(client)
    assert {"CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_X_ONE", "HTTP_X_FORWARDED_PROTO"}.isdisjoint(second)
    assert (second["QUERY_STRING"], second["wsgi.url_scheme"], second["REQUEST_METHOD"]) == ("", "http", "GET")


def test_repeated_headers_are_joined(client):  # noqa: F811
    seen = environ(client, "/environ", "X-A: 1", "x-a: 2", "X-A: 3", "Cookie: a=1", "Cookie: b=2")
    assert seen["HTTP_X_A"] == "1,2,3"
    assert seen["HTTP_COOKIE"] == "a=1; b=2"


def test_many_names_are_all_there(client):  # noqa: F811
    for start in range(0, 400, 40):
        headers = [f"X-Name-{number}: {number}" for number in range(start, start + 40)]
        seen = environ(client, "/environ", *headers, "X-Name-0: twice", "X-Name-0: thrice")
        for number in range(max(start, 1), start + 40):
            assert seen[f"HTTP_X_NAME_{number}"] == str(number)
        assert seen["HTTP_X_NAME_0"].endswith("twice,thrice")


def test_names_that_could_speak_for_others_are_dropped(client):  # noqa: F811
    seen = environ(
        client, "/environ", "X_Real: a", "Proxy: http://evil", "X_Forwarded_For: 6.6.6.6", "Content_Length: 9", "X-Monodon-Process: 1"
    )
    assert {"HTTP_X_REAL", "HTTP_PROXY", "HTTP_X_FORWARDED_FOR", "HTTP_CONTENT_LENGTH", "HTTP_X_MONODON_PROCESS"}.isdisjoint(seen)
    assert seen["REMOTE_ADDR"] == "127.0.0.1"


def test_values_are_latin_1_both_ways(client):  # noqa: F811
    client.send(b"GET /latin HTTP/1.1\r\nHost: a\r\nX-Latin: caf\xe9 \xff\r\n\r\n")
    answer = client.answer()
    assert answer["x-back"] == "caf\xe9 \xff"
    assert answer.body == b"caf\xe9 \xff"


def test_a_trusted_peer_speaks_for_its_client(client):  # noqa: F811
    seen = environ(
        client,
        "/environ",
        "X-Forwarded-For: 6.6.6.6, 203.0.113.7",
        "X-Forwarded-For: 10.0.0.9",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: shop.example:8443",
        "X-Forwarded-Port: 8443",
    )
    assert seen["REMOTE_ADDR"] == "203.0.113.7"
    assert "REMOTE_PORT" not in seen
    assert seen["wsgi.url_scheme"] == "https"
    assert (seen["HTTP_HOST"], seen["SERVER_PORT"]) == ("shop.example:8443", "8443")
    assert environ(client, "/environ", "X-Forwarded-Proto: https")["SERVER_PORT"] == "443"


@pytest.mark.parametrize("how", ["iterate", "readline", "readlines"])
def test_input_line_by_line(client, how):  # noqa: F811
    body = b"one\n\ntwo\r\n" + b"long" * 5000 + b"\n" + b"x\n" * 3000 + b"no end"
    found, ends = json.loads(client.get(f"/lines?{how}", method="POST", body=body).body)
    assert found == body.decode().splitlines(keepends=True)
    assert not any(ends)


def test_input_in_sizes(client):  # noqa: F811
    found, ends = json.loads(client.get("/lines?sized", method="POST", body=b"abcdefg\nh\n\ni").body)
    assert (found, any(ends)) == (["abcd", "efg\n", "h\n", "\n", "i"], False)
    found, ends = json.loads(client.get("/lines?mixed", method="POST", body=b"ab\ncdefg").body)
    assert (found, any(ends)) == (["ab\n", "cd", "efg", ""], False)
    found, ends = json.loads(client.get("/lines?hint", method="POST", body=b"ab\ncd\nef").body)
    assert (found, any(ends)) == (["ab\n", "cd\nef"][:1] + ["cd\nef"], False)


def test_lines_of_a_body_that_is_in_a_file(client):  # noqa: F811
    body = b"".join(b"%d %s\n" % (number, b"y" * (number % 300)) for number in range(6000))
    for how in ("iterate", "readlines"):
        found, ends = json.loads(client.get(f"/lines?{how}", method="POST", body=body).body)
        assert "".join(found).encode() == body
        assert len(found) == 6000
        assert not any(ends)


def test_the_standard_librarys_validator_finds_nothing(client):  # noqa: F811
    for _ in range(2):
        answer = client.get("/valid", "Content-Type: text/plain", method="POST", body=b"line\nrest")
        assert (answer.status, answer.body) == (200, b"line\n|rest")
    assert client.get("/valid").body == b"|"

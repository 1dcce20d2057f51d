"""What becomes of the application's response."""

import json

import pytest
from conftest import until
from wsgi_server import client, server  # noqa: F401


def closed(client, name):  # noqa: F811
    return json.loads(client.get(f"/was_closed?{name}").body)


def test_every_answer_names_its_process(client):  # noqa: F811
    for path in ("/environ", "/fails", "/generator", "/file"):
        entry, own, every = client.get(path)["x-monodon-process"].split("/")
        assert (int(entry) < 2, own) == (True, every)


def test_one_part_has_a_length(client):  # noqa: F811
    answer = client.get("/echo", method="POST", body=b"12345")
    assert (answer["content-length"], answer["transfer-encoding"], answer.body) == ("5", None, b"12345")
    assert answer["date"].endswith("GMT")


def test_several_parts_of_a_list_have_a_length_too(client):  # noqa: F811
    answer = client.get("/pieces")
    assert (answer["content-length"], answer.body) == ("20", b"abcd" * 5)


def test_a_generator_calls_start_response_at_its_first_step(client):  # noqa: F811
    answer = client.get("/generator")
    assert (answer.status, answer["x-from"], answer.body) == (201, "generator", b"one,two")
    assert (answer["transfer-encoding"], answer.complete) == ("chunked", True)
    answer = client.get("/empty_generator")
    assert (answer.status, answer["x-from"], answer["content-length"], answer.body) == (202, "generator", "0", b"")


def test_http_1_0_ends_with_the_connection(server):  # noqa: F811
    with server.connect() as client:  # noqa: F811
        answer = client.get("/generator", version="1.0")
        assert (answer["transfer-encoding"], answer["connection"], answer.body) == (None, "close", b"one,two")
        assert client.is_closed()
    with server.connect() as client:
        answer = client.get("/echo", "Connection: keep-alive", method="POST", body=b"x", version="1.0")
        assert answer["connection"] == "keep-alive"
        assert client.get("/echo", method="POST", body=b"y", version="1.0").body == b"y"
        assert client.is_closed()


def test_an_exception_is_a_500_and_a_traceback(server, client):  # noqa: F811
    answer = client.get("/fails", "X-Request-ID: find-me-17")
    assert answer.status == 500
    assert b"on purpose" not in answer.body
    (line,) = until(lambda: [line for line in list(server.log) if line.get("request_id") == "find-me-17"], "the line")
    assert line["message"] == "Error handling request GET /fails"
    assert line["exception"].endswith("ValueError: on purpose")
    assert client.get("/fails_first").status == 500
    assert closed(client, "fails_first") > 0
    assert client.get("/silent").status == 500


@pytest.mark.parametrize("query", ["", "length"])
def test_an_exception_in_mid_stream_never_looks_complete(server, query):  # noqa: F811
    with server.connect() as client:  # noqa: F811
        answer = client.get(f"/fails_midway?{query}")
        assert (answer.status, answer.body, answer.complete) == (200, b"x" * 100, False)
        assert client.is_closed()
    with server.connect() as client:
        assert closed(client, "fails_midway") > 0


def test_an_exception_in_mid_stream_resets_a_connection_of_http_1_0(server):  # noqa: F811
    with server.connect() as client:  # noqa: F811
        client.ask("/fails_midway", version="1.0")
        with pytest.raises(ConnectionResetError):
            while client.socket.recv(65536):
                pass


def test_less_than_content_length_closes_and_more_is_cut(server):  # noqa: F811
    with server.connect() as client:  # noqa: F811
        answer = client.get("/short")
        assert (answer.body, answer.complete) == (b"12345", False)
    with server.connect() as client:
        client.ask("/long")
        client.ask("/echo")
        answer = client.answer()
        assert (answer["content-length"], answer.body) == ("5", b"12345")
        assert client.is_closed()


def test_head_has_the_headers_of_get_and_no_body(client):  # noqa: F811
    answer = client.get("/environ", method="HEAD")
    assert int(answer["content-length"]) > 0
    assert client.get("/generator", method="HEAD").status == 201
    assert client.get("/file", method="HEAD")["content-length"] == "300000"
    before = closed(client, "head")
    assert client.get("/closes?head", method="HEAD").status == 200
    assert client.get("/echo", method="POST", body=b"next").body == b"next"
    assert closed(client, "head") == before + 1


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_statuses_without_a_body(client, status):  # noqa: F811
    before = closed(client, "status")
    client.ask("/status?" + status.replace(" ", "+"))
    answer = client.answer()
    assert (answer.status, answer["x-here"], answer["transfer-encoding"]) == (int(status[:3]), "yes", None)
    if answer.status == 204:
        assert answer["content-length"] is None
    assert client.get("/echo", method="POST", body=b"next").body == b"next"
    assert closed(client, "status") == before + 1


@pytest.mark.parametrize("status", ["200 Fine", "299 Odd", "999 Last"])
def test_unusual_statuses(client, status):  # noqa: F811
    answer = client.get("/status?" + status.replace(" ", "+"))
    assert f"{answer.status} {answer.reason}".strip() == status


@pytest.mark.parametrize("status", ["20 OK", "2000 OK", "abc", "100 Continue", "199 No", "OK", "200OK"])
def test_statuses_that_are_none(client, status):  # noqa: F811
    answer = client.get("/status?" + status.replace(" ", "+"))
    assert (answer.status, answer["x-here"]) == (500, None)


@pytest.mark.parametrize("kind", ["crlf", "nul", "name", "wide", "length"])
def test_headers_that_are_none(server, client, kind):  # noqa: F811
    answer = client.get(f"/bad_header?{kind}")
    assert (answer.status, answer["x-evil"], answer["x-a"]) == (500, None, None)
    until(lambda: f"/bad_header?{kind}" in server.told(), "the word of it")
    assert client.get("/echo", method="POST", body=b"alive").body == b"alive"


def test_hop_by_hop_headers_are_the_servers(client):  # noqa: F811
    answer = client.get("/hop")
    assert (answer["connection"], answer["transfer-encoding"], answer["keep-alive"], answer["upgrade"]) == (None,) * 4
    assert (answer["x-stays"], answer["x-monodon-process"].split("/")[0] != "9", answer.body) == ("1", True, b"kept")


def test_exc_info(server):  # noqa: F811
    with server.connect() as client:  # noqa: F811
        answer = client.get("/exc_info?replace")
        assert (answer.status, answer.reason, answer["x-first"], answer["x-second"]) == (500, "Replaced", None, "2")
        assert client.get("/exc_info?twice").status == 500
        until(lambda: "a second time without exc_info" in server.told(), "the word of it")
        answer = client.get("/exc_info?late")
        assert (answer.status, answer.body, answer.complete) == (200, b"out already", False)
        until(lambda: "KeyError: 'inner'" in server.told(), "the word of it")


def test_write(client):  # noqa: F811
    assert client.get("/write").body == b"one,two,three"
    answer = client.get("/write_only")
    assert (answer["transfer-encoding"], answer.body, answer.complete) == ("chunked", b"all of it", True)
    assert client.get("/write_file").body == b"x" + b"0123456789"[5:] + b"0123456789" * 299
    answer = client.get("/write_file?length")
    assert (answer["content-length"], len(answer.body)) == ("2996", 2996)
    assert client.get("/write", method="HEAD").status == 200
    assert client.get("/echo", method="POST", body=b"next").body == b"next"


def test_what_is_written_is_sent_at_once(client, tmp_path):  # noqa: F811
    name = str(tmp_path / "seen")
    client.ask(f"/write_waits?{name}")
    assert b"200 OK" in client.until(b"5\r\nfirst\r\n")
    (tmp_path / "seen.1").touch()
    client.until(b"6\r\nsecond\r\n")
    (tmp_path / "seen.2").touch()
    assert client.until(b"0\r\n\r\n") == b"6\r\nseen 2\r\n"


def test_write_from_a_thread_of_the_application(client):  # noqa: F811
    client.ask("/write_elsewhere")
    assert client.answer().status == 103
    answer = client.answer()
    assert (len(answer.body), answer.body[-1:], answer.complete) == (1_000_001, b"y", True)


def test_write_after_the_end_is_refused(client):  # noqa: F811
    assert client.get("/write_late?one").body == b"in time"
    assert b"had returned" in client.get("/write_late?one&use").body


def test_an_error_after_write_cannot_replace_the_head(server):  # noqa: F811
    with server.connect() as client:  # noqa: F811
        answer = client.get("/write_fails")
        assert (answer.status, answer.body, answer.complete) == (200, b"out", False)
        until(lambda: "ValueError: after write" in server.told(), "the word of it")


def test_early_hints(client, tmp_path):  # noqa: F811
    file = tmp_path / "go"
    client.ask("/hints?waits", f"X-File: {file}")
    first, second = client.answer(), client.answer()
    assert (first.status, first.reason, first.headers) == (103, "Early Hints", [("link", "</style.css>; rel=preload; as=style")])
    assert (second.status, second.headers) == (103, [("link", "</app.js>; rel=preload"), ("x-two", "caf\xe9")])
    file.touch()
    assert (client.answer().body, client.get("/echo", method="POST", body=b"next").body) == (b"page", b"next")


def test_early_hints_that_come_too_late_or_mean_nothing_are_left_out(server):  # noqa: F811
    with server.connect() as client:  # noqa: F811
        assert client.get("/hints", version="1.0").status == 200
    with server.connect() as client:
        client.ask("/hints?late")
        assert (client.answer().status, client.answer().status) == (103, 103)
        assert client.answer().body == b"begun,done"


@pytest.mark.parametrize("how", ["bad", "name"])
def test_early_hints_cannot_split_a_response(client, how):  # noqa: F811
    answer = client.get(f"/hints?{how}")
    assert (answer.status, answer["x-evil"]) == (500, None)


def test_a_panic_costs_its_request_alone(client, server):  # noqa: F811
    before = client.get("/environ")["x-monodon-process"]
    assert client.get("/fails").status == 500
    assert client.get("/panics").status == 500
    assert client.get("/panics?first").status == 500
    answer = client.get("/panics?second")
    assert (answer.status, answer.body, answer.complete) == (200, b"one", False)
    with server.connect() as other:
        assert other.get("/panics?close").body == b"one"
        until(lambda: "in close()" in server.told(), "the word of it")
        answer = other.get("/environ")
        assert (answer.status, answer["x-monodon-process"]) == (200, before)


def test_close_is_called_once(client):  # noqa: F811
    before = closed(client, "once")
    assert client.get("/closes?once").body == b"ab"
    assert closed(client, "once") == before + 1


def test_close_is_called_when_the_client_leaves(server, client):  # noqa: F811
    before = closed(client, "stream")
    with server.connect() as leaving:
        leaving.ask("/stream")
        leaving.exactly(10)
    until(lambda: closed(client, "stream") > before, "the close()")
    assert closed(client, "stream") == before + 1


def test_files(client):  # noqa: F811
    whole = b"0123456789" * 30_000
    answer = client.get("/file")
    assert (answer["content-length"], answer.body) == ("300000", whole)
    answer = client.get("/file?seek")
    assert (answer["content-length"], answer.body) == ("299995", whole[5:])
    answer = client.get("/file?length")
    assert (answer["content-length"], answer.body) == ("12", whole[:12])
    assert client.get("/file?passing").body == whole
    assert client.get("/file?foreign").body == whole.replace(b"0", b"x")
    assert closed(client, "foreign") > 0


def test_files_are_sent_by_the_kernel(client):  # noqa: F811
    assert len(client.get("/reads").body) == 300_000
    assert client.get("/stands").body == b"0"


def test_a_big_response(client):  # noqa: F811
    answer = client.get("/big")
    assert (len(answer.body), set(answer.body)) == (20_000_000, {ord("z")})
    answer = client.get("/stream")
    assert (answer.body, answer.complete) == (b"s" * 10_000_000, True)


def test_slow_readers_hold_up_nobody(server):  # noqa: F811
    """Each of these streams is far larger than what the sockets hold."""
    slow = [server.connect() for _ in range(3)]
    for reader in slow:
        reader.ask("/stream")
        reader.until(b"\r\n\r\n")
    with server.connect() as quick:
        for number in range(20):
            assert quick.get("/echo", method="POST", body=b"%d" % number).body == b"%d" % number
    for reader in slow:
        body, complete = reader.chunks()
        assert (len(body), complete) == (10_000_000, True)
        reader.socket.close()


def test_many_slow_generators_take_turns(server):  # noqa: F811
    """Each is asked for its next part while others are under way: they do not run one after the other."""
    readers = [server.connect() for _ in range(3)]
    for reader in readers:
        reader.ask("/ticking?40")
    for reader in readers:
        reader.until(b"\r\n\r\n")
        assert reader.until(b"5,") is not None
    for reader in readers:
        rest, complete = reader.buffer, True
        while b"39,\r\n0\r\n\r\n" not in rest:
            assert reader.more()
            rest = reader.buffer
        reader.socket.close()
        assert complete

"""The process itself: threads, the time a request may take, leaving."""

import json
import signal

import pytest
from wsgi_server import Server


@pytest.fixture(params=[1, 2], ids=["inline", "threads"])
def threads(request):
    return str(request.param)


def test_an_application_that_hangs_is_answered_504_and_its_stack_is_shown(threads):
    with Server("--threads", threads, "--timeout", "1") as server, server.connect() as client:
        answer = client.get("/hang")
        assert (answer.status, answer["x-monodon-killed"], answer["connection"]) == (504, "timeout", "close")
        assert server.process.wait(10) == -signal.SIGKILL
        assert "in hang" in server.errors()


def test_a_stream_has_the_time_for_each_part(threads):
    with Server("--threads", threads, "--timeout", "1") as server, server.connect() as client:
        answer = client.get("/ticking?300")
        assert (answer.complete, answer.body.endswith(b"299,")) == (True, True)


def test_two_requests_at_a_time():
    with Server("--threads", "2") as server, server.connect() as one, server.connect() as two:
        one.ask("/meet")
        two.ask("/meet")
        assert one.answer().body == two.answer().body == b"met"


def test_the_threads_are_pythons_own():
    with Server("--threads", "2") as server, server.connect() as client:
        name, known = json.loads(client.get("/thread").body)
        assert (name.startswith("monodon-"), known) == (True, True)
    with Server() as server, server.connect() as client:
        assert json.loads(client.get("/thread").body) == ["MainThread", True]


def test_leaving_finishes_what_runs_and_answers_once_more(threads):
    with Server("--threads", threads) as server, server.connect() as busy, server.connect() as idle:
        assert idle.get("/pid").status == 200
        busy.ask("/ticking?100")
        busy.until(b"\r\n\r\n")
        server.process.send_signal(signal.SIGTERM)
        body, complete = busy.chunks()
        assert (complete, body.endswith(b"99,")) == (True, True)
        answer = idle.get("/pid")
        assert (answer.status, answer["connection"]) == (200, "close")
        assert server.process.wait(10) == 0


def test_an_idle_process_leaves(threads):
    with Server("--threads", threads) as server:
        with server.connect() as client:
            assert client.get("/pid").status == 200
        assert server.stop() == 0

"""Clients that do not read."""

import json

import pytest
from conftest import until
from wsgi_server import Server


@pytest.fixture(scope="module", params=[1, 4], ids=["inline", "threads"])
def impatient(request, tmp_path_factory):
    with Server(tmp_path_factory.mktemp("slow"), "--threads", str(request.param), "--body-timeout", "1s") as running:
        yield running


def test_write_waits_without_the_lock_and_ends_after_the_timeout(impatient, tmp_path):
    file = tmp_path / "end"
    with impatient.connect() as client:
        client.ask(f"/write_much?{file}")
        client.until(b"\r\n\r\n")
        until(file.exists, "the end of it")
        end, count, beats = json.loads(file.read_text())
        assert end == "BrokenPipeError"
        # What the sockets hold, and a few blocks: of two hundred.
        assert count < 50
        assert beats > 10
    assert "write_much" not in impatient.told()
    with impatient.connect() as client:
        assert client.get("/echo", method="POST", body=b"next").body == b"next"


def test_an_iteration_stops_and_is_closed_after_the_timeout(impatient):
    with impatient.connect() as slow, impatient.connect() as client:
        slow.ask("/stream_much?never-read")
        slow.until(b"\r\n\r\n")
        until(lambda: client.get("/was_closed?never-read").body == b"1", "the close()")
        # The parts that were not asked for are still there.
        seen = len(slow.exactly(10**9))
        assert seen < 50_000_000

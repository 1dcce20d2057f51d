"""`/metrics`: what it tells, under which names, and that its labels have bounds."""

import re
import shutil
import subprocess

import pytest
from conftest import until
from raw import Client

SOURCE = """
import gc
import os
import threading
import time


class OutOfStock(Exception):
    pass


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fails":
        raise {"": ValueError, "mine": OutOfStock}.get(environ["QUERY_STRING"]) or type("E" + environ["QUERY_STRING"], (Exception,), {})
    if path == "/collect":
        gc.collect()
    if path == "/spin":
        # A thread that does not let go of the lock by itself.
        done = time.monotonic() + 0.2
        def spin():
            while time.monotonic() < done:
                pass
        threading.Thread(target=spin).start()
    if path == "/log":
        import logging
        logging.getLogger("gunicorn.error").warning("a warning")
    if path == "/wait":
        while not os.path.exists("go"):
            time.sleep(0.01)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def page(server):
    status, text = server.ask("/metrics")
    assert status == 200
    return text


def lint(text):
    """Also where there is no promtool: one HELP and TYPE for each family, no sample twice."""
    samples = [line.rpartition(" ")[0] for line in text.splitlines() if line and not line.startswith("#")]
    assert len(samples) == len(set(samples)), sorted(sample for sample in samples if samples.count(sample) > 1)
    kinds = re.findall(r"^# TYPE (\S+)", text, re.M)
    assert len(kinds) == len(set(kinds)) and kinds == re.findall(r"^# HELP (\S+)", text, re.M)
    if shutil.which("promtool"):
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture(scope="module", params=["1", "2"], ids=["inline", "threads"])
def server(request, tmp_path_factory):
    from conftest import Worker

    one = Worker(tmp_path_factory.mktemp("metrics"), SOURCE, "--workers", "1", "--threads", request.param).ready()
    yield one
    one.close()


def test_exceptions_are_counted_by_type(server):
    for query in ["", "", "mine"]:
        assert server.request(path=f"/fails?{query}")[0] == 500
    until(lambda: server.metric('monodon_worker_exceptions_total{type="ValueError"}') == 2, "the count")
    until(lambda: server.metric('monodon_worker_exceptions_total{type="app.OutOfStock"}') == 1, "the other")


def test_the_lock_is_waited_for_where_others_hold_it(server):
    def waited():
        # While the other thread spins, this one has to wait for the lock: five milliseconds, if nobody asks for less.
        with Client(server.address) as client:
            client.get("/spin")
            client.get("/")
            client.get("/")
        below = server.metric('monodon_worker_gil_wait_seconds_bucket{le="0.001"}')
        return server.metric("monodon_worker_gil_wait_seconds_count") > below

    until(waited, "a wait of more than a millisecond")
    text = page(server)
    bounds = [float(bound) for bound in re.findall(r'gil_wait_seconds_bucket\{le="([^"+]+)"', text)]
    assert sum(bound < 0.001 for bound in bounds) >= 3
    assert server.metric('monodon_worker_gil_wait_seconds_total{worker="0"}') > 0


def test_collections_of_garbage(server):
    before = server.metric('monodon_worker_gc_collections_total{generation="2"}')
    server.request(path="/collect")
    assert server.metric('monodon_worker_gc_collections_total{generation="2"}') >= before + 1
    assert server.metric("monodon_worker_gc_pause_seconds_total") > 0


def test_refusals_are_counted_by_reason(server):
    for sent in [b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"]:
        with Client(server.address) as client:
            client.send(sent)
            assert client.answer().status == 400
    for reason in ("host_missing", "bare_lf"):
        count = f'monodon_worker_requests_rejected_total{{reason="{reason}"}}'
        until(lambda: server.metric(count) >= 1, reason)


def test_messages_of_processes_are_counted_by_level(server):
    before = server.metric('monodon_worker_log_messages_total{level="warn"}')
    server.request(path="/log")
    until(lambda: server.metric('monodon_worker_log_messages_total{level="warn"}') > before, "the count")


def test_the_request_in_hand_shows_with_its_age(server):
    with Client(server.address) as client:
        client.ask("/wait")
        until(lambda: server.metric('monodon_worker_process_current_request_age_seconds{worker="0"}') > 0.1, "its age")
        assert server.metric("monodon_worker_requests_in_flight") == 1
        (server.folder / "go").touch()
        client.answer()
    until(lambda: server.metric("monodon_worker_requests_in_flight") == 0, "its end")


def test_the_backlog_of_each_socket(server):
    assert server.metric(f'monodon_worker_backlog{{listener="127.0.0.1:{server.port}"}}') == 0
    assert server.metric(f'monodon_worker_backlog_limit{{listener="127.0.0.1:{server.port}"}}') > 0


def test_everything_that_there_shall_be(server):
    """`field` by `field`: what an operator may build boards and alerts on."""
    server.request()
    text = page(server)
    names = set(re.findall(r"^# TYPE monodon_worker_(\S+) (\S+)", text, re.M))
    for name, kind in {
        "requests_total": "counter",
        "request_duration_seconds": "histogram",
        "request_queue_seconds": "histogram",
        "requests_in_flight": "gauge",
        "requests_abandoned_total": "counter",
        "request_bytes_total": "counter",
        "response_bytes_total": "counter",
        "connections_accepted_total": "counter",
        "process_connections": "gauge",
        "processes": "gauge",
        "slots": "gauge",
        "busy_seconds_total": "counter",
        "gil_wait_seconds": "histogram",
        "process_boot_seconds": "histogram",
        "process_restarts_total": "counter",
        "process_resident_memory_bytes": "gauge",
        "process_cpu_seconds_total": "counter",
        "process_start_time_seconds": "gauge",
        "process_current_request_age_seconds": "gauge",
        "backlog": "gauge",
        "log_messages_total": "counter",
        "log_lines_lost_total": "counter",
        "build_info": "gauge",
    }.items():
        assert (name, kind) in names, name


def test_labels_have_bounds_whatever_clients_and_applications_come_up_with(server):
    with Client(server.address) as client:
        for number in range(100):
            client.send(f"METHOD{number} /{number}?{number} HTTP/1.1\r\nHost: h{number}.example\r\nUser-Agent: a{number}\r\n\r\n")
            assert client.answer().status == 200
            client.get(f"/fails?{number}")
    until(lambda: server.metric('monodon_worker_exceptions_total{type="_other"}') >= 40, "the rest")
    others = 'monodon_worker_requests_total{interface="wsgi",method="_OTHER",code="200"}'
    until(lambda: server.metric(others) == 100, "their methods")
    text = page(server)
    lint(text)
    samples = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(samples) < 600
    assert not re.search(r"h\d+\.example|METHOD", text)
    assert len(re.findall("exceptions_total{", text)) <= 51

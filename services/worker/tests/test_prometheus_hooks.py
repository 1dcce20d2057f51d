"""prometheus_client's multiprocess mode as its documentation sets it up under gunicorn: a folder, and `child_exit`."""

import os
import re
import signal
import socket
import urllib.request

import pytest
from conftest import HELLO, alive, until
from hook_server import Hooked

pytest.importorskip("prometheus_client")

CONF = """
from prometheus_client import multiprocess

def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
"""

APP = """
import os
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest, multiprocess

SEEN = Counter("seen", "Requests.")
LIVE = Gauge("live", "Processes.", multiprocess_mode="livesum")
LIVE.set(1)

def application(environ, start_response):
    if environ["PATH_INFO"] == "/metrics":
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        body = generate_latest(registry)
    else:
        SEEN.inc()
        body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


def values(one):
    text = one.request(path="/metrics")[2].decode()
    return {name: float(value) for name, value in re.findall(r"^(seen_total|live) (\S+)$", text, re.M)}


@pytest.fixture(params=["environment", "raw_env"])
def one(request, tmp_path):
    """The folder is named where guides name it."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    (tmp_path / "app").mkdir()
    if request.param == "raw_env":
        conf, env = CONF + f"raw_env = ['PROMETHEUS_MULTIPROC_DIR={folder}']\n", {}
    else:
        conf, env = CONF, {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    one = Hooked(tmp_path / "app", conf, APP, "--workers", "2", env=env)
    yield one.ready()
    one.close()
    print(*one.log, *one.out, one.err(), sep="\n")


def test_the_dead_are_marked_and_their_counters_stay(one):
    pids = {int(one.request()[2]) for _ in range(10)}
    assert values(one) == {"seen_total": 10.0, "live": 2.0}
    victim = pids.pop()
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in one.pids() and len(one.pids()) == 2, "the replacement")
    until(lambda: values(one) == {"seen_total": 10.0, "live": 2.0}, "the values of before")
    # After a reload the processes of the zygote before it are marked as well.
    assert "reloaded" in one.tell("reload")
    until(lambda: values(one) == {"seen_total": 10.0, "live": 2.0}, "the values of before")
    one.ready()
    assert one.err() == ""


def test_a_server_that_when_ready_has_started_is_there_after_a_reload(tmp_path):
    """As prometheus_flask_exporter's `start_http_server_when_ready`: a thread in gunicorn's master that holds a port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    conf = f"""
from prometheus_client import start_http_server

def when_ready(server):
    start_http_server({port}, addr="127.0.0.1")
"""
    one = Hooked(tmp_path, conf, HELLO, "--workers", "1")
    try:
        one.ready()
        for _ in range(2):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                assert b"process_start_time_seconds" in answer.read()
            zygote = one.zygote()
            assert "reloaded" in one.tell("reload")
            until(lambda: not alive(zygote), "the end of the zygote before it")
            until(lambda: connects(port), "the server")
        assert one.err() == ""
    finally:
        one.close()
        print(*one.log, *one.out, one.err(), sep="\n")


def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True

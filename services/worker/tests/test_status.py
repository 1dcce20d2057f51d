"""`monodon-worker status`: what the processes do, like a top."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from conftest import until
from test_life import run
from test_supervisor import SLOW, in_background

from monodon import interpreter


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    """One process at work on a request, and one of its kind that was killed at it."""
    from conftest import Worker

    one = Worker(tmp_path_factory.mktemp("status"), SLOW, "--workers", "2").ready()
    in_background(one, "/sleep/killed?30")
    until((one.folder / "killed.in").exists, "the request")
    victim = next(row["pid"] for row in one.status()["processes"] if row["in_hand"])
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(one.pids()) == 2 and victim not in one.pids(), "the replacement")
    in_background(one, "/sleep/held?30")
    until((one.folder / "held.in").exists, "the request")
    yield one, victim
    one.close()


def test_the_table_says_what_each_process_does_and_why_others_have_ended(busy):
    one, victim = busy
    out = run(one, "status").stdout
    assert re.search(r"app:application on http://127.0.0.1:\d+: 2 of 2 processes serve, generation 1, up \d+s", out)
    assert re.search(r"Python 3\.\d+.*; memory \d+.*; ended: 1 signal", out)
    row = re.search(r"^ +(\d) +(\d+) +1  busy +\d+s +(\d+)M +(\d+)M +[\d.]+ +[\d.]+ +\d+ +1  GET /sleep/held\?30 for \d+ ms", out, re.M)
    assert row, out
    rss, pss = int(row[3]), int(row[4])
    assert 0 < pss <= rss
    assert re.search(rf"^ended \d+s ago: worker \d \(pid {victim}\): signal: GET /sleep/killed\?30 for \d+ ms", out, re.M)


def test_the_same_as_json(busy):
    one, victim = busy
    status = json.loads(run(one, "status", "--json").stdout)
    held = next(row for row in status["processes"] if row["in_hand"])
    assert held["state"] == "busy" and held["rss_bytes"] > held["pss_bytes"] > 1 << 20 and held["cpu_seconds"] >= 0
    assert dict(status["restarts"])["signal"] == 1
    assert status["ended"][0]["pid"] == victim


def test_it_is_refreshed_until_the_worker_is_gone(worker):
    one = worker("def application(e, s):\n    s('200 OK', [])\n    return []\n")
    place = ["--admin", "%s:%d" % one.admin, "--control", one.control]
    watch = subprocess.Popen(
        [sys.executable, "-m", "monodon", "status", "--watch", *place],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(2):
        until(lambda: "processes serve" in watch.stdout.readline(), "a table")
    one.signal(signal.SIGTERM)
    one.wait()
    _, err = watch.communicate(timeout=20)
    assert watch.returncode == 1 and "no worker answers" in err


def test_a_free_threaded_python_is_told(monkeypatch):
    """There is none on the machines that run this, so the interpreter's answers are put in its mouth."""
    version = interpreter.describe()
    assert re.fullmatch(r"3\.\d+\.\d+\S*", version) and interpreter.warning(1) is None
    monkeypatch.setattr(interpreter.sysconfig, "get_config_var", {"Py_GIL_DISABLED": 1}.get)
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert interpreter.describe() == f"{version} free-threaded"
    assert interpreter.warning(4) is None and "threads is 1" in interpreter.warning(1)
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: True, raising=False)
    assert interpreter.describe() == f"{version} free-threaded, but with its lock on"
    assert "extension module" in interpreter.warning(4)

"""gunicorn.conf.py: found, executed, taken over, and every slip in it told with file, line and key."""

import json
import os
import subprocess
import sys

import pytest

from conftest import HELLO

SHOW = """
import json, os, sys

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"cwd": os.getcwd(), "path": sys.path, "env": dict(os.environ)}).encode()]
"""


def refused(folder, *arguments, env=None):
    """Starts a worker that cannot start; gives what it says on stderr."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MONODON_", "GUNICORN_"))} | (env or {})
    ended = subprocess.run(
        [sys.executable, "-m", "monodon", "app:application", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert ended.returncode == 2, ended
    return ended.stderr


@pytest.fixture
def conf(tmp_path):
    """conf(text) -> the folder of a gunicorn.conf.py."""

    def write(text, name="gunicorn.conf.py"):
        (tmp_path / name).write_text(text)
        return tmp_path

    return write


def test_the_file_beside_the_worker_is_read_and_is_below_flags(worker):
    files = {"gunicorn.conf.py": "threads = 3\nworkers = 7\nkeepalive = 9\n"}
    server = worker(HELLO, "--workers", "1", files=files)
    assert server.started["threads"] == 3
    assert server.started["processes"] == 1


def test_the_environment_is_above_the_file_and_arguments_in_a_variable_between(worker):
    files = {"gunicorn.conf.py": "threads = 3\nmax_requests = 5\nworkers = 7\n"}
    env = {"MONODON_WORKER_THREADS": "2", "GUNICORN_CMD_ARGS": "--threads=4 -w 1 --preload --env 'A=1, 2'"}
    server = worker(SHOW, "--gunicorn-env", "--workers", "1", files=files, env=env)
    assert server.started["threads"] == 2


def test_what_a_mistake_looks_like(conf):
    said = refused(conf("import os\n\nworkers = 'many'\nthreads = [\n  1,\n]\nbackllog = 3\ntimeout = object()\n"))
    assert "gunicorn.conf.py:3: workers: expected `auto` or a whole number" not in said  # it comes once the kinds fit
    assert "gunicorn.conf.py:4: threads: expected a whole number from 1 to 1024, got a list" in said
    assert "gunicorn.conf.py:8: timeout: expected a plain value, got object" in said
    said = refused(conf("workers = 'many'\n"))
    assert "gunicorn.conf.py:1: workers: expected `auto` or a whole number" in said


def test_what_the_file_raises_is_shown_from_its_first_line(conf):
    said = refused(conf("def f():\n    raise ValueError('no such thing')\n\nf()\n"))
    first, second, *_, last = said.strip().splitlines()
    assert first == "monodon-worker: gunicorn.conf.py:2: the configuration cannot be executed: ValueError: no such thing" or (
        "gunicorn.conf.py:2:" in first
    )
    assert second == "Traceback (most recent call last):"
    assert "gunicorn_conf.py" not in said and "runpy" not in said
    assert last == "ValueError: no such thing"
    assert "gunicorn.conf.py:2:" in refused(conf("a = 1\nb = = 2\n"))
    assert "it called sys.exit(4)" in refused(conf("import sys\nsys.exit(4)\n"))

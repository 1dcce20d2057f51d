"""gunicorn.conf.py: found, executed, taken over, and every slip in it told with file, line and key."""

import json
import os
import subprocess
import sys

import pytest

from conftest import HELLO, until
from monodon import _monodon

SHOW = """
import json, os, sys

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"cwd": os.getcwd(), "path": sys.path, "env": dict(os.environ)}).encode()]
"""


def run(folder, *arguments, code=0, env=None):
    """Runs monodon-worker to its end."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MONODON_", "GUNICORN_"))} | (env or {})
    ended = subprocess.run(
        [sys.executable, "-m", "monodon", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == code, ended
    return ended


def refused(folder, *arguments, env=None):
    """Starts a worker that cannot start; gives what it says on stderr."""
    return run(folder, "app:application", *arguments, code=2, env=env).stderr


def effective(folder, *arguments):
    said = json.loads(_monodon.gunicorn_effective(list(arguments), [sys.executable], str(folder)))
    assert "problems" not in said, said
    return said


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
    assert first == "monodon-worker: gunicorn.conf.py:2: the configuration cannot be executed: ValueError: no such thing"
    assert second == "Traceback (most recent call last):"
    assert "gunicorn_conf.py" not in said and "runpy" not in said
    assert last == "ValueError: no such thing"
    assert "gunicorn.conf.py:2:" in refused(conf("a = 1\nb = = 2\n"))
    assert "it called sys.exit(4)" in refused(conf("import sys\nsys.exit(4)\n"))


def test_names_that_are_no_settings_are_the_files_own_but_slips_are_told(conf):
    folder = conf(
        "import os\nfrom os import path\n\nwrkers = 3\nhelper = 4\n_timeouts = 5\n\ndef timeouts(): pass\n\nthreads = helper\n"
    )
    said = effective(folder, "app")
    assert said["warnings"] == ["gunicorn.conf.py:4: wrkers is no setting; was workers meant?"]
    assert said["effective"]["threads"] == 4


def test_a_file_by_another_name_a_module_and_none(conf):
    folder = conf("threads = 2\n")
    conf("threads = 3\n", "other.py")
    conf("from base import *\nthreads = workers + 1\n", "settings.conf")
    conf("workers = 4\n", "base.py")
    conf('threads = 6\n', "own.toml")
    for named, threads in (
        (["-c", "other.py"], 3),
        (["--config=file:other.py"], 3),
        (["-cpython:other"], 3),
        (["-c", "settings.conf"], 5),
        (["-c", "own.toml"], 6),
        (["-c", "/dev/null"], 1),
        ([], 2),
    ):
        assert effective(folder, *named, "app")["effective"]["threads"] == threads, named
    assert "cannot read" in refused(folder, "-c", "nowhere.py")


def test_hooks_are_checked_when_the_file_is_read(conf):
    folder = conf(
        "import os\npost_fork = 3\npre_fork = 'os.nothing'\n\ndef when_ready(): pass\n\n"
        "def post_request(worker, req): pass\n\nchild_exit = lambda server, worker: None\non_exit = 'os.fspath'\n"
    )
    said = refused(folder)
    assert "gunicorn.conf.py:2: post_fork: expected a function, got 3" in said
    assert "gunicorn.conf.py:3: pre_fork: 'os.nothing' cannot be imported" in said
    assert "gunicorn.conf.py:5: when_ready: expected a function of 1 arguments" in said
    assert not any(name in said for name in ("post_request", "child_exit", "on_exit"))


def test_what_the_file_prints_is_not_taken_for_its_answer(conf):
    folder = conf("import os, sys\nprint('{')\nos.write(1, b'}')\nthreads = 2\n")
    assert effective(folder, "app")["effective"]["threads"] == 2


def test_relative_names_begin_where_the_worker_works_but_the_configurations_where_it_was_started(worker):
    files = {"conf.py": "chdir = 'site'\npidfile = 'run.pid'\nbind = ['127.0.0.1:0', 'unix:app.sock']\nworkers = 1\n", "site/app.py": SHOW}
    server = worker("", "-c", "conf.py", "--bind", "127.0.0.1:0", "--bind", "unix:app.sock", "--workers", "1", files=files)
    site = str(server.folder / "site")
    seen = json.loads(server.request()[2])
    assert seen["cwd"] == site
    # The folder that it was started in can be imported from, too, as under gunicorn.
    assert seen["path"].index(site) < seen["path"].index(str(server.folder))
    assert (server.folder / "site" / "app.sock").exists()
    assert int((server.folder / "site" / "run.pid").read_text()) == server.process.pid
    # A reload finds the same configuration.
    (server.folder / "conf.py").write_text("chdir = 'site'\npidfile = 'run.pid'\nthreads = 2\nraw_env = ['COLOUR=blue, green']\n")
    assert server.tell("reload").startswith("ok")
    assert json.loads(server.request()[2])["env"]["COLOUR"] == "blue, green"
    # A broken one is refused, and the old one serves on.
    (server.folder / "conf.py").write_text("chdir = 'site'\nthreads = 'many'\n")
    assert "conf.py:2: threads: expected a whole number" in server.tell("reload")
    assert server.request()[0] == 200


def test_arguments_in_a_variable_are_read_when_asked_for(conf, tmp_path, monkeypatch):
    folder = conf("threads = 2\nbacklog = 7\n")
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--threads 3 --bind=127.0.0.1:8001 -w 4")
    said = effective(folder, "app")
    assert said["warnings"] == ["GUNICORN_CMD_ARGS is set and not read; --gunicorn-env has it read"]
    assert said["effective"]["threads"] == 2
    found = effective(folder, "app", "--gunicorn-env", "-w5")["effective"]
    assert (found["threads"], found["bind"], found["workers"], found["backlog"]) == (3, ["127.0.0.1:8001"], 5, 7)
    monkeypatch.setenv("MONODON_WORKER_THREADS", "9")
    assert effective(folder, "app", "--gunicorn-env")["effective"]["threads"] == 9
    # It may name the configuration.
    conf("threads = 6\n", "other.py")
    monkeypatch.delenv("MONODON_WORKER_THREADS")
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "-c other.py")
    assert effective(folder, "app", "--gunicorn-env")["effective"]["threads"] == 6
    said = refused(folder, "--gunicorn-env", env={"GUNICORN_CMD_ARGS": "--thread 3 'x"})
    assert "GUNICORN_CMD_ARGS: a quote is not closed" in said
    said = refused(folder, "--gunicorn-env", env={"GUNICORN_CMD_ARGS": "--therads 3 --certfile=x app"})
    assert "GUNICORN_CMD_ARGS: --therads: no such flag; did you mean --threads?" in said
    assert "GUNICORN_CMD_ARGS: --certfile: TLS ends at the proxy" in said


def test_variables_that_give_defaults(conf, monkeypatch):
    folder = conf("")
    monkeypatch.setenv("PORT", "8011")
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.1")
    monkeypatch.setenv("SENDFILE", "no")
    found = effective(folder, "app")["effective"]
    assert (found["workers"], found["forwarded_allow_ips"], found["sendfile"]) == (3, ["10.0.0.1"], False)
    conf("forwarded_allow_ips = '*'\nworkers = 2\n")
    found = effective(folder, "app")["effective"]
    assert (found["workers"], found["forwarded_allow_ips"]) == (2, ["*"])


def test_classes_of_workers_are_ours_or_are_explained(conf):
    folder = conf("worker_class = 'gthread'\nthreads = 4\n")
    assert effective(folder, "app")["effective"]["worker_class"] == "gthread"
    assert "-k: \"gevent\" runs greenlets" in refused(folder, "-k", "gevent")
    conf("class Mine: pass\n\nworker_class = Mine\n")
    assert "gunicorn.conf.py:3: worker_class: \"__config__.Mine\" is a class of gunicorn's workers" in refused(folder)


def test_check_config_imports_the_application_and_ends(conf):
    folder = conf("threads = 2\nraw_env = ['COLOUR=blue']\n")
    conf("import os\nassert os.environ['COLOUR'] == 'blue'\napplication = print\n", "app.py")
    checked = run(folder, "app", "--check-config")
    assert (checked.stdout, checked.stderr) == ("", "")
    printed = run(folder, "app", "--print-config", "--timeout", "7").stdout.splitlines()
    assert "threads = 2  # gunicorn.conf.py:1" in printed
    assert 'timeout = "7s"  # --timeout' in printed
    assert "backlog = 2048" in printed
    broken = run(folder, "nothing:application", "--check-config", code=3).stderr
    assert "no module named 'nothing'" in broken and "check_config.py" not in broken
    run(folder, "app", "--check-config", "--threads", "0", code=2)


def test_what_print_config_prints_is_a_configuration(conf):
    folder = conf("raw_env = ['A=\"1\", 2']\nbind = ['127.0.0.1:8001', ':8002']\ntimeout = 3\numask = 0o022\n")
    conf("application = print\n", "app.py")
    (folder / "whole.toml").write_text(run(folder, "app", "--print-config").stdout)
    before, after = effective(folder, "app"), effective(folder, "app", "-c", "whole.toml")
    before["effective"]["config"] = after["effective"]["config"]
    assert after["effective"] == before["effective"]


def test_import_says_a_word_on_each_setting(conf):
    folder = conf(
        "import os\nworkers = 3\nloglevel = 'debug'\ncertfile = 'x.pem'\nspew = False\nhttp_parser = 'fast'\ntimout = 3\n"
        "worker_class = 'gevent'\npermit_obsolete_folding = True\n\ndef post_fork(server, worker): pass\n"
    )
    text = run(folder, "import").stdout
    for part in (
        "# workers (line 2): kept, and differs",
        "# loglevel (line 3): renamed to log_level",
        "# certfile (line 4): done by the edge",
        "# spew (line 5): left out, for it asks for nothing",
        "# http_parser (line 6): accepted, without meaning here",
        "# timout (line 7): no setting; was timeout meant?",
        "# worker_class (line 8): wrong: \"gevent\" runs greenlets",
        "# permit_obsolete_folding (line 9): not accepted. ",
        "# post_fork (line 11): a hook",
    ):
        assert part in text, text
    conf(text, "own.toml")
    found = effective(folder, "-c", "own.toml", "app")["effective"]
    assert (found["workers"], found["loglevel"]) == (3, "debug")
    assert "ValueError" in run(conf("raise ValueError('x')"), "import", "gunicorn.conf.py", code=2).stderr


def test_a_paste_file_names_the_application(conf):
    pytest.importorskip("paste.deploy")
    folder = conf(
        "[DEFAULT]\ncolour = red\n[app:main]\npaste.app_factory = shop:make\n[app:other]\npaste.app_factory = shop:make\nplace = there\n",
        "shop.ini",
    )
    conf("def make(settings, **own):\n    assert settings['colour'] == 'a=b', settings\n    return print if own else None\n", "shop.py")
    run(folder, "--paste", "shop.ini#other", "--paste-global", "colour=a\\=b", "--check-config")
    run(folder, "--paste", "shop.ini#other", "--check-config", code=3)
    assert "shop.ini: " not in refused(folder, "--paste", "shop.ini")
    assert "nowhere.ini is no file" in run(folder, "--paste", "nowhere.ini", code=2).stderr


def test_verbs_do_not_execute_a_configuration_that_says_nothing_of_where_the_worker_is(conf):
    folder = conf("raise ValueError('executed')\n")
    assert "executed" not in run(folder, "healthcheck", "--admin", "127.0.0.1:1", code=1).stderr
    conf("admin = '127.0.0.1:1'\nraise ValueError('executed')\n")
    assert "executed" in run(folder, "healthcheck", code=2).stderr


def test_no_control_socket_where_none_is_wanted(start):
    server = start(HELLO, "--no-control-socket", "--workers", "1")
    until(lambda: server.request()[0] == 200)
    assert not os.path.exists(server.control)
    said = run(server.folder, "status", "--no-control-socket", code=1).stderr
    assert "control_socket_disable is set" in said

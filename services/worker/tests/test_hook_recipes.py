"""What public configurations do with hooks, each as whole as it is found there."""

import json
import os
import signal
import threading

import pytest
from conftest import until
from hook_server import RECORD, Hooked

# Workers get small numbers that are used again: for ports, for caches, for locks.
NUMBERS = RECORD + """
def on_starting(server):
    server._spare = set()

def nworkers_changed(server, new_value, old_value):
    server._count = new_value

def next_number(server):
    if server._spare:
        return server._spare.pop()
    taken = {worker._number for worker in server.WORKERS.values() if worker.alive}
    return min(set(range(1, server._count + 1)) - taken)

def on_reload(server):
    server._spare = set(range(1, server.cfg.workers + 1))

def pre_fork(server, worker):
    worker._number = next_number(server)

def post_fork(server, worker):
    os.environ["NUMBER"] = str(worker._number)
    os.environ["LISTENERS"] = ",".join(str(listener) for listener in server.LISTENERS)

def child_exit(server, worker):
    note("child_exit", worker=worker.pid, number=worker._number, others=sorted(server.WORKERS))
"""

APP = """
import json, os

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({name: os.environ.get(name) for name in ("NUMBER", "LISTENERS")}).encode()]
"""


@pytest.fixture
def hooked(tmp_path):
    running = []

    def begin(conf, source=APP, *flags, **options):
        running.append(Hooked(tmp_path, conf, source, *flags, **options))
        return running[-1].ready()

    yield begin
    for one in running:
        one.close()
        print(*one.log, *one.out, one.err(), sep="\n")


def numbers(one):
    return {json.loads(one.request()[2])["NUMBER"] for _ in range(12)}


def test_workers_have_numbers_that_are_used_again(hooked):
    one = hooked(NUMBERS, APP, "--workers", "2")
    assert json.loads(one.request()[2])["LISTENERS"] == f"http://127.0.0.1:{one.port}"
    until(lambda: numbers(one) == {"1", "2"}, "the numbers")
    os.kill(one.pids()[0], signal.SIGKILL)
    until(lambda: len(one.pids()) == 2, "the replacement")
    until(lambda: numbers(one) == {"1", "2"}, "the numbers")
    first = one.zygote()
    old = set(one.pids())
    assert "reloaded" in one.tell("reload")
    until(lambda: numbers(one) == {"1", "2"}, "the numbers")
    # Workers of the zygote before it are known by what was noted on them.
    ends = until(lambda: len(one.events("child_exit")) == 3 and one.events("child_exit"), "the ends")
    assert {event["worker"] for event in ends[1:]} == old and {event["number"] for event in ends[1:]} == {1, 2}
    assert one.zygote() != first
    one.signal(signal.SIGTTIN)
    until(lambda: numbers(one) == {"1", "2", "3"}, "the third")


def test_a_zygote_that_has_died_leaves_its_workers_numbers_to_the_next(hooked):
    one = hooked(NUMBERS, APP, "--workers", "2")
    zygote, pids = one.zygote(), one.pids()
    os.kill(zygote, signal.SIGKILL)
    # It has no number to spare: those of the workers that go on are taken.
    one.hears("the zygote ended by SIGKILL")
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: len(one.pids()) == 2 and pids[0] not in one.pids(), "the replacement")
    until(lambda: numbers(one) == {"1", "2"}, "the numbers")
    (end,) = one.events("child_exit")
    assert end["worker"] == pids[0] and pids[1] in end["others"]


# A thread in gunicorn's master counts busy workers by memory that each shares with it.
BUSY = RECORD + """
import multiprocessing, threading, time

def when_ready(server):
    def watch():
        seen = None
        while True:
            busy = sum(worker.busy.value for worker in list(server.WORKERS.values()))
            if busy != seen:
                note("busy", busy=busy, of=server.num_workers)
                seen = busy
            time.sleep(0.01)
    threading.Thread(target=watch, daemon=True).start()

def pre_fork(server, worker):
    worker.busy = multiprocessing.Value("b", 0)

def pre_request(worker, req):
    worker.busy.value = 1

def post_request(worker, req, environ, resp):
    worker.busy.value = 0
"""

SLOW = """
import os, time

def application(environ, start_response):
    while not os.path.exists("go"):
        time.sleep(0.01)
    start_response("200 OK", [])
    return [b"done"]
"""


def test_a_thread_of_the_master_sees_what_workers_share_with_it(hooked):
    one = hooked(BUSY, SLOW, "--workers", "2")
    clients = [threading.Thread(target=one.request) for _ in range(2)]
    for client in clients:
        client.start()
    until(lambda: {"busy": 2, "of": 2}.items() <= (one.events("busy") or [{}])[-1].items(), "both busy")
    (one.folder / "go").touch()
    for client in clients:
        client.join()
    until(lambda: one.events("busy")[-1]["busy"] == 0, "both idle")
    # Such memory cannot be told to the next zygote, which does without the workers that have it.
    assert "reloaded" in one.tell("reload")
    assert one.request()[0] == 200


# Everything is prepared in the master, and what a fork would break is made anew in the worker.
POOLS = RECORD + """
def when_ready(server):
    server.app.wsgi().registered = os.getpid()

def post_fork(server, worker):
    import app
    app.application.pool = os.getpid()
    # multiprocessing's own cleaning up belongs to the master.
    import atexit
    from multiprocessing.util import _exit_function
    atexit.unregister(_exit_function)

def post_worker_init(worker):
    inner = worker.wsgi
    worker.wsgi = lambda environ, start_response: [b"wrapped ", *inner(environ, start_response)]

def worker_exit(server, worker):
    import app
    note("worker_exit", pool=app.application.pool)

def on_exit(server):
    note("on_exit", registered=server.app.wsgi().registered, pid=os.getpid())
"""

OBJECT = """
class Application:
    registered = pool = None

    def __call__(self, environ, start_response):
        start_response("200 OK", [])
        return [f"{self.registered} {self.pool}".encode()]

application = Application()
"""


def test_the_application_is_the_same_object_for_all_hooks(hooked):
    one = hooked(POOLS, OBJECT, "--workers", "1")
    (pid,), zygote = one.pids(), one.zygote()
    assert one.request()[2] == f"wrapped {zygote} {pid}".encode()
    one.signal(signal.SIGTERM)
    assert one.wait() == 0
    assert one.events("worker_exit")[0]["pool"] == pid
    assert one.events("on_exit")[0]["registered"] == zygote


# Hooks written for gunicorn look at its configuration.
SETTINGS = RECORD + """
workers = 1
threads = 3
timeout = 90
keepalive = 5
raw_env = ["A=1", "B=2"]
accesslog = "-"
proc_name = "shop"
loglevel = "info"

def on_starting(server):
    cfg = server.cfg
    note("on_starting", workers=cfg.workers, threads=cfg.threads, timeout=cfg.timeout, keepalive=cfg.keepalive,
         env=cfg.env, accesslog=cfg.accesslog, proc_name=cfg.proc_name, loglevel=cfg.loglevel.upper(), ssl=cfg.is_ssl,
         preload=cfg.preload_app, own=cfg.on_starting is on_starting, none=[cfg.user, cfg.pidfile, cfg.keyfile],
         value=cfg.settings["timeout"].value, environ=os.environ["A"])
    for name in KNOWN:
        getattr(cfg, name)
"""


def test_cfg_has_every_setting_of_gunicorn(hooked):
    config = pytest.importorskip("gunicorn.config")
    known = [setting.name for setting in config.KNOWN_SETTINGS]
    one = hooked(SETTINGS.replace("KNOWN", repr(known)), APP, "--workers", "1")
    (seen,) = one.events("on_starting")
    assert {name: seen[name] for name in ("workers", "threads", "timeout", "keepalive", "value")} == {
        "workers": 1,
        "threads": 3,
        "timeout": 90,
        "keepalive": 5,
        "value": 90,
    }
    assert seen["env"] == {"A": "1", "B": "2"} and seen["environ"] == "1"
    assert (seen["accesslog"], seen["proc_name"], seen["loglevel"]) == ("-", "shop", "INFO")
    assert seen["own"] and not seen["ssl"] and not seen["preload"] and len(seen["none"]) == 3

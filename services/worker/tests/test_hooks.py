"""gunicorn's server hooks: which process calls them, when, how often, and what becomes of one that fails."""

import os
import signal

import pytest
from conftest import alive, parent_of, until
from hook_server import RECORD, Hooked

ALL = RECORD + """
def on_starting(server):
    server.mine = {"kept": "in the zygote"}
    note("on_starting", num=server.num_workers, server=server.pid)

def on_reload(server):
    note("on_reload", cfg=server.cfg.workers)

def when_ready(server):
    note("when_ready", address=[list(one) for one in server.address], listeners=[str(one) for one in server.LISTENERS])

def pre_fork(server, worker):
    worker.number = server.worker_age
    note("pre_fork", age=worker.age, worker=worker.pid, mine=server.mine)

def post_fork(server, worker):
    os.environ["WORKER_NUMBER"] = str(worker.number)
    note("post_fork", age=worker.age, worker=worker.pid, ppid=worker.ppid, imported="app" in sys.modules)

def post_worker_init(worker):
    note("post_worker_init", imported="app" in sys.modules, wsgi=callable(worker.wsgi), booted=worker.booted)

def worker_int(worker):
    note("worker_int", alive=worker.alive)

def worker_exit(server, worker):
    note("worker_exit", worker=worker.pid, nr=worker.nr)

def child_exit(server, worker):
    note("child_exit", worker=worker.pid, age=worker.age, others=sorted(server.WORKERS))

def nworkers_changed(server, new_value, old_value):
    note("nworkers_changed", new=new_value, old=old_value, num=server.num_workers)

def on_exit(server):
    note("on_exit", workers=len(server.WORKERS))
"""

APP = """
import os

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {os.environ.get('WORKER_NUMBER')}".encode()]
"""


@pytest.fixture
def hooked(tmp_path):
    """A worker with this configuration."""
    running = []

    def begin(conf, source=APP, *flags, **options):
        running.append(Hooked(tmp_path, conf, source, *flags, **options))
        return running[-1]

    yield begin
    for one in running:
        one.close()
        print(*one.log, *one.out, one.err(), sep="\n")


def names(events):
    return [event["hook"] for event in events]


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["plain", "preload"])
def test_the_arbiters_hooks_run_in_the_zygote_and_the_workers_in_the_worker(hooked, preload):
    one = hooked(ALL, APP, "--workers", "2", *preload).ready()
    pids, zygote = set(one.pids()), one.zygote()
    events = one.events()
    assert names(events)[:3] == ["nworkers_changed", "on_starting", "when_ready"]
    arbiter = [event for event in events if event["hook"] in ("nworkers_changed", "on_starting", "when_ready", "pre_fork")]
    assert {event["pid"] for event in arbiter} == {zygote}
    assert names(arbiter).count("when_ready") == 1
    (first,) = one.events("nworkers_changed")
    assert (first["new"], first["old"], first["num"]) == (2, None, 2)
    assert one.events("on_starting")[0]["server"] == one.process.pid
    (ready,) = one.events("when_ready")
    assert ready["listeners"] == [f"http://127.0.0.1:{one.port}"]
    assert [event["age"] for event in one.events("pre_fork")] == [1, 2]
    assert all(event["worker"] == "[booting]" and event["mine"] for event in one.events("pre_fork"))
    forked = one.events("post_fork")
    assert {event["pid"] for event in forked} == {event["worker"] for event in forked} == pids
    assert all(event["ppid"] == zygote and event["imported"] is bool(preload) for event in forked)
    begun = one.events("post_worker_init")
    assert {event["pid"] for event in begun} == pids
    assert all(event["imported"] and event["wsgi"] and not event["booted"] for event in begun)
    # What post_fork has put into the environment is there for the application.
    assert one.request()[2].split()[1] in (b"1", b"2")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT], ids=["TERM", "INT", "QUIT"])
def test_the_end_of_each_worker_and_then_of_the_server_is_told(hooked, number):
    one = hooked(ALL, APP, "--workers", "2").ready()
    pids, zygote = set(one.pids()), one.zygote()
    one.request()
    one.signal(number)
    assert one.wait() == 0
    ends = one.events("worker_exit")
    assert {event["pid"] for event in ends} == {event["worker"] for event in ends} == pids
    assert sorted(event["nr"] for event in ends) == [0, 1]
    told = one.events("child_exit")
    assert {event["worker"] for event in told} == pids and {event["pid"] for event in told} == {zygote}
    last = one.events()[-1]
    assert (last["hook"], last["pid"], last["workers"]) == ("on_exit", zygote, 0)
    assert len(one.events("on_exit")) == 1
    interrupted = {event["pid"] for event in one.events("worker_int")}
    assert interrupted == (set() if number == signal.SIGTERM else pids)


def test_child_exit_is_told_of_a_process_that_was_killed(hooked):
    one = hooked(ALL, APP, "--workers", "2").ready()
    victim, other = one.pids()
    os.kill(victim, signal.SIGKILL)
    (told,) = until(lambda: one.events("child_exit"), "child_exit")
    assert told["worker"] == victim and told["pid"] == parent_of(other)
    assert victim not in told["others"] and other in told["others"]
    assert not one.events("worker_exit")
    until(lambda: len(one.pids()) == 2, "the replacement")
    assert [event["age"] for event in one.events("pre_fork")] == [1, 2, 3]


def test_a_number_of_workers_that_changes_is_told_with_the_one_before(hooked):
    one = hooked(ALL, APP, "--workers", "1").ready()
    one.signal(signal.SIGTTIN)
    until(lambda: len(one.pids()) == 2, "the second process")
    one.signal(signal.SIGTTOU)
    until(lambda: len(one.pids()) == 1, "one process")
    # The zygote hears of it beside the process that leaves.
    until(lambda: len(one.events("nworkers_changed")) == 3, "the words")
    changes = [(event["new"], event["old"], event["num"]) for event in one.events("nworkers_changed")]
    assert changes == [(1, None, 1), (2, 1, 2), (1, 2, 1)]


def test_a_hook_may_ask_for_another_number_of_workers(hooked):
    conf = RECORD + """
def when_ready(server):
    server.num_workers += 1

def nworkers_changed(server, new, old):
    note("nworkers_changed", new=new, old=old)
"""
    one = hooked(conf, APP, "--workers", "1").ready()
    until(lambda: len(one.pids()) == 2, "the second process")
    assert [(event["new"], event["old"]) for event in one.events()] == [(1, None), (2, 1)]


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["plain", "preload"])
def test_a_reload_calls_the_hooks_in_a_new_zygote_that_hears_of_all_processes(hooked, preload):
    one = hooked(ALL, APP, "--workers", "2", *preload).ready()
    old, before = set(one.pids()), one.zygote()
    count = len(one.events())
    assert "reloaded" in one.tell("reload")
    fresh, after = set(one.pids()), one.zygote()
    assert before != after and not fresh & old
    until(lambda: len(one.events("child_exit")) == 2, "child_exit")
    until(lambda: len(one.events("when_ready")) == 2, "when_ready")
    until(lambda: not alive(before), "the end of the zygote before it")
    events = one.events()[count:]
    assert names(events)[:3] == ["nworkers_changed", "on_starting", "on_reload"]
    arbiter = ("nworkers_changed", "on_starting", "on_reload", "when_ready", "pre_fork")
    assert {event["pid"] for event in events if event["hook"] in arbiter} == {after}
    (change,) = [event for event in events if event["hook"] == "nworkers_changed"]
    assert (change["new"], change["old"]) == (2, 2)
    # Each is told once, and by whom it was heard does not matter.
    assert {event["worker"] for event in one.events("child_exit")} == old
    assert [event["age"] for event in one.events("pre_fork")] == [1, 2, 3, 4]
    assert not one.events("on_exit")
    one.signal(signal.SIGTERM)
    assert one.wait() == 0
    assert [event["pid"] for event in one.events("on_exit")] == [after]
    assert {event["worker"] for event in one.events("child_exit")} == old | fresh


def test_a_zygote_that_dies_is_replaced_by_one_that_hears_of_its_processes(hooked):
    one = hooked(ALL, APP, "--workers", "1").ready()
    (pid,), zygote = one.pids(), one.zygote()
    os.kill(zygote, signal.SIGKILL)
    until(lambda: len(one.events("when_ready")) == 2, "the next zygote")
    os.kill(pid, signal.SIGKILL)
    (told,) = until(lambda: one.events("child_exit"), "child_exit")
    assert told["worker"] == pid and told["pid"] != zygote


@pytest.mark.parametrize("hook", ["on_starting", "when_ready", "pre_fork"])
def test_a_hook_of_the_arbiters_that_fails_at_the_start_ends_the_server(hooked, hook):
    arguments = "server, worker" if hook == "pre_fork" else "server"
    one = hooked(f"def {hook}({arguments}):\n    raise ValueError('no such thing')\n", APP, "--workers", "1")
    assert one.wait() == 1
    assert one.err().rstrip().splitlines()[-1].startswith(f"the hook {hook} of {one.folder}/gunicorn.conf.py has failed")
    assert 'gunicorn.conf.py", line 2' in one.err() and "ValueError: no such thing" in one.err()


def test_a_hook_may_end_the_server_with_a_code(hooked):
    one = hooked("import sys\ndef on_starting(server):\n    sys.exit(7)\n")
    assert one.wait() == 7


@pytest.mark.parametrize("hook", ["post_fork", "post_worker_init"])
def test_a_hook_of_a_worker_that_fails_at_its_start_is_a_failed_start(hooked, hook):
    arguments = "server, worker" if hook == "post_fork" else "worker"
    conf = RECORD + f"""
def {hook}({arguments}):
    raise ValueError('no such thing')

def worker_exit(server, worker):
    note("worker_exit")

def on_exit(server):
    note("on_exit")
"""
    one = hooked(conf, APP, "--workers", "1")
    assert one.wait() == 3
    assert f"the hook {hook} of" in one.err() and "ValueError: no such thing" in one.err()
    assert "cannot be imported" not in one.err()
    assert names(one.events()) == ["worker_exit", "on_exit"]


def test_hooks_that_fail_while_the_server_serves_are_logged_and_nothing_ends(hooked):
    conf = """
import os

def fails():
    if os.path.exists("ready"):
        raise ValueError("no such thing")

def nworkers_changed(server, new, old):
    fails()

def child_exit(server, worker):
    fails()

def worker_exit(server, worker):
    fails()

def when_ready(server):
    open("ready", "w").close()

def on_exit(server):
    fails()
"""
    one = hooked(conf, APP, "--workers", "1").ready()
    one.signal(signal.SIGTTIN)
    until(lambda: len(one.pids()) == 2, "the second process")
    one.signal(signal.SIGTERM)
    assert one.wait() == 0
    for hook in ("nworkers_changed", "child_exit", "worker_exit", "on_exit"):
        until(lambda: f"the hook {hook} of " in one.told(), hook)


def test_a_reload_whose_hook_fails_is_refused(hooked):
    conf = """
import os
def on_reload(server):
    raise ValueError("not today")
"""
    one = hooked(conf, APP, "--workers", "1").ready()
    pids = one.pids()
    answer = one.tell("reload")
    assert "not reloaded" in answer and "on_reload" in answer and "not today" in answer
    assert one.pids() == pids and one.request()[0] == 200


def test_what_is_sent_to_gunicorns_master_reaches_the_supervisor(hooked):
    source = """
import os, signal

def application(environ, start_response):
    number = getattr(signal, environ["PATH_INFO"].strip("/"), None)
    if number:
        os.kill(os.getppid(), number)
    start_response("200 OK", [])
    return [b"sent"]
"""
    one = hooked(ALL, source, "--workers", "1").ready()
    one.request(path="/SIGTTIN")
    until(lambda: len(one.pids()) == 2, "the second process")
    one.request(path="/SIGTERM")
    # As when a whole group is told, the supervisor hears it too: that is no second signal.
    one.signal(signal.SIGTERM)
    assert one.wait() == 0
    assert not one.events("worker_int")

"""`worker_int` and `worker_abort`: called where the signal finds the application, which then gets to its `finally`."""

import os
import signal
import threading

import pytest
from conftest import until
from hook_server import RECORD, Hooked

CONF = RECORD + """
import threading, time, traceback

def stacks():
    # What guides recommend: the frames of all threads.
    return "".join("".join(traceback.format_stack(frame)) for frame in sys._current_frames().values())

def worker_int(worker):
    note("worker_int", hangs="in hang" in stacks(), main=threading.current_thread() is threading.main_thread())

def worker_abort(worker):
    note("worker_abort", hangs="in hang" in stacks(), worker=worker.pid, alive=worker.alive)

def worker_exit(server, worker):
    note("worker_exit")

def child_exit(server, worker):
    note("child_exit", worker=worker.pid)
"""

APP = """
import time

def hang():
    open("hanging", "w").close()
    try:
        time.sleep(60)
    finally:
        open("finally", "w").close()

def application(environ, start_response):
    if environ["PATH_INFO"] == "/hang":
        hang()
    start_response("200 OK", [])
    return [b"hello"]
"""


@pytest.fixture(params=["1", "3"], ids=["inline", "threads"])
def hanging(request, tmp_path):
    """One process, in which a request hangs."""
    one = None

    def begin(*flags, conf=CONF):
        nonlocal one
        one = Hooked(tmp_path, conf, APP, "--workers", "1", "--threads", request.param, *flags).ready()
        (one.pid,) = one.pids()
        one.inline = request.param == "1"
        threading.Thread(target=ask, args=(one,), daemon=True).start()
        until((one.folder / "hanging").exists, "the request")
        return one

    def ask(one):
        try:
            one.answer = one.request(path="/hang")[0]
        except OSError as error:
            one.answer = error

    yield begin
    one.close()
    print(*one.log, *one.out, one.err(), sep="\n")


def names(one):
    return [event["hook"] for event in one.events()]


def test_a_worker_that_hangs_calls_worker_abort_while_it_does(hanging):
    one = hanging("--timeout", "1s", "--graceful-timeout", "1s")
    until(lambda: one.events("child_exit"), "the end")
    assert names(one) == ["worker_abort", "worker_exit", "child_exit"]
    (seen,) = one.events("worker_abort")
    assert seen["worker"] == one.pid and seen["hangs"] and not seen["alive"]
    until(lambda: hasattr(one, "answer"), "the answer")
    assert one.answer == 504
    # The main thread is interrupted; another one cannot be.
    assert (one.folder / "finally").exists() == one.inline
    until(lambda: one.pids() and one.pids() != [one.pid], "the replacement")
    assert one.metric('monodon_worker_process_restarts_total{reason="timeout"}') == 1


def test_a_worker_that_is_told_to_stop_at_once_calls_worker_int_where_it_is(hanging):
    one = hanging()
    one.signal(signal.SIGQUIT)
    assert one.wait() == 0
    assert names(one) == ["worker_int", "worker_exit", "child_exit"]
    (seen,) = one.events("worker_int")
    assert seen["hangs"] and seen["main"]
    assert (one.folder / "finally").exists() == one.inline


def test_a_signal_to_one_worker_reaches_its_hook(hanging):
    one = hanging()
    os.kill(one.pid, signal.SIGINT)
    until(lambda: one.events("child_exit"), "the end")
    assert names(one) == ["worker_int", "worker_exit", "child_exit"]
    until(lambda: one.pids() and one.pids() != [one.pid], "the replacement")


@pytest.mark.parametrize("hook", ["worker_int", "worker_abort"])
def test_a_hook_of_a_signal_that_fails_is_named_and_the_worker_ends(hanging, hook):
    conf = RECORD + f"""
def {hook}(worker):
    raise TimeoutError("this took too long")

def worker_exit(server, worker):
    note("worker_exit")
"""
    one = hanging(conf=conf)
    os.kill(one.pid, signal.SIGINT if hook == "worker_int" else signal.SIGABRT)
    until(lambda: one.events("worker_exit"), "the end")
    until(lambda: f"the hook {hook} of" in one.told() and "TimeoutError: this took too long" in one.told(), "the words")


def test_a_failing_worker_exit_does_not_keep_the_worker(hanging):
    one = hanging("--timeout", "1s", "--graceful-timeout", "1s", conf="def worker_exit(server, worker):\n    1 / 0\n")
    until(lambda: one.pids() and one.pids() != [one.pid], "the replacement")
    until(lambda: "the hook worker_exit of" in one.told(), "the words")

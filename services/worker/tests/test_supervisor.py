"""The processes: replaced when they die or hang, reloaded and recycled without a lost request, never left as orphans."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from conftest import HELLO, Load, alive, parent_of, until

SLOW = """
import os, time

def application(environ, start_response):
    path = environ["PATH_INFO"]
    body = environ["wsgi.input"].read()
    if path.startswith("/sleep/"):
        open(path.rpartition("/")[2] + ".in", "w").close()
        time.sleep(float(environ["QUERY_STRING"] or 1))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode() + b" " + body]
"""


def in_background(worker, path):
    """Sends a request and returns a function that waits for its answer."""
    import threading

    result = {}

    def run():
        try:
            result["answer"] = worker.request(path=path)
        except OSError as error:
            result["answer"] = error

    thread = threading.Thread(target=run)
    thread.start()

    def wait():
        thread.join(30)
        return result["answer"]

    return wait


def test_a_killed_process_is_replaced_at_once_and_named(worker):
    one = worker()
    before = set(one.pids())
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(one.pids()) == 2 and victim not in one.pids(), "the replacement")
    assert "SIGKILL" in one.hears("process ended by")["message"]
    assert one.metric('monodon_worker_process_restarts_total{reason="signal"}') == 1
    assert one.request()[0] == 200


def test_killing_a_process_under_load_loses_at_most_what_it_had_in_hand(worker):
    one = worker(HELLO, "--workers", "2")
    with Load(one, clients=4) as load:
        load.more()
        os.kill(one.pids()[0], signal.SIGKILL)
        until(lambda: len(one.pids()) == 2, "the replacement")
        load.more()
    # A connection that was the killed process's dies with it: at most one request on each client.
    assert len(load.failed) <= 4, load.failed


def test_a_hung_request_is_answered_with_504_and_its_process_replaced(worker):
    one = worker(SLOW, "--timeout", "1s")
    before = one.pids()
    status, headers, _ = one.request(path="/sleep/a?20")
    assert status == 504
    assert {name.lower(): value for name, value in headers.items()}["x-monodon-killed"] == "timeout"
    until(lambda: len(one.pids()) == 2 and set(one.pids()) != set(before), "the replacement")
    assert one.metric('monodon_worker_process_restarts_total{reason="timeout"}') == 1
    # What hung is told, for how long, and where.
    line = one.hears("took longer than the timeout")
    assert (line["method"], line["path"]) == ("GET", "/sleep/a?20") and line["pid"] in before
    assert 1000 <= line["age_ms"] < 20000
    assert "in application" in one.hears("Python stacks of process")["message"]
    # SIGABRT has ended it, and has not written the stacks once more.
    assert "SIGABRT" in one.hears("process ended by")["message"]
    assert "in application" not in one.err()


def test_a_process_stopped_from_outside_is_killed_by_the_supervisor(worker):
    one = worker(SLOW, "--timeout", "1s", "--workers", "1")
    answer = in_background(one, "/sleep/b?20")
    until((one.folder / "b.in").exists, "the request")
    (pid,) = one.pids()
    # Its own watchdog cannot act now.
    os.kill(pid, signal.SIGSTOP)
    until(lambda: not alive(pid), "the kill")
    answer()
    until(lambda: one.pids() and pid not in one.pids(), "the replacement")
    line = one.hears("hung: past its timeout")
    assert "/sleep/b" in line["in_hand"]
    assert one.metric('monodon_worker_process_restarts_total{reason="timeout"}') == 1


def test_a_process_whose_thread_never_lets_go_of_python_is_replaced(worker):
    source = """
    import os, re, threading

    def hog():
        re.match(r"(a+)+$", "a" * 64 + "b")

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/hog":
            threading.Timer(0.2, hog).start()
        start_response("200 OK", [])
        return [str(os.getpid()).encode()]
    """
    one = worker(source, "--timeout", "1s", "--workers", "1")
    pid = int(one.request(path="/hog")[2])
    until(lambda: not alive(pid), "the kill")
    until(lambda: one.pids(), "the replacement")
    assert one.request()[0] == 200
    # Where it hung is told.
    assert "in hog" in one.hears("Python stacks of process")["message"]


def test_a_crash_shows_python_s_stack(worker):
    source = """
    import ctypes
    def application(environ, start_response):
        ctypes.string_at(0)
    """
    one = worker(source)
    before = set(one.pids())
    with pytest.raises(OSError):
        one.request()
    until(lambda: len(one.pids()) == 2 and before != set(one.pids()), "the replacement")
    assert "SIGSEGV" in one.hears("process ended by")["message"]
    assert "GET /" in one.hears("process ended by")["in_hand"]
    assert "in application" in one.err()


def test_an_application_that_breaks_while_it_serves_is_tried_again_and_again(worker):
    one = worker(HELLO, "--workers", "1")
    (pid,) = one.pids()
    one.write("raise RuntimeError('broken meanwhile')")
    os.kill(pid, signal.SIGKILL)
    until(lambda: one.metric('monodon_worker_process_restarts_total{reason="boot_error"}') >= 2, "two attempts")
    assert one.err().count("Traceback") == 1
    status, body = one.ask("/readyz")
    assert status == 503 and "broken meanwhile" in body
    one.write(HELLO)
    one.ready()
    assert one.request()[0] == 200


def test_what_is_registered_for_the_end_runs(worker):
    one = worker("import atexit\natexit.register(lambda: print('good bye'))\n" + HELLO, "--workers", "1")
    one.signal(signal.SIGTERM)
    assert one.wait() == 0
    # Whole, but perhaps not on a line of its own: the supervisor writes to the same stdout.
    assert any("good bye" in line for line in one.out)


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["each", "preload"])
def test_a_reload_under_load_loses_no_request(worker, preload):
    one = worker(HELLO, *preload)
    before = set(one.pids())
    with Load(one) as load:
        for generation in (2, 3):
            load.more()
            assert one.tell("reload") == f"ok reloaded: generation {generation}"
        load.more()
    assert load.failed == []
    assert not before & set(one.pids())


def test_a_reload_by_signal_brings_the_new_code_also_with_preload(worker):
    one = worker("def application(e, s):\n    s('200 OK', [])\n    return [b'old']\n", "--preload")
    assert one.request()[2] == b"old"
    one.write("def application(e, s):\n    s('200 OK', [])\n    return [b'new']\n")
    one.signal(signal.SIGHUP)
    one.hears("reloaded")
    assert one.request()[2] == b"new"


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["each", "preload"])
def test_a_reload_of_broken_code_keeps_the_old_processes_and_tells_once(worker, preload):
    one = worker(HELLO, *preload)
    before = one.pids()
    one.write("raise RuntimeError('broken on purpose')")
    assert one.tell("reload").startswith("failed not reloaded: RuntimeError: broken on purpose")
    until(lambda: len(one.status()["processes"]) == 2, "the failed ones to go")
    assert one.pids() == before
    assert one.err().count("Traceback") == 1
    assert one.ask("/readyz")[0] == 200
    assert "broken on purpose" in one.ask("/readyz")[1]
    assert one.request()[0] == 200
    one.write(HELLO)
    assert one.tell("reload").startswith("ok")
    assert not set(before) & set(one.pids())
    assert "broken" not in one.ask("/readyz")[1]


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["each", "preload"])
def test_an_application_that_cannot_be_imported_is_exit_3_and_one_traceback(start, preload):
    one = start("import os\n\nos.environ['SURELY_MISSING']\n", *preload)
    assert one.wait() == 3
    assert one.err().count("Traceback") == 1
    assert "KeyError: 'SURELY_MISSING'" in one.err()
    # Nothing of ours is in the way.
    assert "importer.py" not in one.err()


def test_a_missing_module_or_attribute_is_told_in_a_sentence(start):
    one = start(HELLO, app="nothing.there")
    assert one.wait() == 3
    assert "no module named 'nothing'" in one.err() and "Traceback" not in one.err()
    two = start(HELLO, app="app:app")
    assert two.wait() == 3
    assert "it does have app:application" in two.err()


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["each", "preload"])
def test_a_boot_that_takes_too_long_is_exit_3(start, preload):
    # Within the time the interpreter itself must have started.
    one = start("import time\ntime.sleep(60)\n", "--boot-timeout", "3s", *preload)
    assert one.wait() == 3
    # And where it was.
    assert "boot_timeout (3 s); above is where it was" in one.err()
    assert 'app.py", line 2' in one.err()


def test_an_interpreter_that_does_not_even_start_in_time_is_exit_3(start):
    # It stands still before anything of ours runs in it, but only where the application would be imported.
    stuck = "import signal, sys\nif 'monodon.zygote' in sys.orig_argv:\n    signal.pause()\n"
    one = start("", "--boot-timeout", "100ms", files={"sitecustomize.py": stuck}, env={"PYTHONPATH": "."})
    assert one.wait() == 3
    # Nothing was there yet to tell where it was.
    assert "boot_timeout (0.1 s)\n" in one.err() and "above" not in one.err()


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["each", "preload"])
def test_an_import_that_kills_is_exit_3(start, preload):
    one = start("import ctypes\nctypes.string_at(0)\n", *preload)
    assert one.wait() == 3
    assert "cannot be imported" in one.err() and "Segmentation fault" in one.err()


def test_recycling_under_load_loses_no_request(worker):
    one = worker(HELLO, "--max-requests", "40", "--max-requests-jitter", "10")
    before = set(one.pids())
    with Load(one) as load:
        load.more(400)
        # Which of them has the connections, and so comes to its number first, is chance.
        until(lambda: load.failed or not before & set(one.pids()), "both to be recycled")
    assert load.failed == []
    until(lambda: one.metric('monodon_worker_process_restarts_total{reason="max_requests"}') >= 2, "their ends")


def test_sigterm_finishes_what_runs(worker):
    one = worker(SLOW)
    answer = in_background(one, "/sleep/c?1")
    until((one.folder / "c.in").exists, "the request")
    one.signal(signal.SIGTERM)
    assert answer()[0] == 200
    assert one.wait() == 0


def test_sigterm_answers_what_the_kernel_has_taken(worker):
    source = SLOW.replace('time.sleep(float(environ["QUERY_STRING"] or 1))', 'while not os.path.exists("go"): time.sleep(0.01)')
    one = worker(source, "--workers", "1")
    answers = [in_background(one, "/sleep/b")]
    until((one.folder / "b.in").exists, "the request")
    # Nobody is free to take these: they wait in the listening socket, which takes them along when it closes.
    answers += [in_background(one, "/") for _ in range(8)]
    until(lambda: one.metric("monodon_worker_backlog") == 8, "all to be there")
    one.signal(signal.SIGTERM)
    until(lambda: one.ask("/readyz")[0] == 503, "readiness to fail")
    (one.folder / "go").touch()
    assert [answer()[0] for answer in answers] == [200] * 9
    assert one.wait() == 0


def test_shutdown_delay_fails_readiness_and_serves_on(worker):
    one = worker(HELLO, "--shutdown-delay", "60s")
    one.signal(signal.SIGTERM)
    until(lambda: one.ask("/readyz")[0] == 503, "readiness to fail")
    assert one.request()[0] == 200
    # A second signal is quick.
    one.signal(signal.SIGTERM)
    assert one.wait() == 0


def test_after_the_shutdown_delay_it_ends(worker):
    one = worker(HELLO, "--shutdown-delay", "300ms")
    began = time.monotonic()
    one.signal(signal.SIGTERM)
    assert one.wait() == 0
    assert time.monotonic() - began >= 0.3


def test_graceful_timeout_cuts(worker):
    one = worker(SLOW, "--graceful-timeout", "1s", "--timeout", "60s")
    in_background(one, "/sleep/d?50")
    until((one.folder / "d.in").exists, "the request")
    one.signal(signal.SIGTERM)
    assert one.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_quick_stop(worker, number):
    one = worker(SLOW)
    in_background(one, "/sleep/e?50")
    until((one.folder / "e.in").exists, "the request")
    pids = one.pids()
    one.signal(number)
    assert one.wait() == 0
    assert not any(alive(pid) for pid in pids)


def test_nobody_survives_a_killed_supervisor(worker):
    one = worker()
    pids = [*one.pids(), one.zygote()]
    address = one.address
    one.process.kill()
    one.wait()
    until(lambda: not any(alive(pid) for pid in pids), "everybody to go")
    import socket

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=2)


def test_a_killed_zygote_is_replaced_and_no_request_is_lost(worker):
    one = worker(HELLO, "--preload")
    before = one.pids()
    zygote = one.zygote()
    with Load(one) as load:
        load.more()
        os.kill(zygote, signal.SIGKILL)
        until(lambda: parent_of(before[0]) == one.process.pid, "the adoption")
        load.more()
    assert load.failed == []
    assert one.pids() == before
    # And the new one forks.
    os.kill(before[0], signal.SIGKILL)
    until(lambda: len(one.pids()) == 2 and before[0] not in one.pids(), "the replacement")


def test_more_and_fewer_processes_by_signal(worker):
    one = worker()
    one.signal(signal.SIGTTIN)
    until(lambda: len(one.pids()) == 3, "a third process")
    # One after another: two signals at once are one.
    for left in (2, 1):
        one.signal(signal.SIGTTOU)
        until(lambda left=left: len(one.status()["processes"]) == left, f"{left} processes")
    assert one.request()[0] == 200


def test_web_concurrency_is_honoured_and_a_flag_wins(worker):
    assert len(worker(HELLO, env={"WEB_CONCURRENCY": "3"}).pids()) == 3
    assert len(worker(HELLO, "--workers", "1", env={"WEB_CONCURRENCY": "3"}).pids()) == 1


def test_wrong_configuration_is_exit_2_with_everything_that_is_wrong(start):
    one = start(HELLO, "--timeout", "soon", env={"MONODON_WORKER_WOKERS": "2"})
    assert one.wait() == 2
    assert "MONODON_WORKER_WOKERS" in one.err() and "MONODON_WORKER_WORKERS" in one.err()
    assert "--timeout" in one.err()


def test_required_variables(start, tmp_path):
    one = start(HELLO, "--required-env", "SECRET_KEY,DATABASE_URL")
    assert one.wait() == 2
    assert "SECRET_KEY, DATABASE_URL" in one.err()
    (tmp_path / "key").write_text("from a file\n")
    source = """
    import os
    def application(environ, start_response):
        start_response("200 OK", [])
        return [os.environ["SECRET_KEY"].encode()]
    """
    two = start(source, "--required-env", "SECRET_KEY", env={"SECRET_KEY_FILE": str(tmp_path / "key")}).ready()
    assert two.request()[2] == b"from a file"


def test_preload_warns_of_threads(worker):
    source = """
    import threading, time
    threading.Thread(target=time.sleep, args=(600,), daemon=True, name="refresher").start()
    """ + HELLO.replace("\n", "\n    ")
    one = worker(source, "--preload")
    assert one.hears("has started threads")["threads"] == "refresher"


def test_chdir_and_pythonpath(worker, tmp_path):
    other = tmp_path / "elsewhere"
    (other / "lib").mkdir(parents=True)
    (other / "lib" / "helper.py").write_text("WORD = b'helped'")
    (other / "site_app.py").write_text(
        "import helper, os\ndef application(e, s):\n    s('200 OK', [])\n    return [helper.WORD + os.getcwd().encode()]\n"
    )
    one = worker(HELLO, "--chdir", str(other), "--pythonpath", "lib", app="site_app")
    assert one.request()[2] == b"helped" + str(other).encode()


def test_what_the_application_prints_passes_through(worker):
    one = worker("print('imported')\n" + HELLO, "--workers", "1")
    until(lambda: "imported" in one.out, "the line")


def test_metrics_are_clean(worker):
    one = worker()
    for _ in range(5):
        one.request("POST", body=b"x")
    # A request is counted when the client has its answer.
    until(lambda: one.metric('monodon_worker_requests_total{interface="wsgi",method="POST",code="200"}') == 5, "the count")
    text = one.ask("/metrics")[1]
    assert "monodon_worker_process_resident_memory_bytes" in text
    check = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
    assert (check.returncode, check.stdout, check.stderr) == (0, "", "")


def test_verbs(worker):
    one = worker()

    place = ["--admin", "%s:%d" % one.admin, "--control", one.control]

    def run(*words):
        return subprocess.run([sys.executable, "-m", "monodon", *words, *place], capture_output=True, text=True)

    assert run("healthcheck").returncode == 0
    assert "app:application" in run("status").stdout
    assert '"processes"' in run("status", "--json").stdout
    assert run("reload").returncode == 0
    one.signal(signal.SIGTERM)
    one.wait()
    assert run("healthcheck").returncode == 1
    answer = run("reload")
    assert answer.returncode == 1 and "no worker answers" in answer.stderr


def test_the_control_socket_is_for_its_owner_alone(worker):
    one = worker()
    assert os.stat(one.control).st_mode & 0o777 == 0o600


def test_help_and_version():
    def run(word):
        return subprocess.run([sys.executable, "-m", "monodon", word], capture_output=True, text=True)

    assert "--max-requests-jitter" in run("--help").stdout
    assert run("--version").stdout.startswith("monodon-worker ")

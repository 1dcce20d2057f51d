"""What tells why a process has ended, or what it is doing."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest
from conftest import HELLO, Load, alive, until
from raw import Client
from test_balance import APP, Held
from test_supervisor import SLOW, in_background


def run(worker, *words):
    """A verb of the command line, for that worker."""
    place = ["--admin", "%s:%d" % worker.admin, "--control", worker.control]
    return subprocess.run([sys.executable, "-m", "monodon", *words, *place], capture_output=True, text=True)


def test_dump_prints_the_stacks_of_a_process_that_is_in_c(worker):
    one = worker(APP, "--workers", "1")
    held = Held(one, Client(one.address))
    pid = held.begun()
    out = run(one, "dump", str(pid))
    assert out.returncode == 0, out.stderr
    assert f"process {pid} (worker 0, busy, GET /hold/{held.name} for" in out.stdout
    assert "in application" in out.stdout
    # Without a number it is every process; the zygote may be asked too.
    assert "in application" in run(one, "dump").stdout
    assert "zygote of generation 1" in run(one, "dump", str(one.zygote())).stdout
    # Who asked gets them, and nobody else.
    assert not one.said("Python stacks") and "in application" not in one.err()
    wrong = run(one, "dump", "1")
    assert wrong.returncode == 1 and "no process of this worker" in wrong.stderr
    assert held.let_go().status == 200


def test_dump_says_when_a_process_does_not_answer(worker):
    one = worker(HELLO, "--workers", "1", "--timeout", "0")
    (pid,) = one.pids()
    os.kill(pid, signal.SIGSTOP)
    out = run(one, "dump", str(pid))
    assert out.returncode == 1 and "T (stopped)" in out.stderr
    os.kill(pid, signal.SIGCONT)


def test_a_request_that_hangs_beside_others_is_the_one_that_is_named(worker):
    one = worker(SLOW, "--workers", "1", "--threads", "2", "--timeout", "3s")
    slow = in_background(one, "/sleep/slow?20")
    until((one.folder / "slow.in").exists, "the request")
    for _ in range(5):
        assert one.request(path="/quick")[0] == 200
    assert slow()[0] == 504
    assert one.hears("took longer than the timeout")["path"] == "/sleep/slow?20"


def test_after_a_hung_request_its_siblings_get_the_graceful_time_not_the_timeout(worker):
    one = worker(SLOW, "--workers", "1", "--threads", "2", "--timeout", "12s", "--graceful-timeout", "0s")
    (pid,) = one.pids()
    hung = in_background(one, "/sleep/hung?60")
    # The other one begins when half of that one's time is over: it has as much left when that one's is up.
    until(lambda: one.metric("monodon_worker_process_current_request_age_seconds") > 6, "its age")
    beside = in_background(one, "/sleep/beside?60")
    until((one.folder / "beside.in").exists, "the other request")
    assert hung()[0] == 504
    # Its own timeout would be a 504 too: it ends earlier, without an answer.
    assert isinstance(beside(), OSError)
    until(lambda: not alive(pid), "the end of the process")


GREEDY = """
import os
import pathlib
kept = []

def application(environ, start_response):
    kept.append(bytes(range(256)) * 4096 * int(environ["QUERY_STRING"] or 0))
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]
"""


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["each", "preload"])
def test_a_process_that_has_grown_is_replaced_and_no_request_is_lost(worker, preload):
    one = worker(GREEDY, "--max-rss", "150MB", "--workers", "1", *preload)
    (pid,) = one.pids()
    with Load(one) as load:
        load.more()
        assert one.request(path="/?150")[0] == 200
        until(lambda: one.pids() and pid not in one.pids(), "the replacement")
        load.more()
    assert load.failed == []
    line = one.hears("grown past max_rss")
    assert line["rss"] > line["max_rss"] == 150 << 20
    until(lambda: one.metric('monodon_worker_process_restarts_total{reason="memory"}') == 1, "the end of the old one")


def test_a_limit_below_what_a_process_is_born_with_is_told_and_not_heeded(worker):
    one = worker("kept = bytes(range(256)) * 4096 * 60\n" + HELLO, "--max-rss", "50MB", "--workers", "1", "--preload")
    (pid,) = one.pids()
    assert "--preload included" in one.hears("max_rss is less than")["message"]
    assert one.request()[0] == 200
    assert one.pids() == [pid]


def test_a_process_is_replaced_when_it_is_old(worker):
    one = worker(HELLO, "--lifetime", "500ms", "--lifetime-jitter", "500ms", "--workers", "2")
    before = set(one.pids())
    with Load(one) as load:
        until(lambda: len(one.pids()) == 2 and not before & set(one.pids()), "others")
        load.more()
    assert load.failed == []
    until(lambda: one.metric('monodon_worker_process_restarts_total{reason="lifetime"}') >= 2, "the end of both")


@pytest.fixture
def cgroup():
    """A control group of 150 MB for memory, where one may be made here."""
    root = pathlib.Path("/sys/fs/cgroup")
    version2 = (root / "cgroup.controllers").exists()
    folder = (root if version2 else root / "memory") / f"monodon-test-{os.getpid()}"
    limit = folder / ("memory.max" if version2 else "memory.limit_in_bytes")
    try:
        folder.mkdir()
        limit.write_text(str(150 << 20))
        swap = folder / ("memory.swap.max" if version2 else "memory.swappiness")
        if swap.exists():
            swap.write_text("0")
    except OSError as error:
        if folder.exists():
            folder.rmdir()
        pytest.skip(f"no control group can be made here: {error}")
    yield folder
    until(lambda: not (folder / "cgroup.procs").read_text(), "the group to be empty")
    folder.rmdir()


def test_a_kill_for_memory_is_named_with_what_the_process_had(worker, start, cgroup):
    one = worker(GREEDY, "--workers", "1")
    for pid in (one.process.pid, one.zygote(), *one.pids()):
        (cgroup / "cgroup.procs").write_text(str(pid))
    (pid,) = one.pids()
    with pytest.raises(OSError):
        one.request(path="/?300")
    line = one.hears("process ended by")
    assert "out of memory, killed by the kernel; it had 1" in line["message"]
    assert "the container's limit is 150 MB" in line["message"]
    assert (line["reason"], line["pid"]) == ("oom", pid) and "/?300" in line["in_hand"]
    assert line["peak_rss"] > 100 << 20
    until(one.pids, "the replacement")
    # Killed by a person: not for memory.
    os.kill(one.pids()[0], signal.SIGKILL)
    until(lambda: one.metric('monodon_worker_process_restarts_total{reason="signal"}') == 1, "the other reason")
    assert one.metric('monodon_worker_process_restarts_total{reason="oom"}') == 1
    one.close()

"""What tells why a process has ended, or what it is doing."""

import os
import signal
import subprocess
import sys

from conftest import HELLO, alive, until
from test_supervisor import SLOW, in_background


def run(worker, *words):
    """A verb of the command line, for that worker."""
    place = ["--admin", "%s:%d" % worker.admin, "--control", worker.control]
    return subprocess.run([sys.executable, "-m", "monodon", *words, *place], capture_output=True, text=True)


def test_dump_prints_the_stacks_of_a_process_that_is_in_c(worker):
    one = worker(SLOW, "--workers", "1")
    answer = in_background(one, "/sleep/a?3")
    until((one.folder / "a.in").exists, "the request")
    (pid,) = one.pids()
    out = run(one, "dump", str(pid))
    assert out.returncode == 0, out.stderr
    assert f"process {pid} (worker 0, busy, GET /sleep/a?3 for" in out.stdout
    assert "in application" in out.stdout
    # Without a number it is every process; the zygote may be asked too.
    assert "in application" in run(one, "dump").stdout
    assert "zygote of generation 1" in run(one, "dump", str(one.zygote())).stdout
    # Who asked gets them, and nobody else.
    assert not one.said("Python stacks") and "in application" not in one.err()
    wrong = run(one, "dump", "1")
    assert wrong.returncode == 1 and "no process of this worker" in wrong.stderr
    assert answer()[0] == 200


def test_dump_says_when_a_process_does_not_answer(worker):
    one = worker(HELLO, "--workers", "1", "--timeout", "0")
    (pid,) = one.pids()
    os.kill(pid, signal.SIGSTOP)
    out = run(one, "dump", str(pid))
    assert out.returncode == 1 and "T (stopped)" in out.stderr
    os.kill(pid, signal.SIGCONT)


def test_a_request_that_hangs_beside_others_is_the_one_that_is_named(worker):
    one = worker(SLOW, "--workers", "1", "--threads", "2", "--timeout", "1s")
    slow = in_background(one, "/sleep/slow?20")
    until((one.folder / "slow.in").exists, "the request")
    for _ in range(5):
        assert one.request(path="/quick")[0] == 200
    assert slow()[0] == 504
    assert one.hears("took longer than the timeout")["path"] == "/sleep/slow?20"


def test_after_a_hung_request_its_siblings_get_the_graceful_time_not_the_timeout(worker):
    one = worker(SLOW, "--workers", "1", "--threads", "2", "--timeout", "2s", "--graceful-timeout", "0s")
    (pid,) = one.pids()
    hung = in_background(one, "/sleep/hung?20")
    until((one.folder / "hung.in").exists, "the request")
    assert hung()[0] == 504
    # It would be done within the timeout, but not within the graceful time.
    assert isinstance(in_background(one, "/sleep/beside?1")(), OSError)
    assert not alive(pid)

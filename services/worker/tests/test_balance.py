"""No request waits behind a busy process while another is free: over real sockets, with connections that are kept alive."""

import os
import signal
import socket
import threading
import time

import pytest
from conftest import until
from raw import Client

# `/hold/NAME` keeps its process until the file NAME is there, and says that it has begun by NAME.begun.
APP = """
import os, pathlib, time

served = {}

def application(environ, start_response):
    path = environ["PATH_INFO"]
    body = environ["wsgi.input"].read()
    if path.startswith("/hold/"):
        name = pathlib.Path(path[6:])
        pathlib.Path(path[6:] + ".begun").write_text(str(os.getpid()))
        while not name.exists():
            time.sleep(0.001)
    if path.startswith("/count/"):
        with open("counts", "a") as counts:
            counts.write(path[7:] + "\\n")
    headers = [("Content-Type", "text/plain")]
    start_response("200 OK", headers)
    return [str(os.getpid()).encode() + b" " + body]
"""


class Held:
    """A request that keeps its process until it is let go."""

    number = 0

    def __init__(self, worker, client):
        Held.number += 1
        self.worker, self.client, self.name = worker, client, f"held{Held.number}"
        client.ask(f"/hold/{self.name}")

    def begun(self):
        """The process that it keeps."""
        file = self.worker.folder / f"{self.name}.begun"
        return int(until(lambda: file.exists() and file.read_text(), "the request that holds"))

    def let_go(self):
        (self.worker.folder / self.name).touch()
        return self.client.answer()


def pid(answer):
    assert answer.status == 200, answer
    return int(answer.body.split()[0])


def pinned(one, count):
    """Connections of one process: its number, and they."""
    clients = [Client(one.address) for _ in range(count * 4)]
    homes = [pid(client.get("/")) for client in clients]
    home = max(set(homes), key=homes.count)
    mine = [client for client, where in zip(clients, homes) if where == home]
    for client, where in zip(clients, homes):
        if where != home or client not in mine[:count]:
            client.socket.close()
    assert len(mine) >= count
    return home, mine[:count]


def holding(one, count):
    """A process, the request that keeps it, and further connections of it."""

    def attempt():
        home, (slow, *others) = pinned(one, count)
        held = Held(one, slow)
        if held.begun() == home:
            return home, held, others
        # It had answered, but had not got to run since, and so another took this one for it.
        held.let_go()
        for client in (slow, *others):
            client.socket.close()

    return until(attempt, "a process that is held")


def test_connections_of_a_busy_process_are_answered_by_its_siblings(worker):
    one = worker(APP, "--workers", "3")
    home, held, others = holding(one, 6)
    for client in others:
        assert pid(client.get("/")) != home
    # They stay there, and are answered again; a body comes along too.
    for number, client in enumerate(others):
        answer = client.get("/", method="POST", body=b"x" * 100_000 + b"%d" % number)
        assert pid(answer) != home
        assert answer.body.endswith(b"x%d" % number)
    assert pid(held.let_go()) == home
    assert one.metric("monodon_worker_connections_handed_over_total") >= len(others)
    # What was given away is no longer counted there.
    until(lambda: sum(row["connections"] for row in one.status()["processes"]) == 6, "the connections are counted once")


def test_when_all_are_busy_the_first_that_is_free_answers(worker):
    one = worker(APP, "--workers", "2")
    home, first, (waiting,) = holding(one, 2)
    second = Held(one, Client(one.address))
    assert second.begun() != home
    waiting.ask("/")
    # The one that it came to is never free.
    assert pid(second.let_go()) == pid(waiting.answer()) != home
    first.let_go()


def test_a_new_connection_does_not_wait_for_a_busy_process(worker):
    one = worker(APP, "--workers", "2")
    busy = [Client(one.address) for _ in range(4)]
    held = Held(one, busy[0])
    home = held.begun()
    for _ in range(10):
        with Client(one.address) as client:
            assert pid(client.get("/")) != home
    held.let_go()


def test_an_answer_that_ends_with_the_connection_ends_although_the_busy_process_has_it_open(worker):
    one = worker(APP, "--workers", "2")
    home, held, others = holding(one, 3)
    answer = others[0].get("/", "Connection: close")
    assert pid(answer) != home
    assert others[0].is_closed()
    # And a client that leaves is noticed by whoever has it now.
    assert pid(others[1].get("/")) != home
    others[1].socket.shutdown(socket.SHUT_WR)
    assert others[1].is_closed()
    held.let_go()


def test_a_process_whose_threads_are_all_taken_leaves_requests_to_siblings(worker):
    one = worker(APP, "--workers", "2", "--threads", "2")
    home, (first, second, *others) = pinned(one, 6)
    # One thread is left: nothing moves.
    held = [Held(one, first)]
    assert held[0].begun() == home
    for client in others:
        # An answer may be here before its thread is free.
        until(lambda: one.metric("monodon_worker_requests_in_flight") == 1, "the thread is free")
        assert pid(client.get("/")) == home
    until(lambda: one.metric("monodon_worker_requests_in_flight") == 1, "the thread is free")
    held.append(Held(one, second))
    assert held[1].begun() == home
    for client in others:
        assert pid(client.get("/", method="POST", body=b"x" * 100_000)) != home
    # New connections go where there is room too.
    with Client(one.address) as client:
        assert pid(client.get("/")) != home
    for one_held in held:
        assert pid(one_held.let_go()) == home


def test_requests_wait_for_threads_in_order_and_their_wait_is_measured(worker):
    one = worker(APP, "--workers", "1", "--threads", "2")
    held = [Held(one, Client(one.address)) for _ in range(2)]
    for each in held:
        each.begun()
    waiting = []
    for number in range(8):
        waiting.append(Client(one.address))
        waiting[-1].ask(f"/count/{number}")
        until(lambda: one.metric("monodon_worker_requests_in_flight") == 3 + number, "the request is there")
    # One thread answers all of them.
    held[0].let_go()
    for client in waiting:
        pid(client.answer())
    assert (one.folder / "counts").read_text().split() == [str(number) for number in range(8)]
    held[1].let_go()
    assert one.metric("monodon_worker_request_queue_seconds_count") == 10
    # All but two have waited for longer than the shortest bucket.
    assert one.metric('monodon_worker_request_queue_seconds_bucket{le="0.00005"}') <= 2


def test_the_wait_counts_from_where_the_proxy_got_the_request(worker):
    one = worker(APP, "--workers", "1")
    with Client(one.address) as client:
        for start in [f"t={int((time.time() - 7) * 1e6)}", f"t={time.time() - 7:.3f}"]:
            pid(client.get("/", f"X-Request-Start: {start}"))
        pid(client.get("/"))
    assert 14 <= one.metric("monodon_worker_request_queue_seconds_sum") < 20
    assert one.metric("monodon_worker_request_queue_seconds_count") == 2


@pytest.mark.parametrize("disturb", ["reload", "kill"])
def test_nothing_is_lost_or_doubled_while_processes_are_busy_and_come_and_go(worker, disturb):
    one = worker(APP, "--workers", "3")
    stop = threading.Event()
    counts, failed, lock = [], [], threading.Lock()

    def ask(number):
        # A kill takes what its process had in hand; such a request is sent again, under another name.
        client, turn = None, 0
        while not stop.is_set():
            turn += 1
            name = f"{number}-{turn}"
            try:
                client = client or Client(one.address)
                answer = client.get(f"/count/{name}", method="POST", body=name.encode())
                assert answer.body.endswith(b" " + name.encode()), answer
                with lock:
                    counts.append(name)
            except (OSError, EOFError) as error:
                client = None
                if disturb != "kill":
                    failed.append(f"{name}: {error!r}")
            except (AssertionError, ValueError) as error:
                failed.append(f"{name}: {error!r}")
                return

    def hold(number):
        """Keeps processes busy, one after the other."""
        turn = 0
        while not stop.is_set():
            turn += 1
            name = f"h{number}-{turn}"
            try:
                with Client(one.address) as client:
                    client.ask(f"/hold/{name}")
                    until(lambda: stop.is_set() or (one.folder / f"{name}.begun").exists() or not one.pids(), "a hold", 5)
                    stop.wait(0.02)
                    (one.folder / name).touch()
                    client.answer()
            except (OSError, EOFError, AssertionError):
                (one.folder / name).touch()

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)] + [threading.Thread(target=hold, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            have = len(counts)
            until(lambda: len(counts) > have + 100 or failed, "requests")
            if disturb == "reload":
                one.tell("reload")
            else:
                os.kill(one.pids()[0], signal.SIGKILL)
                until(lambda: len(one.pids()) == 3, "the new process")
        until(lambda: one.metric("monodon_worker_connections_handed_over_total") > 5 or failed, "connections on their way")
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert not failed
    seen = (one.folder / "counts").read_text().split()
    assert len(seen) == len(set(seen)), "a request was served twice"
    assert set(counts) <= set(seen)
    if disturb == "reload":
        assert set(counts) == set(seen)

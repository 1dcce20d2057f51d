"""What the worker tells whoever started it as a service (sd_notify). Sockets from systemd are in test_sockets and
test_upgrade."""

import os
import signal
import socket

import pytest
from conftest import HELLO, alive, until

ONE = ("--workers", "1")


class Service:
    """systemd's end: the messages, each a dictionary."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name)
        self.socket.settimeout(20)
        self.seen = []

    def next(self, key):
        """The next message that has this key; all before it are passed over."""
        while True:
            message = dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())
            self.seen.append(message)
            if key in message:
                return message


@pytest.fixture(params=["path", "abstract"])
def service(request, tmp_path):
    name = str(tmp_path / "notify") if request.param == "path" else f"\0monodon-{os.getpid()}-{tmp_path}"
    one = Service(name)
    one.env = {"NOTIFY_SOCKET": name.replace("\0", "@")}
    with one.socket:
        yield one


def test_ready_reloading_and_stopping(start, service):
    one = start(HELLO, *ONE, env=service.env)
    assert service.next("READY") == {
        "READY": "1", "MAINPID": str(one.process.pid), "STATUS": "1 of 1 processes serve",
    }
    # Not before the application was imported.
    assert service.seen[0] == {"STATUS": "the application is being imported"}
    one.signal(signal.SIGHUP)
    assert int(service.next("RELOADING")["MONOTONIC_USEC"]) > 0
    service.next("READY")
    one.write("import nothing_of_that_name")
    one.signal(signal.SIGHUP)
    service.next("RELOADING")
    # The old generation serves on.
    service.next("READY")
    one.signal(signal.SIGTERM)
    assert service.next("STOPPING")["STATUS"] == "stopping"
    assert one.wait() == 0


def test_never_ready_when_the_application_cannot_be_imported(start, service):
    one = start("import nothing_of_that_name", *ONE, env=service.env)
    assert one.wait() == 3
    service.next("STOPPING")
    assert not any("READY" in message for message in service.seen)


@pytest.mark.parametrize("meant", [None, "this", "another"])
def test_signs_of_life_for_the_watchdog(start, tmp_path, meant):
    service = Service(str(tmp_path / "notify"))
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    shell = {"this": "export WATCHDOG_PID=$$; ", "another": "export WATCHDOG_PID=1; "}.get(meant, "") + 'exec "$@"'
    with service.socket:
        start(HELLO, *ONE, env=env, prefix=["bash", "-c", shell, "bash"])
        service.next("READY")
        if meant == "another":
            service.socket.settimeout(0.5)
            with pytest.raises(TimeoutError):
                service.next("WATCHDOG")
        else:
            service.next("WATCHDOG"), service.next("WATCHDOG")


def test_the_service_goes_on_in_the_new_supervisor(start, service):
    one = start(HELLO, *ONE, env=service.env, start_new_session=True)
    service.next("READY")
    one.signal(signal.SIGUSR2)
    new = one.hears("the new supervisor serves")["pid"]
    try:
        one.signal(signal.SIGTERM)
        assert one.process.wait(20) == 0
        # The old one names its successor instead of saying that it stops, and only then the new one speaks.
        assert service.next("MAINPID")["MAINPID"] == str(new)
        assert service.next("READY")["MAINPID"] == str(new)
        assert not any("STOPPING" in message for message in service.seen)
    finally:
        os.kill(new, signal.SIGTERM)
        until(lambda: not alive(new), "its end")
    service.next("STOPPING")

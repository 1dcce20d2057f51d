"""SIGUSR2: a new supervisor beside the old one on the same sockets, and either of them may go on; SIGWINCH."""

import os
import pathlib
import signal
import socket
import subprocess

import pytest
from conftest import HELLO, Load, alive, parent_of, until
from raw import Client

ONE = ("--workers", "1")
# What only a terminal sends must not come from one.
AWAY = {"start_new_session": True}


def children(pid):
    return [int(child) for task in pathlib.Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def title(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()


def answers(worker):
    """Whether anybody listens on the control socket: its path is there a moment earlier."""
    try:
        return worker.status()
    except OSError:
        return None


@pytest.fixture
def upgrade():
    """Sends SIGUSR2 and waits until the new supervisor serves; returns its number."""
    started = []

    def begin(worker):
        before = len(worker.said("the new supervisor serves"))
        worker.signal(signal.SIGUSR2)
        lines = until(lambda: worker.said("the new supervisor serves")[before:], "the new supervisor")
        started.append(lines[0]["pid"])
        return started[-1]

    yield begin
    for pid in started:
        if alive(pid):
            os.kill(pid, signal.SIGQUIT)
            until(lambda pid=pid: not alive(pid), "the end of the new supervisor")


def pid_of(worker, client):
    return int(client.get("/").body.split()[0])


def test_the_new_one_takes_over_and_no_client_notices(worker, upgrade, tmp_path):
    path, pidfile = str(tmp_path / "s"), tmp_path / "pid"
    one = worker(HELLO, "--bind", f"unix:{path}", "--pid", str(pidfile), "--name", "shop", "--reload-surge", "2", **AWAY)
    old = one.process.pid
    with Load(one) as load, Client(path) as idle, Client(one.address) as kept:
        idle.get("/"), kept.get("/")
        load.more()
        new = upgrade(one)
        # Both serve. The old one keeps its file, its name and the admin port.
        assert pidfile.read_text() == f"{old}\n" and (tmp_path / "pid.2").read_text() == f"{new}\n"
        assert (title(old), title(new)) == ("monodon: master [shop]", "monodon: master [shop.2]")
        assert one.status()["pid"] == old
        # No third one.
        one.signal(signal.SIGUSR2)
        one.hears("SIGUSR2 is ignored: there is a new supervisor already")
        os.kill(new, signal.SIGUSR2)
        one.hears("SIGUSR2 is ignored: the supervisor before this one still lives")
        load.more()
        one.signal(signal.SIGTERM)
        assert one.process.wait(20) == 0
        load.more()
        # Connections that were idle live on in the processes of the new one.
        for client in (idle, kept):
            assert parent_of(parent_of(pid_of(one, client))) == new
        assert load.failed == []
    until(lambda: pidfile.exists() and pidfile.read_text() == f"{new}\n", "the pidfile of the new one")
    assert not (tmp_path / "pid.2").exists()
    until(lambda: title(new) == "monodon: master [shop]", "its name")
    until(lambda: answers(one), "its control socket")
    assert one.status()["pid"] == new
    # From now on it is like any other: it can be replaced, and takes the socket's path along when it ends.
    assert os.path.exists(path)
    os.kill(new, signal.SIGTERM)
    until(lambda: not alive(new), "its end")
    assert not os.path.exists(path) and not pidfile.exists()


def test_the_old_one_goes_on_when_the_new_one_is_ended(worker, upgrade, tmp_path):
    path = str(tmp_path / "s")
    one = worker(HELLO, *ONE, "--bind", f"unix:{path}", **AWAY)
    new = upgrade(one)
    os.kill(new, signal.SIGTERM)
    one.hears("the new supervisor has ended by exit code 0; this one goes on")
    with Client(path) as client:
        assert parent_of(parent_of(pid_of(one, client))) == one.process.pid
    # And may try again.
    assert upgrade(one) != new


def test_a_new_one_that_cannot_import_the_application_leaves_the_old_one_alone(worker):
    one = worker(HELLO, *ONE, **AWAY)
    one.write("import nothing_of_that_name")
    one.signal(signal.SIGUSR2)
    one.hears("the new supervisor has ended by exit code 3; this one goes on")
    assert "nothing_of_that_name" in one.err()
    assert one.request()[0] == 200


def test_binds_that_have_changed_are_opened_and_the_others_kept(worker, upgrade, tmp_path):
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    config = f"bind = ['127.0.0.1:0', 'unix:{first}']"
    one = worker(HELLO, *ONE, files={"gunicorn.conf.py": config}, bind=False, **AWAY)
    address = one.address
    (one.folder / "gunicorn.conf.py").write_text(f"bind = ['127.0.0.1:0', 'unix:{second}']")
    new = upgrade(one)
    one.signal(signal.SIGTERM)
    assert one.process.wait(20) == 0
    for place in (address, second):
        with Client(place) as client:
            assert parent_of(parent_of(pid_of(one, client))) == new
    with pytest.raises(OSError):
        Client(first)


def test_pre_exec_is_called_before(worker, upgrade):
    config = """
    def pre_exec(server):
        open("pre_exec", "w").write(str(server.pid))
    """
    one = worker(HELLO, *ONE, files={"gunicorn.conf.py": config}, **AWAY)
    upgrade(one)
    assert (one.folder / "pre_exec").read_text() == str(one.process.pid)


def test_sockets_from_systemd_are_passed_on(worker, upgrade):
    with socket.create_server(("127.0.0.1", 0)) as server:
        shell = f'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@" 13<&{server.fileno()} 3<&13'
        one = worker(HELLO, *ONE, prefix=["bash", "-c", shell, "bash"], pass_fds=[server.fileno()], **AWAY)
        new = upgrade(one)
        one.signal(signal.SIGTERM)
        assert one.process.wait(20) == 0
        with Client(server.getsockname()) as client:
            assert parent_of(parent_of(pid_of(one, client))) == new


def test_process_1_refuses(start):
    shell = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*shell, "true"], capture_output=True).returncode:
        pytest.skip("no process namespaces here")
    one = start(HELLO, *ONE, prefix=shell, **AWAY).ready()
    (inner,) = children(one.process.pid)
    os.kill(inner, signal.SIGUSR2)
    line = one.hears("SIGUSR2 is refused")
    assert "this is process 1, and the container ends with it" in line["message"]
    assert one.request()[0] == 200
    # Nor can it go to the background.
    two = start(HELLO, "--daemon", prefix=shell)
    assert two.wait() == 2
    assert "process 1 cannot go to the background" in two.err()


def test_winch_sends_the_processes_away_and_hup_brings_them_back(worker):
    one = worker(HELLO, "--workers", "2", **AWAY)
    one.signal(signal.SIGWINCH)
    until(lambda: not one.status()["processes"], "the end of all processes")
    # The sockets stay open.
    with Client(one.address) as waiting:
        waiting.ask("/")
        assert one.ask("/readyz")[0] == 503
        one.signal(signal.SIGHUP)
        until(lambda: len(one.pids()) == 2, "two processes")
        assert waiting.answer().status == 200
    one.signal(signal.SIGWINCH)
    until(lambda: not one.status()["processes"], "the end of all processes")
    one.signal(signal.SIGTTIN)
    until(lambda: len(one.pids()) == 1, "one process")


def test_winch_from_a_terminal_means_nothing(worker):
    import fcntl
    import termios

    main, other = os.openpty()

    def take_the_terminal():
        fcntl.ioctl(other, termios.TIOCSCTTY, 0)

    try:
        one = worker(HELLO, *ONE, "--log-level", "debug", preexec_fn=take_the_terminal, **AWAY)
        one.signal(signal.SIGWINCH)
        one.hears("SIGWINCH is ignored")
        assert len(one.pids()) == 1
    finally:
        os.close(other)
        os.close(main)

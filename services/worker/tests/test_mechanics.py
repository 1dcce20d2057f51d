"""Whose process it is, what it is called, what it leaves behind."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from conftest import HELLO, alive, parent_of, until
from raw import Client
from test_upgrade import answers

ONE = ("--workers", "1")
ROOT = os.geteuid() == 0
NOBODY = 65534

WHO = """
import json, os

def application(environ, start_response):
    start_response("200 OK", [])
    ids = {"user": os.getresuid(), "group": os.getresgid(), "groups": os.getgroups(), "parent": os.stat(f"/proc/{os.getppid()}").st_uid}
    return [json.dumps(ids).encode()]
"""


def who(worker):
    return json.loads(worker.request()[2])


def title(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()


# Root alone can see that processes become somebody else, and these need an interpreter that somebody else may execute. Where
# that is in root's home (0700), a mount namespace in which the home is open to all serves.
OPEN_HOME = """
set -e
mkdir "$0"
for entry in /root/.[!.]* /root/*; do
  [ -d "$entry" ] || continue
  mkdir "$0/${entry##*/}" && mount --rbind "$entry" "$0/${entry##*/}"
done
mount --rbind "$0" /root
exec "$@"
"""


def may_execute():
    """Whether user nobody can execute this interpreter."""
    check = [sys.executable, "-c", "import monodon._monodon"]
    try:
        return subprocess.run(check, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.fixture
def as_root(tmp_path):
    """Keywords for `start` with which the worker may become anybody."""
    if not ROOT:
        pytest.skip("only root can become somebody else")
    for folder in [tmp_path, *tmp_path.parents]:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o055)
    if may_execute():
        return {}
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("nobody but root can execute this interpreter")
    return {"prefix": ["unshare", "--mount", "bash", "-c", OPEN_HOME, str(tmp_path / "home")]}


def test_user_and_group(worker, as_root, tmp_path):
    sock, log = tmp_path / "s", tmp_path / "access"
    flags = ["--user", "nobody", "--bind", f"unix:{sock}", "--accesslog", str(log)]
    one = worker(WHO, *ONE, *flags, **as_root)
    told = who(one)
    assert told["user"] == [NOBODY] * 3
    # The group is the user's own, and nothing of root's groups is left.
    assert told["group"] == [NOBODY] * 3 and told["groups"] == []
    # The zygote has never been root either; the supervisor still is.
    assert told["parent"] == NOBODY
    assert os.stat(f"/proc/{one.status()['pid']}").st_uid == 0
    assert (sock.stat().st_uid, sock.stat().st_gid) == (NOBODY, NOBODY)
    assert log.stat().st_uid == NOBODY
    until(lambda: log.read_text(), "a line")
    # What it does for root's sake still works: reload, the application's own metrics, the end.
    assert one.tell("reload").startswith("ok")
    assert who(one)["user"] == [NOBODY] * 3
    one.signal(signal.SIGTERM)
    assert one.wait() == 0


def test_the_log_of_errors_is_the_user_s_too(start, as_root, tmp_path):
    log = tmp_path / "errors"
    start(HELLO, *ONE, "--user", "nobody", "--errorlog", str(log), **as_root)
    until(lambda: log.exists() and "process is ready" in log.read_text(), "its first lines")
    assert log.stat().st_uid == NOBODY


def test_the_group_alone_and_by_number(worker, as_root):
    told = who(worker(WHO, *ONE, "-g", "12345", **as_root))
    assert told["user"] == [0] * 3 and told["group"] == [12345] * 3 and told["groups"] == []


def test_initgroups(worker, as_root):
    import grp
    import pwd

    # Somebody who is in more than one group.
    names = [name for entry in grp.getgrall() for name in entry.gr_mem]
    members = [user for user in pwd.getpwall() if user.pw_name in names and user.pw_uid]
    if not members:
        pytest.skip("no user here has supplementary groups")
    user = members[0]
    told = who(worker(WHO, *ONE, "-u", user.pw_name, "--initgroups", **as_root))
    assert set(told["groups"]) == set(os.getgrouplist(user.pw_name, user.pw_gid))


def test_a_user_that_is_not_there_is_told(start):
    one = start(HELLO, "--user", "nobody-of-that-name", "--group", "no-such-group")
    assert one.wait() == 2
    assert "--user: there is no user" in one.err() and "--group: there is no group" in one.err()


def test_only_root_becomes_somebody_else(start, as_root):
    as_root["prefix"] = [*as_root.get("prefix", []), "setpriv", "--reuid", "65534", "--clear-groups"]
    one = start(HELLO, "--user", "daemon", **as_root)
    assert one.wait() == 2
    assert "only root can run the application as somebody else; this is user 65534" in one.err()


@pytest.mark.skipif(not ROOT, reason="only root can become somebody else")
def test_a_user_that_cannot_execute_python_is_told(start):
    # Without this capability root is nobody special.
    one = start(HELLO, "--user", "nobody", prefix=["setpriv", "--bounding-set=-setuid", "--inh-caps=-setuid"])
    assert one.wait() == 1
    assert "cannot be started: Operation not permitted" in one.err()
    assert f"user {NOBODY} has to be able to execute it" in one.err()


def test_pidfile(worker, start, tmp_path):
    path = tmp_path / "pid"
    path.write_text("4194304\n")
    one = worker(HELLO, *ONE, "--pid", str(path))
    assert path.read_text() == f"{one.status()['pid']}\n"
    assert path.stat().st_mode & 0o777 == 0o644
    two = start(HELLO, "--pid", str(path))
    assert two.wait() == 1
    assert f"already running as process {one.process.pid}" in two.err()
    one.signal(signal.SIGTERM)
    assert one.wait() == 0
    assert not path.exists()


def test_paths_are_relative_to_chdir(worker, tmp_path):
    (tmp_path / "there").mkdir()
    one = worker(HELLO, *ONE, "--chdir", str(tmp_path / "there"), "-p", "pid", app="app:application", env={"PYTHONPATH": "."},
                 files={"../there/app.py": HELLO})
    assert (tmp_path / "there" / "pid").exists()


def test_proc_name(worker):
    one = worker(HELLO, *ONE, "--name", "shop")
    pid = one.pids()[0]
    assert title(pid) == "monodon: worker 0 [shop]"
    assert title(parent_of(pid)) == "monodon: zygote [shop]"
    assert title(one.status()["pid"]) == "monodon: master [shop]"
    comm = pathlib.Path(f"/proc/{pid}/comm").read_text()
    assert comm == "monodon: worker\n"


def test_the_application_gives_the_name_where_none_is_given(worker):
    assert title(worker(HELLO, *ONE).pids()[0]) == "monodon: worker 0 [app:application]"


def test_daemon(start, tmp_path):
    one = start(HELLO, *ONE, "--daemon", "--pid", str(tmp_path / "pid"), "--bind", f"unix:{tmp_path / 's'}")
    assert one.process.wait(20) == 0
    pid = until(lambda: (tmp_path / "pid").exists() and int((tmp_path / "pid").read_text()), "the pidfile")
    try:
        assert os.getsid(pid) == pid
        assert os.readlink(f"/proc/{pid}/fd/1") == "/dev/null"
        until(lambda: (answers(one) or {}).get("processes") and one.pids(), "its processes")
        with Client(str(tmp_path / "s")) as client:
            assert client.get("/").status == 200
    finally:
        os.kill(pid, signal.SIGTERM)
        until(lambda: not alive(pid), "the end")
    assert not (tmp_path / "pid").exists()


def test_tmp_upload_dir(worker, tmp_path):
    source = """
    import os

    def application(environ, start_response):
        start_response("200 OK", [])
        places = []
        for fd in os.listdir("/proc/self/fd"):
            try:
                places.append(os.readlink(f"/proc/self/fd/{fd}"))
            except OSError:
                pass
        return [" ".join(places).encode()]
    """
    folder = tmp_path / "uploads"
    folder.mkdir()
    one = worker(source, *ONE, env={"MONODON_WORKER_TMP_UPLOAD_DIR": str(folder)})
    assert str(folder) in one.request("POST", body=b"x" * (8 << 20))[2].decode()
    assert str(folder) not in one.request("POST", body=b"x")[2].decode()


def test_worker_tmp_dir_is_accepted_and_said_to_mean_nothing(start):
    start(HELLO, *ONE, "--worker-tmp-dir", "/dev/shm").hears("worker_tmp_dir has no meaning here")

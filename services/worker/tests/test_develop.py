"""`--reload`: what is saved is what the next request meets, or its traceback."""

import os
import socket
import textwrap

import pytest
from conftest import PATIENCE, until
from test_supervisor import SLOW, in_background

WORD = """
import helper
def application(environ, start_response):
    body = helper.WORD
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
MODES = [(), ("--preload",), ("--reload-engine", "poll")]


def save(worker, name, text):
    """As an editor does; the file that Python has compiled from it stays."""
    (worker.folder / name).write_text(textwrap.dedent(text))


def says(worker, word):
    """Waits until a request meets it: requests wait while the processes restart, none is lost."""
    until(lambda: worker.request()[2] == word, f"{word} in an answer")


@pytest.fixture
def simple(start):
    """One process, and a module beside the application, which is there before it starts."""

    def begin(*flags, helper="WORD = b'one'\n", source=WORD, workers="1"):
        one = start(source, "--reload", "--workers", workers, *flags, files={"helper.py": helper})
        return one.ready()

    return begin


@pytest.mark.parametrize("mode", MODES, ids=["inotify", "preload", "poll"])
def test_a_change_of_an_imported_module_is_met_by_the_next_request(simple, mode):
    one = simple(*mode, workers="2")
    assert one.request()[2] == b"one"
    for word in ("two", "three", "fours", "fives"):
        save(one, "helper.py", f"WORD = b'{word}'\n")
        says(one, word.encode())
    assert "helper.py changed" in one.hears("changed: restarting")["message"]


def test_the_way_editors_save_makes_no_difference(simple):
    one = simple()
    save(one, "helper.py.new", "WORD = b'renamed'\n")
    (one.folder / "helper.py.new").rename(one.folder / "helper.py")
    says(one, b"renamed")


@pytest.mark.parametrize("mode", MODES[:2], ids=["each", "preload"])
def test_what_cannot_be_imported_is_shown_and_mends_itself(simple, mode):
    one = simple(*mode)
    save(one, "helper.py", "WORD = b'<b>' + 1\n")
    until(lambda: one.request()[0] == 500, "the error page")
    status, headers, body = one.request(headers={"Accept": "text/html,*/*"})
    text = body.decode()
    assert (status, headers["Content-Type"]) == (500, "text/html; charset=utf-8")
    assert "helper.py&quot;, line 1" in text and "TypeError" in text
    assert "b&#x27;&lt;b&gt;&#x27; + 1" in text and "<b>" not in text
    assert 'http-equiv="refresh"' in text
    assert 'http-equiv="refresh"' not in one.request("POST", headers={"Accept": "text/html"})[2].decode()
    assert one.request()[1]["Content-Type"].startswith("text/plain")
    # Told once, and by the admin port.
    assert one.err().count("Traceback") == 1
    assert "TypeError" in one.ask("/readyz")[1]
    save(one, "helper.py", "WORD = b'mended'\n")
    says(one, b"mended")
    until(lambda: "TypeError" not in one.ask("/readyz")[1], "the trouble to be over")


@pytest.mark.parametrize(
    "broken, mended",
    [
        ({"app.py": "def application(:\n"}, {"app.py": WORD}),
        ({"app.py": "import later\n" + WORD}, {"later.py": ""}),
        ({"app.py": "import sys\nsys.exit('no')\n"}, {"app.py": WORD}),
    ],
    ids=["syntax", "a module that is not there yet", "exit"],
)
def test_also_on_the_first_start_it_is_shown_instead_of_exiting(start, broken, mended):
    one = start(broken["app.py"], "--reload", "--workers", "1", files={"helper.py": "WORD = b'one'\n"})
    until(lambda: one.ask("/readyz")[0] == 200, "the page")
    assert one.request()[0] == 500
    for name, text in mended.items():
        save(one, name, text)
    says(one, b"one")


def test_without_reload_nobody_sees_a_traceback(start):
    one = start("def application(:\n")
    assert one.wait() == 3


def test_modules_that_are_imported_by_a_request_are_watched_too(simple):
    source = """
    def application(environ, start_response):
        import helper
        start_response("200 OK", [])
        return [helper.WORD]
    """
    one = simple(source=source)
    assert one.request()[2] == b"one"
    # It is told of soon, but nobody knows when.
    until(lambda: save(one, "helper.py", f"WORD = b'{os.urandom(4).hex()}'\n") or one.said("changed: restarting"), "a restart")


def test_extra_files(simple, tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "a.html").write_text("a")
    (tmp_path / "some.toml").write_text("a")
    one = simple("--reload-extra-file", f"{tmp_path}/*.toml", "--reload-extra-files", str(tmp_path / "pages"))
    (before,) = one.pids()
    for place in ("some.toml", "pages/a.html"):
        (tmp_path / place).write_text("changed")
        until(lambda: one.pids() and before not in one.pids(), "another process")
        assert place in one.said("changed: restarting")[-1]["message"]
        (before,) = one.ready().pids()


def test_a_request_in_hand_is_finished_and_holds_up_nobody(simple):
    one = simple(source="import helper\n" + SLOW)
    answer = in_background(one, "/sleep/a?2")
    until((one.folder / "a.in").exists, "the request")
    (before,) = one.pids()
    save(one, "helper.py", "WORD = b'two'\n")
    until(lambda: one.pids() and before not in one.pids(), "another process")
    assert int(one.request()[2]) != before
    assert int(answer()[2]) == before


def test_a_connection_that_is_kept_meets_the_new_code(simple):
    one = simple()
    with socket.create_connection(one.address, timeout=PATIENCE) as client:

        def ask():
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return client.recv(65536).rpartition(b"\r\n\r\n")[2]

        assert ask() == b"one"
        save(one, "helper.py", "WORD = b'two'\n")
        one.hears("changed: restarting")
        assert ask() == b"two"


def test_an_import_that_kills_is_tried_again_when_it_has_changed(simple):
    one = simple()
    save(one, "helper.py", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    until(lambda: "SIGSEGV" in one.err(), "the crash")
    save(one, "helper.py", "WORD = b'two'\n")
    says(one, b"two")

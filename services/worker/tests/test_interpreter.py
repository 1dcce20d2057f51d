"""What was asked of the interpreter holds for the processes that run the application."""

import subprocess
import sys

import pytest

from monodon.__main__ import _interpreter_flags


@pytest.mark.parametrize(
    "words, flags",
    [
        ("monodon-worker app -O", ""),
        ("-m monodon app", ""),
        ("-O -X dev -W error::UserWarning -m monodon -X no", "-O -X dev -W error::UserWarning"),
        ("-Wmodule -Xdev -OO script.py", "-Wmodule -Xdev -OO"),
        ("-Ium monodon app", "-Iu"),
    ],
)
def test_flags_end_where_the_program_begins(words, flags):
    assert _interpreter_flags(["python", *words.split()]) == flags.split()


def test_they_reach_the_application(start):
    source = """
    import sys

    def application(environ, start_response):
        start_response("200 OK", [])
        return [f"{sys.flags.optimize} {sys.flags.dev_mode}".encode()]
    """
    one = start(source, "--workers", "1", python=("-O", "-X", "dev")).ready()
    assert one.request()[2] == b"1 True"


def test_the_supervisor_keeps_little_of_python(start):
    """Each module that it imports stays in memory as long as it lives."""
    code = "import sys; sys.argv = ['monodon-worker', '--version']; from monodon.__main__ import main; main(); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"], capture_output=True, text=True)
    modules = said.stdout.split()
    assert "monodon._monodon" in modules, said
    assert not {"subprocess", "signal", "threading", "json", "re", "enum"} & set(modules)

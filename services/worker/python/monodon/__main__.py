"""`monodon-worker`, `python -m monodon`: the supervisor, and the verbs that are about Python projects."""

import signal
import sys


def main() -> int:
    arguments = sys.argv[1:]
    verb = arguments[0] if arguments else ""
    if verb == "init":
        from monodon import init

        return init.main(arguments[1:])
    if verb == "release":
        from monodon import release

        return release.main(arguments[1:])
    from monodon import _monodon

    # The supervisor handles signals itself; Python's own handler would still raise KeyboardInterrupt at the end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _monodon.command(arguments, [sys.executable, *_interpreter_flags()])


def _interpreter_flags() -> list[str]:
    """`-X dev`, `-W …`, `-O`: what was asked of this interpreter holds for the processes that run the application."""
    import subprocess

    return subprocess._args_from_interpreter_flags()


if __name__ == "__main__":
    sys.exit(main())

"""`monodon-worker`, `python -m monodon`: the supervisor, and the verbs that are about Python projects."""

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

    return _monodon.command(arguments, [sys.executable, *_interpreter_flags(sys.orig_argv)])


def _interpreter_flags(command: list[str]) -> list[str]:
    """`-X dev`, `-W …`, `-O`: what was asked of this interpreter holds for the processes that run the application.

    The supervisor keeps all that is imported here, for as long as it lives: so `subprocess`, which knows them too, is not.
    """
    flags = []
    rest = iter(command[1:])
    for word in rest:
        if not word.startswith("-") or word == "-":
            break
        # `-um monodon`: the letters before the `m` are flags.
        letters, ends, _ = word.partition("m") if not word.startswith(("--", "-X", "-W")) else (word, "", "")
        if letters != "-":
            flags.append(letters)
        if ends:
            break
        if word in ("-X", "-W", "--check-hash-based-pycs"):
            flags.append(next(rest))
    return flags


if __name__ == "__main__":
    sys.exit(main())

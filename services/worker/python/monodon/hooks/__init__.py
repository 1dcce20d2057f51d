"""gunicorn's server hooks: which there are, and how they are called.

The arbiter's run in the zygote, the worker's in the worker process; what they get as `server`, `worker`, `req` and
`resp` has the attributes that hooks written for gunicorn use. The table in the reference says which hook runs where.
"""

import contextlib
import sys

from monodon import gunicorn_conf, importer


class Failed(Exception):
    """A hook has raised something, which is the cause of this."""

    def __init__(self, name: str, place: str, error: BaseException):
        words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        super().__init__(f"the hook {name} of {place} has failed: {words.splitlines()[0]}")
        self.name = name
        self.code = _code(error) if isinstance(error, SystemExit) else 1


class Hooks:
    """The hooks of one configuration."""

    def __init__(self, namespace: dict, place: str | None):
        """Raises `gunicorn_conf.Wrong` for one that cannot be called as gunicorn calls it."""
        self.place = place or "the configuration"
        self._all = {}
        for name in gunicorn_conf.HOOKS:
            try:
                function = gunicorn_conf.hook(namespace, name)
            except gunicorn_conf.Wrong as wrong:
                raise gunicorn_conf.Wrong(f"{place}: {name}: {wrong}") from None
            if function is not None:
                self._all[name] = function

    def __contains__(self, name: str) -> bool:
        return name in self._all

    def __iter__(self):
        return iter(self._all)

    def get(self, name: str):
        return self._all.get(name)

    def call(self, name: str, *arguments) -> None:
        """Calls it if there is one; whatever it raises comes out as `Failed`."""
        function = self._all.get(name)
        if function is None:
            return
        try:
            function(*arguments)
        except BaseException as error:
            # This line is of no interest.
            error.__traceback__ = error.__traceback__.tb_next or error.__traceback__
            raise Failed(name, self.place, error) from error


@contextlib.contextmanager
def logged(log):
    """For hooks whose failure must not stop what goes on."""
    try:
        yield
    except Failed as failed:
        log.error("%s", failed, exc_info=failed.__cause__)


def explain(error: BaseException) -> str:
    """For people: where the hook has failed, and last which one it is."""
    if isinstance(error, gunicorn_conf.Wrong):
        return str(error)
    if not isinstance(error, Failed):
        return importer.explain(error)
    cause = error.__cause__
    return str(error) if isinstance(cause, SystemExit) else f"{importer.explain(cause)}\n{error}"


def blame(error: BaseException) -> int | None:
    """The exit code that a hook's failure asks for (`sys.exit(4)` in a hook ends gunicorn with 4); None if it was none."""
    return error.code if isinstance(error, Failed) else None


def _code(error: SystemExit) -> int:
    """What Python itself makes of it."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr)
    return 1

"""A worker process from its fork to its end, as far as Python goes: hooks, the import, signals that hooks hear."""

import atexit
import functools
import json
import os
import signal
import sys

from monodon import _monodon, app_metrics, hooks, interpreter, title
from monodon.hooks.exchange import Exchanges

EXIT_BOOT = 3


def work(zygote, entry: int, generation: int, worker) -> int:
    """In the new process; returns the exit code."""
    from monodon.zygote import FORWARDED, LONGEST

    setup, found, server = zygote.setup, zygote.hooks, zygote.server
    _monodon.follow(setup["supervisor"], setup["graceful_seconds"])
    if names := setup["app_metrics"]:
        app_metrics.identify(f"w{entry}{names['tag']}")
    title.set(setup, f"worker {entry}")
    zygote.tell(forked=entry, pid=os.getpid(), notes=worker.notes())
    signal.set_wakeup_fd(-1)
    for number in [signal.SIGCHLD, *FORWARDED]:
        signal.signal(number, signal.SIG_DFL)
    for descriptor in zygote.wakeup:
        os.close(descriptor)
    _monodon.begin(setup["scoreboard"], entry, generation)
    worker.pid = os.getpid()
    worker.bind(_monodon.Slot(setup["scoreboard"], entry))
    code = 1
    try:
        try:
            found.call("post_fork", server, worker)
            _listen(found, server, worker)
            worker.wsgi = server.app.wsgi()
            if entry == 0 and (words := interpreter.warning(setup["config"]["threads"])):
                server.log.warning("%s", words)
            found.call("post_worker_init", worker)
        except BaseException as error:
            words = hooks.explain(error)[-LONGEST:]
            if zygote.files is not None:
                zygote.files.look(error)
            code = EXIT_BOOT
            # gunicorn ends with the same code, whether a hook or the import has failed.
            blame = code if isinstance(error, hooks.Failed) else None
            zygote.tell(boot_failed=entry, pid=os.getpid(), traceback=words, hook=blame)
            return code
        worker.booted = True
        if folder := app_metrics.elsewhere():
            zygote.tell(app_metrics=folder)
        if zygote.files is None:
            zygote.channel.close()
        else:
            zygote.files.keep_looking()
        exchanges = Exchanges(found, worker) if "pre_request" in found or "post_request" in found else None
        abandon = functools.partial(_abandon, found, server, worker) if hears_abort(found) else None
        try:
            code = _monodon.serve(json.dumps(setup), entry, worker.wsgi, exchanges, abandon)
        except SystemExit as end:
            # A signal that a hook hears; see `_listen`.
            code = end.code
    finally:
        with hooks.logged(server.log):
            found.call("worker_exit", server, worker)
    _end()
    return code


def hears_abort(found) -> bool:
    return "worker_abort" in found or "worker_exit" in found


def _abandon(found, server, worker) -> None:
    """The end of a process whose request has taken too long, and came back after all: there is nothing to finish."""
    with hooks.logged(server.log):
        found.call("worker_exit", server, worker)
    _end()
    os._exit(1)


def _end() -> None:
    # What the application has registered to run at its end.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    _monodon.flush_log()


def _listen(found, server, worker) -> None:
    """Signals that hooks hear are heard by Python as well, between two steps of whatever the main thread executes.

    As under gunicorn, the hook sees where the main thread is (it may print the stack), and then that is interrupted by
    SystemExit, so that `finally` clauses and `worker_exit` run. The runtime hears the signal too.
    """

    def heard(hook: str, code: int):
        def handler(*_):
            if worker.interrupted:
                return
            worker.interrupted = True
            worker.alive = False
            with hooks.logged(server.log):
                found.call(hook, worker)
            raise SystemExit(code)

        return handler

    if "worker_int" in found or "worker_exit" in found:
        for number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, heard("worker_int", 0))
    if hears_abort(found):
        signal.signal(signal.SIGABRT, heard("worker_abort", 1))

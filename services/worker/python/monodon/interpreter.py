"""Which Python this is: above all whether its threads run at once (PEP 703)."""

import platform
import sys
import sysconfig


def is_free_threaded() -> bool:
    """Built without the lock; it may have been switched on all the same."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def has_lock() -> bool:
    ask = getattr(sys, "_is_gil_enabled", None)
    return True if ask is None else ask()


def describe() -> str:
    version = platform.python_version()
    if not is_free_threaded():
        return version
    return f"{version} free-threaded" + (", but with its lock on" if has_lock() else "")


def warning(threads: int) -> str | None:
    """To be asked when the application has been imported: what keeps its threads from running at once."""
    if is_free_threaded() and has_lock():
        return (
            "this Python is free-threaded, but its lock is on: an extension module that the application imports does not "
            "know of it (python -X gil=0 keeps it off, at your own risk), so threads run one after the other"
        )
    if is_free_threaded() and threads == 1:
        return "this Python is free-threaded, but threads is 1: with more, one process uses more than one core"
    return None

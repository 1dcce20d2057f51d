"""Monodon's worker: serves WSGI applications in supervised processes. Started as `monodon-worker APP`."""

import os


def _load() -> str:
    """Loads the extension with an allocator that takes no huge pages: two megabytes at a time for what needs a few pages were
    a third of a process. The allocator asks its variable once and disables them for the whole process; that is taken back,
    for the application may want them."""
    name = "MIMALLOC_ALLOW_THP"
    if name in os.environ:
        from monodon import _monodon

        return _monodon.__version__
    try:
        with open("/proc/self/status") as status:
            allowed = "THP_enabled:\t1" in status.read()
    except OSError:
        allowed = False
    os.environ[name] = "0"
    try:
        from monodon import _monodon
    finally:
        del os.environ[name]
    if allowed:
        _monodon.small_pages()
    return _monodon.__version__


__version__ = _load()
__all__ = ["__version__"]

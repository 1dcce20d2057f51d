"""Has prometheus_client name its files by the worker's entry instead of by pid, when and if the application imports it.

Files of a pid are left behind by each process that dies; those of an entry are taken up by the next one. What a process
starts itself (a fork of it, another program) must not write into its files: it goes by its pid.

Who sets PROMETHEUS_MULTIPROC_DIR in Python (in gunicorn.conf.py, say) has housekeeping of his own, which goes by pids: his
files are left as they are, and the supervisor is told where to read them.
"""

import os
import sys

MODULE = "prometheus_client.values"
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_pid = 0
_name = ""
_folder = ""


def identify(name: str) -> None:
    """The process that calls this is `name` from now on."""
    global _pid, _name
    _pid, _name = os.getpid(), name


def identifier():
    pid = os.getpid()
    return _name if pid == _pid else pid


def elsewhere() -> str | None:
    """Where the metrics are, if the application has set another folder than `install` was told."""
    folder = os.environ.get(VARIABLE, _folder)
    return os.path.abspath(folder) if folder != _folder and MODULE in sys.modules else None


def install(name: str, folder: str) -> None:
    """Before anything of the application's is imported."""
    global _folder
    identify(name)
    _folder = folder
    if MODULE in sys.modules:
        _adopt(sys.modules[MODULE])
    else:
        sys.meta_path.insert(0, _Finder())


def _adopt(values) -> None:
    if os.environ.get(VARIABLE) != _folder:
        return
    # What makes a metric looks this up each time. Very old ones have no such function; they go by their pids.
    make = getattr(values, "MultiProcessValue", None)
    if make is not None:
        values.ValueClass = make(identifier)


class _Finder:
    """Finds one module, once, by the finders that come after it."""

    def find_spec(self, name, path=None, target=None):
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader:
    """The module's own, and a word afterwards."""

    def __init__(self, loader):
        self._loader = loader

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        _adopt(module)

    def __getattr__(self, name):
        return getattr(self._loader, name)

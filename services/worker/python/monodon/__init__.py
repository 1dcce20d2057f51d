"""Monodon's worker: serves WSGI applications in supervised processes. Started as `monodon-worker APP`."""

from monodon._monodon import __version__

__all__ = ["__version__"]

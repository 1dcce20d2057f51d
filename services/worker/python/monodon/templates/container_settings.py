"""Settings in the container: the project's own, and what a read-only container needs beside them.

Written by `monodon-worker init`; yours to change. What the project's settings say for themselves stays: only what lies
in the project's folder, which cannot be written to there, is moved to the volumes.
"""

import os
from pathlib import Path

import @SETTINGS@ as _project
from @SETTINGS@ import *  # noqa: F403

_HERE = Path(__file__).resolve().parent


def _get(name, default=None):
    return getattr(_project, name, default)


def _writable(path):
    """True for a folder or file outside the project's own folder."""
    if not path:
        return False
    place = (_HERE / Path(str(path))).resolve()
    return place != _HERE and _HERE not in place.parents


# SQLite files go to the volume `data`; bring an existing one by: docker compose cp db.sqlite3 worker:/data/
_DATA = Path(os.environ.get("DATA_DIR", "/data"))
DATABASES = {name: dict(options) for name, options in _get("DATABASES", {}).items()}
for _options in DATABASES.values():
    _file = str(_options.get("NAME") or "")
    if _options.get("ENGINE", "").endswith("sqlite3") and not _file.startswith((":memory:", "file:")):
        if not _writable(_file):
            _options["NAME"] = _DATA / Path(_file or "db.sqlite3").name

# The edge serves these folders, under the addresses that compose.yaml names.
if not _writable(_get("STATIC_ROOT")):
    STATIC_ROOT = os.environ.get("STATIC_ROOT", "/srv/static")
if not _writable(_get("MEDIA_ROOT")):
    MEDIA_ROOT = os.environ.get("MEDIA_ROOT", "/srv/media")
if (_get("MEDIA_URL") or "/").strip("/") == "":
    MEDIA_URL = "@MEDIA_URL@"

if os.environ.get("SECRET_KEY"):
    SECRET_KEY = os.environ["SECRET_KEY"]
DEBUG = _get("DEBUG", False)
if os.environ.get("DEBUG"):
    DEBUG = os.environ["DEBUG"].lower() in ("1", "true", "yes", "on")

# The names that the edge answers for. Nobody else's Host header comes through it to the worker.
_DOMAINS = [name.strip() for name in os.environ.get("MONODON_DOMAINS", "").split(",") if name.strip()]
ALLOWED_HOSTS = list(_get("ALLOWED_HOSTS", []))
if not ALLOWED_HOSTS:
    ALLOWED_HOSTS = ["localhost", ".localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS += [name for name in _DOMAINS if name not in ALLOWED_HOSTS]

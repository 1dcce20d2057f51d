"""Python's `logging` as it is under gunicorn: the loggers `gunicorn.error` and `gunicorn.access`, and what `logconfig`,
`logconfig_dict`, `logconfig_json` and `capture_output` say.

For applications:

    "filters": {"request": {"()": "monodon.logs.RequestId"}}     each record then has a `request_id`
    "formatters": {"json": {"()": "monodon.logs.Json"}}          one JSON object a record, as all services write them
    monodon.logs.request_id()                                    the id of the request that this thread works on, or None
"""

import json
import logging
import logging.config
import logging.handlers
import os
import sys
import time
import urllib.parse

from monodon import _monodon

LEVELS = {
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": logging.DEBUG,
}
NAMES = {logging.CRITICAL: "error", logging.ERROR: "error", logging.WARNING: "warn", logging.INFO: "info"}
# gunicorn's.
DATES = "[%Y-%m-%d %H:%M:%S %z]"
GENERIC = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"

# What a record has by itself; anything else was given to it as `extra`.
_OWN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "request_id"}

error = logging.getLogger("gunicorn.error")
accesses = logging.getLogger("gunicorn.access")


def request_id() -> str | None:
    """The id (`X-Request-ID`) of the request that this thread is answering."""
    return _monodon.request_id()


class RequestId(logging.Filter):
    """Gives each record a `request_id`: a dash where there is none, so that `%(request_id)s` always works."""

    def filter(self, record) -> bool:
        if getattr(record, "request_id", None) is None:
            record.request_id = _monodon.request_id() or "-"
        return True


class Json(logging.Formatter):
    """One JSON object a record, with the fields that all services' lines have, and what `extra` adds."""

    def format(self, record) -> str:
        seconds, micros = divmod(int(record.created * 1_000_000), 1_000_000)
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{micros:06d}Z",
            "level": NAMES.get(record.levelno, "debug" if record.levelno < logging.INFO else "info"),
            "service": "worker",
            "target": record.name,
            "message": record.getMessage(),
            "pid": record.process,
        }
        found = getattr(record, "request_id", None) or _monodon.request_id()
        if found and found != "-":
            line["request_id"] = found
        for name, value in vars(record).items():
            if name not in _OWN and not name.startswith("_"):
                line[name + "_" if name in line else name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return json.dumps(line, default=str)


class Handler(logging.Handler):
    """Writes where the worker's own log goes, by its writer: no thread of the application waits for a slow reader."""

    _gunicorn = True

    def __init__(self, target: str):
        super().__init__()
        self.target = target

    def emit(self, record) -> None:
        try:
            line = self.format(record).encode(errors="backslashreplace") + b"\n"
            # Before the process serves there is no writer yet.
            if not _monodon.log(record.levelno, line):
                self._write(line)
        except Exception:
            self.handleError(record)

    def _write(self, line: bytes) -> None:
        standard = {"stdout": 1, "stderr": 2}.get(self.target)
        if standard is not None:
            os.write(standard, line)
            return
        with open(self.target, "ab", buffering=0) as file:
            file.write(line)


class _Access(logging.StreamHandler):
    """What the application itself says on `gunicorn.access`; the requests' lines are not made in Python."""

    _gunicorn = True


class _AccessFile(logging.FileHandler):
    _gunicorn = True


class _Syslog(logging.handlers.SysLogHandler):
    _gunicorn = True


_captured = None
_handler: Handler | None = None
_app = ""


def configure(config: dict) -> None:
    """Once in the zygote, before anything of the user's is imported but the configuration: processes inherit it."""
    global _handler, _captured, _app
    logs = config["logs"]
    _app = config["mechanics"]["proc_name"] or config["app"]
    if logs["capture_output"] and logs["errorlog"] not in ("stdout", "stderr"):
        _captured = logs["errorlog"]
        _capture()
    error.propagate = accesses.propagate = False
    error.setLevel(LEVELS.get(config["log_level"], logging.INFO))
    accesses.setLevel(logging.INFO)
    _handler = Handler(logs["errorlog"])
    _handler.setFormatter(Json() if _wants_json(config["log_format"], logs["errorlog"]) else logging.Formatter(GENERIC, DATES))
    error.addHandler(_handler)
    own = None
    if config["accesslog"] is not None:
        place = config["accesslog"]
        standard = {"-": sys.stdout, "stderr": sys.stderr}.get(place)
        own = _Access(standard) if standard else _AccessFile(place, delay=True)
        own.setFormatter(logging.Formatter("%(message)s"))
        accesses.addHandler(own)
    if logs["syslog"]:
        _syslog(logs["syslog"])
    if _apply(logs, config.get("gunicorn_conf")):
        # A configuration that names the logger takes its handlers away, as under gunicorn; whatever handlers there are
        # now get the lines.
        if own is not None and own not in accesses.handlers:
            config["accesslog"] = None
        logs["through_python"] = any(handler is not own for handler in _reached(accesses))


def _wants_json(format: str, target: str) -> bool:
    if format != "auto":
        return format == "json"
    stream = {"stdout": sys.stdout, "stderr": sys.stderr}.get(target)
    return stream is None or not stream.isatty()


def _reached(logger):
    """The handlers that a record of this logger comes to."""
    while logger:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None


def _apply(logs: dict, location: str | None) -> bool:
    """`logconfig_dict`, else `logconfig_json`, else `logconfig`."""
    given = json.loads(logs["logconfig_dict"]) if logs["logconfig_dict"] else None
    if given is None and location:
        from monodon import gunicorn_conf

        given = gunicorn_conf.load(location).get("logconfig_dict")
    if given:
        logging.config.dictConfig(_defaults() | given)
    elif logs["logconfig_json"]:
        with open(logs["logconfig_json"]) as file:
            logging.config.dictConfig(_defaults() | json.load(file))
    elif logs["logconfig"]:
        path = logs["logconfig"]
        values = {"__file__": path, "here": os.path.dirname(path)}
        logging.config.fileConfig(path, defaults=values, disable_existing_loggers=False)
    else:
        return False
    return True


def _defaults() -> dict:
    """What a user's dictionary updates: its formatter, handlers and loggers go by gunicorn's names."""
    logger = {"level": "INFO", "propagate": True}
    stream = {"class": "logging.StreamHandler", "formatter": "generic"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "root": {"level": "INFO", "handlers": ["console"]},
        "loggers": {
            "gunicorn.error": logger | {"handlers": ["error_console"]},
            "gunicorn.access": logger | {"handlers": ["console"]},
        },
        "handlers": {
            "console": stream | {"stream": "ext://sys.stdout"},
            "error_console": stream | {"stream": "ext://sys.stderr"},
        },
        "formatters": {"generic": {"format": GENERIC, "datefmt": DATES, "class": "logging.Formatter"}},
    }


def _syslog(syslog: dict) -> None:
    """`gunicorn.error` to syslog; the access log's own lines are sent without Python."""
    address = urllib.parse.urlsplit(syslog["address"])
    kinds = {"dgram": 2, "stream": 1}
    if address.scheme == "unix":
        where, kind = address.path, kinds.get(address.fragment)
    else:
        where, kind = (address.hostname or "localhost", address.port or 514), 2 if address.scheme == "udp" else 1
    prefix = f"gunicorn.{syslog['prefix'] or _app.replace(':', '.')}.error"
    try:
        handler = _Syslog(address=where, facility=syslog["facility"], socktype=kind)
    except OSError as problem:
        sys.stderr.write(f"monodon-worker: no syslog at {syslog['address']}: {problem}\n")
        return
    handler.setFormatter(logging.Formatter(prefix + ": [%(process)d] %(message)s"))
    error.addHandler(handler)


def _capture() -> None:
    """Standard output and error become the file of `errorlog`, for whatever is written to them, by libraries in C too."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    file = os.open(_captured, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for standard in (1, 2):
        os.dup2(file, standard)
    os.close(file)


def reopen() -> None:
    """SIGUSR1: every file that a handler of Python's writes is opened anew."""
    if _captured:
        _capture()
    for handler in {handler for logger in _loggers() for handler in logger.handlers}:
        if isinstance(handler, logging.FileHandler):
            handler.acquire()
            try:
                if handler.stream:
                    handler.close()
                    handler.stream = handler._open()
            finally:
                handler.release()


def _loggers():
    yield logging.root
    yield from (logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger))


def exception(problem: BaseException, method: str, path: str, id: str, note: str) -> None:
    """An exception came out of the application: gunicorn says so on `gunicorn.error`, where handlers may wait for it."""
    message = f"Error handling request {method} {path}"
    if note:
        message += f" ({note})"
    extra = {"request_id": id, "method": method, "path": path}
    if id != "-" and not isinstance(getattr(_handler, "formatter", None), Json):
        message += f" request_id={id}"
    information = (type(problem), problem, problem.__traceback__)
    if not error.disabled and any(_reached(error)) and error.isEnabledFor(logging.ERROR):
        error.error("%s", message, exc_info=information, extra=extra)
    else:
        # An application's own configuration may have disabled the logger; this must be told all the same.
        record = error.makeRecord(error.name, logging.ERROR, __file__, 0, "%s", (message,), information, None, extra)
        (_handler or logging.lastResort).handle(record)


class Atoms(dict):
    """The atoms of a request; a dash for those that there are not, and names in braces in any case."""

    def __missing__(self, name: str):
        lower = name.lower()
        return self[lower] if lower != name and lower in self else "-"


def access(format: str, plain: dict, request: list, response: list, environ: dict | None) -> None:
    """The line of a request through `logging`. Names and values are escaped already, but those of the environ."""
    atoms = Atoms(plain)
    atoms.update((f"{{{name.lower()}}}i", value) for name, value in request)
    atoms.update((f"{{{name.lower()}}}o", value) for name, value in response)
    for name, value in (environ or {}).items():
        if isinstance(value, str):
            value = value.replace("\\", "\\\\").replace('"', '\\"').translate(_CONTROLS)
        atoms[f"{{{name.lower()}}}e"] = value
    accesses.info(format, atoms)


_CONTROLS = {code: f"\\x{code:02x}" for code in [*range(0x20), *range(0x7F, 0x100)]}

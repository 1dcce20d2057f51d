"""What hooks know as `server.log` and `worker.log`: gunicorn's two loggers, which are Python's."""

import logging
import sys

FORM = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO}


class Logger:
    def __init__(self, level: str = "info"):
        self.error_log = logging.getLogger("gunicorn.error")
        self.access_log = logging.getLogger("gunicorn.access")
        if not self.error_log.handlers:
            # Nobody has said where it goes: to stderr, as under gunicorn.
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(logging.Formatter(FORM, "[%Y-%m-%d %H:%M:%S %z]"))
            self.error_log.addHandler(handler)
            self.error_log.setLevel(LEVELS.get(level, logging.DEBUG))
            self.error_log.propagate = False

    @property
    def loglevel(self) -> int:
        return self.error_log.getEffectiveLevel()

    def critical(self, message, *arguments, **more):
        self.error_log.critical(message, *arguments, **more)

    def error(self, message, *arguments, **more):
        self.error_log.error(message, *arguments, **more)

    def warning(self, message, *arguments, **more):
        self.error_log.warning(message, *arguments, **more)

    warn = warning

    def info(self, message, *arguments, **more):
        self.error_log.info(message, *arguments, **more)

    def debug(self, message, *arguments, **more):
        self.error_log.debug(message, *arguments, **more)

    def exception(self, message, *arguments, **more):
        self.error_log.exception(message, *arguments, **more)

    def log(self, level, message, *arguments, **more):
        if isinstance(level, str):
            level = logging.getLevelName(level.upper())
        self.error_log.log(level, message, *arguments, **more)

    def reopen_files(self):
        """Files are opened anew by SIGUSR1 to the worker's main process."""

    def close_on_exec(self):
        """Nothing that is ours is inherited by what a hook executes."""

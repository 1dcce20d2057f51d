"""What hooks know as `server.log` and `worker.log`: gunicorn's two loggers, which are Python's."""

import logging


class Logger:
    """Where their records go is `monodon.logs`."""

    def __init__(self):
        self.error_log = logging.getLogger("gunicorn.error")
        self.access_log = logging.getLogger("gunicorn.access")

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

"""What hooks know as `server.cfg` and `worker.cfg`: the effective settings under gunicorn's names."""

import os


class Setting:
    """One entry of `cfg.settings`."""

    def __init__(self, name: str, value):
        self.name = name
        self.value = value

    def get(self):
        return self.value


class Config:
    """Reading only: what is set here has no effect, so it is refused."""

    def __init__(self, config: dict, hooks):
        values = dict(config.get("gunicorn") or {})
        for name in ("workers", "threads", "max_requests", "max_requests_jitter", "preload_app", "backlog", "chdir"):
            if config.get(name) is not None:
                values[name] = config[name]
        for name in ("timeout", "graceful_timeout", "keepalive"):
            values[name] = _seconds(config[name])
        values["bind"] = config["bind"]
        values["config"] = config.get("gunicorn_conf")
        values.setdefault("default_proc_name", config["app"])
        self.__dict__.update(_values=values, _hooks=hooks)

    def __getattr__(self, name: str):
        if name in self._hooks:
            return self._hooks.get(name)
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"there is no setting {name!r}") from None

    def __setattr__(self, name: str, value):
        raise AttributeError(f"cfg.{name} cannot be set from a hook: by then it has been read; set it in the configuration")

    @property
    def settings(self) -> dict:
        return {name: Setting(name, value) for name, value in self._values.items()}

    @property
    def address(self) -> list:
        """`(host, port)`, a path, or the number of a descriptor, for each socket."""
        found = []
        for bind in self._values["bind"]:
            host, colon, port = bind.rpartition(":")
            if bind.startswith("unix:"):
                found.append(bind.removeprefix("unix:"))
            elif bind.startswith("fd://"):
                found.append(int(bind.removeprefix("fd://")))
            else:
                found.append((host.strip("[]"), int(port)))
        return found

    @property
    def env(self) -> dict:
        raw = self._values.get("raw_env") or []
        return dict(pair.partition("=")[::2] for pair in ([raw] if isinstance(raw, str) else raw))

    @property
    def proc_name(self) -> str:
        return self._values.get("proc_name") or self._values["default_proc_name"]

    @property
    def worker_class_str(self) -> str:
        name = self._values["worker_class"]
        return "gthread" if name.endswith(("sync", "SyncWorker")) and self._values["threads"] > 1 else name

    @property
    def uid(self) -> int:
        return os.geteuid()

    @property
    def gid(self) -> int:
        return os.getegid()

    @property
    def is_ssl(self) -> bool:
        return False


def _seconds(duration: dict):
    seconds = duration["secs"] + duration["nanos"] / 1e9
    return int(seconds) if seconds == int(seconds) else seconds

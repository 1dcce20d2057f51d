"""gunicorn's own list of settings against ours: every name, every flag, every value means the same or is refused."""

import json
import os
import sys

import pytest

config = pytest.importorskip("gunicorn.config")

from monodon import _monodon  # noqa: E402

TABLE = {row["name"]: row for row in json.loads(_monodon.gunicorn_table())}
THEIRS = {setting.name: setting for setting in config.KNOWN_SETTINGS}

# A value that is not the default: as on a command line, and as in a configuration file where that differs.
SAMPLES = {
    "bind": ["127.0.0.1:8001"],
    "backlog": "99",
    "workers": "3",
    "worker_class": "gthread",
    "threads": "5",
    "worker_connections": "77",
    "max_requests": "11",
    "max_requests_jitter": "12",
    "timeout": "13",
    "graceful_timeout": "14",
    "keepalive": "15",
    "limit_request_line": "4000",
    "limit_request_fields": "50",
    "limit_request_field_size": "4001",
    "reload_engine": "poll",
    "reload_extra_files": ["/etc/hosts"],
    "chdir": ".",
    "raw_env": ["A=1,2"],
    "pidfile": "x.pid",
    "worker_tmp_dir": "/dev/shm",
    "user": str(os.getuid()),
    "group": str(os.getgid()),
    "umask": "022",
    "tmp_upload_dir": "/tmp",
    "secure_scheme_headers": {"X-PROTO": "https"},
    "forwarded_allow_ips": "10.0.0.1,10.1.0.0/16",
    "accesslog": "access.log",
    "access_log_format": "%(h)s %(s)s",
    "errorlog": "error.log",
    "loglevel": "debug",
    "logconfig": "log.ini",
    "logconfig_dict": {"version": 1},
    "logconfig_json": "log.json",
    "syslog_addr": "udp://127.0.0.1:1514",
    "syslog_prefix": "web",
    "syslog_facility": "daemon",
    "statsd_host": "127.0.0.1:8125",
    "dogstatsd_tags": "a:b,c:d",
    "statsd_prefix": "shop",
    "proc_name": "shop",
    "default_proc_name": "shop",
    "pythonpath": "/a,/b",
    "paste": "app.ini",
    "proxy_protocol": "v1",
    "proxy_allow_ips": "10.0.0.1",
    "forwarder_headers": "SCRIPT_NAME,REMOTE_USER",
    "header_map": "refuse",
    "root_path": "/shop",
    "raw_paste_global_conf": ["a=b"],
    "control_socket": "/tmp/x.sock",
    "wsgi_app": "shop.wsgi:app",
    "http_parser": "python",
    "logger_class": "gunicorn.instrument.statsd.Statsd",
    # Refused ones: whatever asks for something.
    "protocol": "uwsgi",
    "uwsgi_allow_ips": "10.0.0.1",
    "keyfile": "x.pem",
    "certfile": "x.pem",
    "ssl_version": "5",
    "cert_reqs": "2",
    "ca_certs": "x.pem",
    "ciphers": "TLSv1",
    "http_protocols": "h2,h1",
    "http2_cleartext": "both",
    "http2_max_concurrent_streams": "7",
    "http2_initial_window_size": "70000",
    "http2_max_frame_size": "20000",
    "http2_max_header_list_size": "7",
    "asgi_loop": "uvloop",
    "asgi_lifespan": "on",
    "asgi_disconnect_grace_period": "7",
    "websocket_max_message_size": "7",
    "dirty_apps": ["a:b"],
    "dirty_workers": "1",
    "dirty_timeout": "1",
    "dirty_threads": "2",
    "dirty_graceful_timeout": "1",
    "control_socket_mode": "0660",
}
# What ours is by a value that gunicorn turns into something else.
TURNED = {"statsd_host": "127.0.0.1:8125", "user": str(os.getuid()), "group": str(os.getgid())}


# Whatever they are set to asks for nothing.
HARMLESS = {"suppress_ragged_eofs"}
# Being built.
PENDING = {name for name, row in TABLE.items() if row["key"] is None and row["refused"] is None and not row["hook"]} - {"config"}
SETTINGS = [name for name in THEIRS if name not in PENDING | HARMLESS | {"config"} and not TABLE[name]["hook"]]
REFUSED = [name for name in SETTINGS if TABLE[name]["refused"] is not None]
KEPT = [name for name in SETTINGS if TABLE[name]["refused"] is None]


@pytest.fixture
def folder(tmp_path):
    return furnished(tmp_path)


def furnished(tmp_path):
    (tmp_path / "app.ini").write_text("[app:main]\n")
    (tmp_path / "log.ini").write_text("[loggers]\nkeys=root\n[handlers]\nkeys=\n[formatters]\nkeys=\n[logger_root]\nhandlers=\n")
    (tmp_path / "log.json").write_text('{"version": 1}')
    return tmp_path


def ours(folder, *arguments):
    said = _monodon.gunicorn_effective(list(arguments), [sys.executable], str(folder))
    return json.loads(said)


def theirs(folder, name, *arguments):
    """What gunicorn makes of a command line."""
    cfg = config.Config()
    parsed = vars(cfg.parser().parse_args(list(arguments)))
    cfg.set(name, parsed[name])
    return cfg.settings[name].get()


def on_the_line(setting):
    """The ways to write a setting's flag, each a command line."""
    row = TABLE[setting.name]
    if row["switch"]:
        return [[flag] for flag in setting.cli]
    value = SAMPLES[setting.name]
    value = value[0] if isinstance(value, list) else value
    lines = []
    for flag in setting.cli:
        joined = f"{flag}={value}" if flag.startswith("--") else f"{flag}{value}"
        lines += [[flag, value], [joined]]
    return lines


def test_the_table_has_gunicorns_settings_in_gunicorns_order():
    assert list(TABLE) == [setting.name for setting in config.KNOWN_SETTINGS]
    assert len(TABLE) == 120


@pytest.mark.parametrize("name", list(THEIRS))
def test_the_flags_are_gunicorns(name):
    row, setting = TABLE[name], THEIRS[name]
    own = ["--" + flag for flag in row["flags"] or [name.replace("_", "-")]] + ([f"-{row['short']}"] if row["short"] else [])
    assert sorted(own if row["has_flag"] else []) == sorted(setting.cli or [])
    if setting.cli:
        assert row["switch"] == (setting.action in ("store_true", "store_const"))


@pytest.mark.parametrize("name", list(THEIRS))
def test_each_is_a_setting_or_a_hook_or_refused_with_words(name):
    row = TABLE[name]
    if row["refused"] is not None:
        assert row["key"] is None and row["words"]


@pytest.mark.parametrize("name", [name for name in SETTINGS if THEIRS[name].cli])
def test_a_flag_means_what_it_means_under_gunicorn_or_is_refused(folder, monkeypatch, name):
    monkeypatch.chdir(folder)
    row = TABLE[name]
    app = [] if name == "paste" else ["app"]
    for line in on_the_line(THEIRS[name]):
        said = ours(folder, *line, *app)
        if row["refused"] is not None:
            flag = line[0].split("=")[0] if line[0].startswith("--") else line[0][:2]
            assert said["problems"] == [f"{flag}: {row['words']}"]
            continue
        assert "problems" not in said, said
        wanted = TURNED.get(name, theirs(folder, name, *line, "app"))
        assert said["effective"][name] == wanted, line


def value_of(name):
    """The sample as a configuration file has it."""
    setting, sample = THEIRS[name](), SAMPLES.get(name)
    if name not in SAMPLES:
        return not setting.default
    return setting.type(sample) if setting.type is not None and isinstance(sample, str) else sample


def as_python(name):
    if THEIRS[name].section in ("Server Hooks", "Dirty Arbiter Hooks"):
        return f"def {name}(*anything): pass\n"
    return f"{name} = {value_of(name)!r}\n"


@pytest.fixture(scope="module")
def from_file(tmp_path_factory):
    """What a configuration file with all settings comes to: first what is kept, then what is refused."""
    folder = furnished(tmp_path_factory.mktemp("file"))
    file = folder / "gunicorn.conf.py"
    file.write_text("".join(as_python(name) for name in KEPT))
    kept = ours(folder)
    file.write_text("".join(as_python(name) for name in REFUSED))
    return kept, ours(folder, "app")


@pytest.mark.parametrize("name", KEPT)
def test_a_variable_of_the_file_means_what_it_means_under_gunicorn(folder, monkeypatch, from_file, name):
    monkeypatch.chdir(folder)
    kept, _ = from_file
    assert "problems" not in kept, kept
    cfg = config.Config()
    cfg.set(name, value_of(name))
    wanted = TURNED.get(name, cfg.settings[name].get())
    if name == "chdir":
        assert kept["effective"][name] == os.path.dirname(kept["effective"]["config"])
    elif name == "wsgi_app":
        # Under gunicorn it is not looked at where there is a Paste file.
        assert kept["effective"][name].endswith("/app.ini")
    elif name != "logconfig_dict":  # Python's own objects go another way.
        assert kept["effective"][name] == wanted


@pytest.mark.parametrize("name", REFUSED)
def test_a_variable_of_the_file_is_refused_with_the_same_words(from_file, name):
    _, refused = from_file
    line = REFUSED.index(name) + 1
    assert f"gunicorn.conf.py:{line}: {name}: {TABLE[name]['words']}" in refused["problems"]


def test_what_is_refused_is_accepted_with_a_value_that_asks_for_nothing(folder):
    lines = []
    for name in [*REFUSED, *HARMLESS]:
        default = THEIRS[name].default
        if not callable(default):
            lines.append(f"{name} = {int(default) if name in ('ssl_version', 'cert_reqs') else default!r}\n")
    (folder / "gunicorn.conf.py").write_text("".join(lines))
    assert "problems" not in ours(folder, "app")


@pytest.fixture(scope="module")
def by_default(tmp_path_factory):
    kept = {name: os.environ.pop(name, None) for name in ("PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "SENDFILE")}
    yield ours(tmp_path_factory.mktemp("default"), "app")["effective"]
    os.environ.update({name: value for name, value in kept.items() if value is not None})


@pytest.mark.parametrize("name", [name for name in KEPT if name not in ("control_socket", "chdir", "user", "group", "wsgi_app")])
def test_a_default_that_differs_is_told(by_default, name):
    """Where nothing is given, hooks find what gunicorn would have, or the reference says what they find."""
    wanted = THEIRS[name]().get()
    assert by_default[name] == wanted or TABLE[name]["words"], (by_default[name], wanted)


def test_all_of_them_are_built():
    assert PENDING == set()

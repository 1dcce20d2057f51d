"""What is told besides requests, and Python's `logging` as it is under gunicorn."""

import json
import signal
import socket

import pytest
from conftest import HELLO, until
from test_access_log import REQUESTS, SOURCE, ask_all, gunicorn, lines_of

APP = """
import logging
import logging.config
import os
import sys
import threading

from monodon import logs

logging.config.dictConfig({
    "version": 1,
    "disable_existing_loggers": DISABLE,
    "filters": {"request": {"()": "monodon.logs.RequestId"}},
    "formatters": {"plain": {"format": "app %(levelname)s %(request_id)s %(message)s"}, "json": {"()": "monodon.logs.Json"}},
    "handlers": {
        "out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "filters": ["request"], "formatter": "plain"},
        "json": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"},
    },
    "loggers": {"app": {"handlers": ["out"], "level": "INFO"}, "app.json": {"handlers": ["json"], "propagate": False}},
})
log = logging.getLogger("app")
# As gunicorn's users do it: the application's own logger writes where gunicorn does.
borrowed = logging.getLogger("borrowed")
borrowed.handlers = logging.getLogger("gunicorn.error").handlers
borrowed.setLevel(logging.getLogger("gunicorn.error").level)


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fails":
        raise ValueError("on purpose")
    if path == "/stream":
        start_response("200 OK", [])
        return stream()
    if path == "/log":
        log.info("said by the application")
        logging.getLogger("app.json").warning("as %s", "json", extra={"order": 7})
        logging.getLogger("gunicorn.error").warning("said to gunicorn")
        logging.getLogger("gunicorn.error").debug("too quiet")
        borrowed.info("by its handlers")
        thread = threading.Thread(target=lambda: log.info("in the background"))
        thread.start()
        thread.join()
    if path == "/print":
        print("printed", flush=True)
        os.write(2, b"written below Python\\n")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def stream():
    yield b"part"
    log.info("while it streams")
    raise KeyError("midway")
"""


def app(disable=False):
    return APP.replace("DISABLE", str(disable))


def get(server, path, id="r-1"):
    return server.request(path=path, headers={"X-Request-ID": id})


def exceptions(server):
    return [line for line in list(server.log) if "exception" in line]


@pytest.mark.parametrize("threads", ["1", "2"])
def test_an_exception_is_told_with_its_request(worker, threads):
    server = worker(app(), "--workers", "1", "--threads", threads)
    assert get(server, "/fails?a=b", "r-7")[0] == 500
    (line,) = until(lambda: exceptions(server), "the exception")
    assert (line["level"], line["service"], line["target"]) == ("error", "worker", "gunicorn.error")
    assert (line["method"], line["path"], line["request_id"]) == ("GET", "/fails?a=b", "r-7")
    assert line["message"] == "Error handling request GET /fails?a=b"
    assert line["exception"].startswith("Traceback") and line["exception"].endswith("ValueError: on purpose")
    assert "call.rs" not in line["exception"] and 'raise ValueError("on purpose")' in line["exception"]


@pytest.mark.parametrize("threads", ["1", "2"])
def test_records_of_the_application_know_their_request(worker, threads):
    server = worker(app(), "--workers", "1", "--threads", threads)
    assert get(server, "/log", "r-8")[0] == 200
    assert server.request(path="/log")[0] == 200
    until(lambda: len(server.out) >= 4, "the lines")
    assert server.out[:2] == ["app INFO r-8 said by the application", "app INFO - in the background"]
    assert server.out[2] == "app INFO - said by the application"
    (line, _) = until(lambda: [line for line in list(server.log) if line.get("message") == "as json"], "the JSON")
    assert (line["request_id"], line["order"], line["level"], line["target"]) == ("r-8", 7, "warn", "app.json")
    line = server.hears("said to gunicorn")
    assert (line["level"], line["target"], line["request_id"]) == ("warn", "gunicorn.error", "r-8")
    assert server.hears("by its handlers")["target"] == "borrowed"
    assert not server.said("too quiet")


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_streams_records_and_its_exception_too(worker, threads):
    server = worker(app(), "--workers", "1", "--threads", threads)
    with pytest.raises(Exception):
        get(server, "/stream", "r-9")
    (line,) = until(lambda: exceptions(server), "the exception")
    assert (line["path"], line["request_id"]) == ("/stream", "r-9")
    assert "app INFO r-9 while it streams" in server.out


def test_an_exception_is_told_also_where_the_application_has_disabled_the_logger(worker):
    server = worker(app(disable=True), "--workers", "1")
    assert get(server, "/fails", "r-7")[0] == 500
    (line,) = until(lambda: exceptions(server), "the exception")
    assert line["request_id"] == "r-7"


def test_text_looks_as_gunicorns(start):
    server = start(app(), "--workers", "1", "--log-format", "text", "--errorlog", "-")
    _get(_address(server), "/fails", "X-Request-ID: r-7")
    until(lambda: "ValueError: on purpose" in server.err(), "the traceback")
    (line,) = [line for line in server.err().splitlines() if "Error handling" in line]
    assert line.endswith("] [ERROR] Error handling request GET /fails request_id=r-7") and line.startswith("[20")


def test_errorlog_is_a_file_that_usr1_opens_anew(start, tmp_path):
    path = tmp_path / "error.log"
    server = start(app(), "--workers", "1", "--error-logfile", str(path), "--log-level", "WARNING", "--capture-output")
    lines = lambda: [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
    address = _address(server)
    ask = lambda where: _get(address, where)
    ask("/log")
    until(lambda: "said to gunicorn" in path.read_text(), "the record")
    assert {line["level"] for line in lines()} <= {"warn", "error"}
    ask("/print")
    until(lambda: "printed\nwritten below Python\n" in path.read_text(), "what was printed")
    assert server.out == [] and server.err() == ""
    path.rename(tmp_path / "old.log")
    server.signal(signal.SIGUSR1)
    until(path.exists, "the new file")

    def told():
        # The process opens it for itself, perhaps after the supervisor: until then its lines go to the old one.
        ask("/fails")
        return "on purpose" in path.read_text()

    until(told, "the exception")
    ask("/print")
    until(lambda: "printed\nwritten below Python\n" in path.read_text(), "what was printed")


def _address(server):
    """Of a worker whose log does not tell it on stdout: the control socket does."""

    def idle():
        try:
            status = server.status()
        except OSError:
            return None
        return status if [row["state"] for row in status["processes"]] == ["idle"] else None

    host, _, port = until(idle, "the process")["listen"][0].removeprefix("http://").rpartition(":")
    return host, int(port)


def _get(address, path, header="X-A: b"):
    with socket.create_connection(address, 10) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: a\r\n{header}\r\n\r\n".encode())
        while connection.recv(65536):
            pass


def test_another_logger_class_is_refused_with_what_to_use(start):
    server = start(HELLO, "--logger-class", "mine.Logger")
    assert server.wait() == 2
    assert "--logger-class" in server.err() and "logconfig_dict sends them through handlers of Python's" in server.err()


def test_gunicorns_own_logger_class_is_none_other(worker):
    assert worker(HELLO, "--workers", "1", "--logger-class", "gunicorn.glogging.Logger", "-R").request()[0] == 200


CONFIG = {
    "formatters": {"generic": {"format": "%(name)s %(levelname)s %(message)s"}},
    "handlers": {"file": {"class": "logging.FileHandler", "filename": "FILE", "formatter": "generic"}},
    "root": {"level": "INFO", "handlers": ["file"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["file"], "propagate": False},
        "gunicorn.access": {"level": "INFO", "handlers": ["file"], "propagate": False},
    },
}
FORMAT = "%(h)s %(l)s %(u)s %(r)s %(s)s %(m)s %(U)s %(q)s %(H)s %(b)s %(B)d %(f)s %(a)s %({X-One}i)s %({content-type}o)s %({x.set.by.the.application}e)s %({x}i)s"
INI = """
[loggers]
keys=root, gunicorn.error, gunicorn.access

[handlers]
keys=file

[formatters]
keys=generic

[logger_root]
level=INFO
handlers=file

[logger_gunicorn.error]
level=INFO
handlers=file
propagate=0
qualname=gunicorn.error

[logger_gunicorn.access]
level=INFO
handlers=file
propagate=0
qualname=gunicorn.access

[handler_file]
class=FileHandler
formatter=generic
args=("FILE",)

[formatter_generic]
format=%(name)s %(levelname)s %(message)s
"""
DICT = "import logging\nclass Mine(logging.Formatter):\n    pass\nlogconfig_dict = " + repr(CONFIG).replace(
    "'formatters': {'generic': {", "'formatters': {'generic': {'()': Mine, "
).replace("'format': '%(name)s", "'fmt': '%(name)s")


def configured(folder, how):
    """Flags for a logging configuration of that kind; it writes to `python.log`."""
    path = str(folder / "python.log")
    if how == "ini":
        (folder / "logging.ini").write_text(INI.replace("FILE", path))
        return ["--log-config", "logging.ini"]
    if how == "json":
        (folder / "logging.json").write_text(json.dumps(CONFIG).replace("FILE", path))
        return ["--log-config-json", "logging.json"]
    (folder / "conf.py").write_text(DICT.replace("FILE", path))
    return ["--config", "conf.py"]


@pytest.mark.parametrize("how", ["ini", "json", "dict"])
def test_a_logging_configuration_gets_the_lines_that_it_gets_under_gunicorn(start, tmp_path, how):
    theirs = tmp_path / "gunicorn"
    theirs.mkdir()
    (theirs / "logged.py").write_text(SOURCE)
    with gunicorn(theirs, *configured(theirs, how), "--access-logformat", FORMAT) as address:
        ask_all(address)
        expected = accesses(theirs)
    ours = tmp_path / "ours"
    ours.mkdir()
    flags = configured(ours, how)
    (ours / "app.py").write_text(SOURCE)
    flags = [str(ours / flag) if flag == "conf.py" else flag for flag in flags]
    # Its files are found in the folder that the worker works in, as gunicorn finds them.
    server = start(SOURCE, "--workers", "1", "--chdir", str(ours), "--access-logformat", FORMAT, *flags)
    server.ready()
    ask_all(server.address)
    assert accesses(ours) == expected
    assert len(expected) == len(REQUESTS) and "set" in expected[0]


def accesses(folder):
    path = folder / "python.log"
    lines = lambda: [line for line in path.read_text().splitlines() if line.startswith("gunicorn.access")]
    return until(lambda: path.exists() and len(lines()) >= len(REQUESTS) and lines(), "the lines")


def test_a_wrong_logging_configuration_ends_the_start(start, tmp_path):
    (tmp_path / "logging.json").write_text('{"handlers": {"x": {"class": "no.Such"}}}')
    server = start(HELLO, "--log-config-json", str(tmp_path / "logging.json"))
    assert server.wait() == 3
    assert "logging cannot be configured" in server.err() and "'x'" in server.err()
    server = start(HELLO, "--log-config", "nowhere.ini")
    assert server.wait() == 2
    assert "nowhere.ini is no file" in server.err()


class Collector:
    """A syslog that keeps what it hears."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(20)
        self.address = f"udp://127.0.0.1:{self.socket.getsockname()[1]}"
        self.heard = []

    def hears(self, part):
        while True:
            found = [message for message in self.heard if part in message]
            if found:
                return found[0]
            self.heard.append(self.socket.recv(65536).decode())


def test_syslog_gets_both_logs_as_gunicorn_sends_them(worker):
    collector = Collector()
    flags = ["--log-syslog", "--log-syslog-to", collector.address, "--log-syslog-facility", "LOCAL3"]
    server = worker(app(), "--workers", "1", *flags, "--access-logformat", '"%(r)s" %(s)s')
    (pid,) = server.pids()
    get(server, "/fails")
    assert collector.hears("GET /fails HTTP") == f'<158>gunicorn.app.application.access: [{pid}] "GET /fails HTTP/1.1" 500\0'
    # From Rust and from Python: local3 is 19; 19 * 8 + 6, and + 3.
    assert collector.hears("serving app").startswith(f"<158>gunicorn.app.application.error: [{server.process.pid}] serving")
    assert collector.hears("Traceback").startswith(f"<155>gunicorn.app.application.error: [{pid}] Error handling request")


def test_syslog_can_do_without_the_access_log_and_with_another_name(worker):
    collector = Collector()
    flags = ["--log-syslog", "--log-syslog-to", collector.address, "--log-syslog-prefix", "shop"]
    server = worker(app(), "--workers", "1", *flags, "--disable-redirect-access-to-syslog", "--name", "other")
    get(server, "/log")
    assert collector.hears("said to gunicorn").startswith("<12>gunicorn.shop.error: [")
    # What is to be sent is sent when the worker has ended.
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert collector.hears("stopped")
    assert not any("access" in message for message in collector.heard)


def test_syslog_calls_the_process_by_its_name(worker):
    collector = Collector()
    server = worker(app(), "--workers", "1", "--log-syslog", "--log-syslog-to", collector.address, "--name", "sh:op")
    get(server, "/log")
    assert collector.hears("GET /log").startswith("<14>gunicorn.sh.op.access: [")
    assert collector.hears("said to gunicorn").startswith("<12>gunicorn.sh.op.error: [")


def test_syslogs_address_and_facility_are_checked(start):
    server = start(HELLO, "--log-syslog-to", "localhost", "--log-syslog-facility", "nobody")
    assert server.wait() == 2
    assert "expected unix://PATH, udp://HOST:PORT or tcp://HOST:PORT" in server.err()
    assert "expected one of auth, authpriv" in server.err()


class Stats(Collector):
    """A StatsD that keeps the metrics it hears, one by one."""

    def __init__(self, path=None):
        if path is None:
            super().__init__()
            self.address = self.address.removeprefix("udp://")
            return
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(20)
        self.address = f"unix://{path}"
        self.heard = []

    def hears(self, part):
        while True:
            found = [metric for metric in self.heard if part in metric]
            if found:
                return found[0]
            self.heard += self.socket.recv(65536).decode().split("\n")


@pytest.mark.parametrize("place", ["udp", "unix"])
def test_statsd_hears_what_gunicorn_tells(worker, tmp_path, place):
    stats = Stats(tmp_path / "statsd.sock" if place == "unix" else None)
    flags = ["--statsd-host", stats.address, "--statsd-prefix", "shop", "--dogstatsd-tags", "env:test,team:a"]
    server = worker(app(), "--workers", "1", *flags, "--enable-backlog-metric")
    tags = "|#env:test,team:a"
    get(server, "/fails")
    assert stats.hears("request.status") == f"shop.gunicorn.request.status.500:1|c|@1.0{tags}"
    assert stats.hears("gunicorn.requests") == f"shop.gunicorn.requests:1|c|@1.0{tags}"
    name, _, value = stats.hears("request.duration").partition(":")
    assert name == "shop.gunicorn.request.duration" and value.endswith(f"|ms{tags}") and float(value.partition("|")[0]) > 0
    assert stats.hears("gunicorn.workers:1") == f"shop.gunicorn.workers:1|g{tags}"
    assert stats.hears("gunicorn.backlog") == f"shop.gunicorn.backlog:0|h{tags}"
    assert stats.hears("log.exception") == f"shop.gunicorn.log.exception:1|c|@1.0{tags}"
    get(server, "/log")
    assert stats.hears("log.warning") == f"shop.gunicorn.log.warning:1|c|@1.0{tags}"
    assert not any("log.error" in metric for metric in stats.heard)


def test_gunicorn_itself_tells_statsd_the_same(tmp_path):
    """The names and forms that the test above expects of us."""
    stats = Stats()
    (tmp_path / "logged.py").write_text(SOURCE)
    with gunicorn(tmp_path, "--statsd-host", stats.address, "--statsd-prefix", "shop", "--dogstatsd-tags", "a:b") as address:
        ask_all(address)
        assert stats.hears("request.status.404") == "shop.gunicorn.request.status.404:1|c|@1.0|#a:b"
        assert stats.hears("gunicorn.requests") == "shop.gunicorn.requests:1|c|@1.0|#a:b"
        assert stats.hears("request.duration").endswith("|ms|#a:b")
        assert stats.hears("gunicorn.workers") == "shop.gunicorn.workers:1|g|#a:b"


def test_statsd_that_nobody_listens_to_costs_nothing(worker, tmp_path):
    server = worker(HELLO, "--workers", "1", "--statsd-host", f"unix://{tmp_path}/nobody.sock")
    assert server.request()[0] == 200
    stats = Stats(tmp_path / "nobody.sock")
    server.request()
    assert stats.hears("gunicorn.workers") == "gunicorn.workers:1|g"


def test_statsds_settings_are_checked(start):
    server = start(HELLO, "--statsd-host", "udp://x", "--statsd-prefix", "a:b")
    assert server.wait() == 2
    assert "--statsd-host: expected unix://PATH or HOST:PORT" in server.err()

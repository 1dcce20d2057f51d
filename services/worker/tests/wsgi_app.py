"""The application that the WSGI tests talk to: one path, one behaviour."""

import hashlib
import json
import os
import sys
import tempfile
import threading
import time
from wsgiref.validate import validator

closed = []
calls = []


class Body:
    """An iterable that notes its close()."""

    def __init__(self, name, parts):
        self.name, self.parts = name, iter(parts)

    def __iter__(self):
        return self

    def __next__(self):
        part = next(self.parts)
        if isinstance(part, Exception):
            raise part
        return part

    def close(self):
        closed.append(self.name)


def text(start_response, body, status="200 OK", headers=()):
    body = body if isinstance(body, bytes) else body.encode()
    start_response(status, [("Content-Type", "text/plain"), *headers])
    return [body]


def environ(environ, start_response):
    plain = {key: value for key, value in environ.items() if isinstance(value, (str, int, bool, tuple))}
    return text(start_response, json.dumps(plain))


def echo(environ, start_response):
    return text(start_response, environ["wsgi.input"].read())


def digest(environ, start_response):
    body = environ["wsgi.input"]
    total, seen = 0, hashlib.sha256()
    while block := body.read(10_000):
        total += len(block)
        seen.update(block)
    return text(start_response, json.dumps([total, seen.hexdigest(), environ.get("CONTENT_LENGTH")]))


def lines(environ, start_response):
    """By iteration, by readline, by readlines and by sized reads, all of one body."""
    body, how = environ["wsgi.input"], environ["QUERY_STRING"]
    if how == "iterate":
        found = [line.decode("latin-1") for line in body]
    elif how == "readline":
        found = [line.decode("latin-1") for line in iter(body.readline, b"")]
    elif how == "readlines":
        found = [line.decode("latin-1") for line in body.readlines()]
    elif how == "hint":
        found = [line.decode("latin-1") for line in body.readlines(3)]
        found.append(body.read().decode("latin-1"))
    elif how == "sized":
        found = [part.decode("latin-1") for part in iter(lambda: body.readline(4), b"")]
    else:
        first = body.readline().decode("latin-1")
        found = [first, body.read(2).decode("latin-1"), body.read(-1).decode("latin-1"), body.read().decode("latin-1")]
    ends = [body.read(), body.read(5), body.readline(), *body.readlines(), *body]
    return text(start_response, json.dumps([found, [end.decode() for end in ends]]))


def generator(environ, start_response):
    """start_response is only called when the first part is asked for."""
    start_response("201 Created", [("X-From", "generator")])
    yield b""
    yield b"one,"
    yield b"two"


def empty_generator(environ, start_response):
    start_response("202 Accepted", [("X-From", "generator")])
    return
    yield


def fails(environ, start_response):
    raise ValueError("on purpose")


def fails_first(environ, start_response):
    start_response("200 OK", [])
    return Body("fails_first", [ValueError("before the first part")])


def fails_midway(environ, start_response):
    headers = [("Content-Length", "1000")] if environ["QUERY_STRING"] == "length" else []
    start_response("200 OK", headers)
    return Body("fails_midway", [b"x" * 100, ValueError("in the middle")])


def silent(environ, start_response):
    return [b"no start_response"]


def short(environ, start_response):
    start_response("200 OK", [("Content-Length", "10")])
    return [b"12345"]


def long(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"123", b"4567890"]


def status(environ, start_response):
    """The status that the query names, with a body that may not always be sent."""
    start_response(environ["QUERY_STRING"].replace("+", " "), [("X-Here", "yes")])
    return Body("status", [b"body"])


def bad_header(environ, start_response):
    name, value = {
        "crlf": ("X-A", "b\r\nX-Evil: 1"),
        "nul": ("X-A", "b\0c"),
        "name": ("X A", "b"),
        "wide": ("X-A", "\u20ac"),
        "length": ("Content-Length", "-1"),
    }[environ["QUERY_STRING"]]
    start_response("200 OK", [(name, value)])
    return [b"sent"]


def hop(environ, start_response):
    headers = [("Connection", "X-Thing"), ("Transfer-Encoding", "gzip"), ("Keep-Alive", "9"), ("Upgrade", "h2c")]
    return text(start_response, "kept", headers=[*headers, ("x-monodon-process", "9/9/9"), ("X-Stays", "1")])


def latin(environ, start_response):
    return text(start_response, environ["HTTP_X_LATIN"].encode("latin-1"), headers=[("X-Back", environ["HTTP_X_LATIN"])])


def exc_info(environ, start_response):
    """Twice without exc_info is refused, with it the first head is replaced; after the head went out it is raised."""
    how = environ["QUERY_STRING"]
    start_response("200 OK", [("X-First", "1")])
    if how == "twice":
        start_response("200 OK", [])
    try:
        raise KeyError("inner")
    except KeyError:
        information = sys.exc_info()
    if how == "replace":
        start_response("500 Replaced", [("X-Second", "2")], information)
        return [b"replaced"]
    return late(start_response, information)


def late(start_response, information):
    yield b"out already"
    start_response("500 Too late", [], information)
    yield b"never"


def write(environ, start_response):
    push = start_response("200 OK", [("Content-Type", "text/plain")])
    push(b"one,")
    push(b"two,")
    return [b"three"]


def write_only(environ, start_response):
    start_response("200 OK", [])(b"all of it")
    return []


def wait_for(path):
    """Until the test has made the file; false when it never does."""
    for _ in range(2000):
        if os.path.exists(path):
            return True
        time.sleep(0.005)
    return False


def write_waits(environ, start_response):
    """Goes on when the client says that it has what was written."""
    write = start_response("200 OK", [])
    write(b"")
    write(b"first")
    seen = wait_for(environ["QUERY_STRING"] + ".1")
    write(b"second")
    seen += wait_for(environ["QUERY_STRING"] + ".2")
    return [b"seen %d" % seen]


def write_file(environ, start_response):
    """What is returned after write() follows, whatever it is."""
    made = tempfile.TemporaryFile()
    made.write(b"0123456789" * 300)
    made.seek(5)
    start_response("200 OK", [("Content-Length", "2996")] if environ["QUERY_STRING"] == "length" else [])(b"x")
    return environ["wsgi.file_wrapper"](made, 1000)


def write_fails(environ, start_response):
    start_response("200 OK", [])(b"out")
    try:
        raise ValueError("after write")
    except ValueError:
        start_response("500 Too late", [], sys.exc_info())


def write_elsewhere(environ, start_response):
    """write() and early hints from a thread of the application's own."""

    def work():
        environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
        start_response("200 OK", [])(b"x" * 1_000_000)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return [b"y"]


kept = {}


def write_late(environ, start_response):
    """With a query: keeps write(). Without: calls what was kept, of a response that is over."""
    name, _, use = environ["QUERY_STRING"].partition("&")
    if not use:
        kept[name] = start_response("200 OK", [])
        kept[name](b"in time")
        return []
    try:
        kept.pop(name)(b"too late")
    except AssertionError as error:
        return text(start_response, str(error))
    return text(start_response, "accepted")


def write_much(environ, start_response):
    """To a client that does not read. Leaves in the file how it ended, after how many blocks, and whether another
    thread could run while write() waited."""
    beats, done = [0], threading.Event()

    def beat():
        while not done.wait(0.005):
            beats[0] += 1

    thread = threading.Thread(target=beat)
    thread.start()
    write = start_response("200 OK", [])
    count, before = 0, 0
    try:
        for count in range(200):
            before = beats[0]
            write(b"w" * 1_000_000)
        end = "all written"
    except OSError as error:
        end = type(error).__name__
        raise
    finally:
        done.set()
        thread.join()
        with open(environ["QUERY_STRING"] + ".part", "w") as file:
            json.dump([end, count, beats[0] - before], file)
        os.rename(environ["QUERY_STRING"] + ".part", environ["QUERY_STRING"])
    return []


def stream_much(environ, start_response):
    start_response("200 OK", [])
    return Body(environ["QUERY_STRING"], (b"s" * 1_000_000 for _ in range(200)))


def hints(environ, start_response):
    hint = environ["wsgi.early_hints"]
    how = environ["QUERY_STRING"]
    if how == "bad":
        hint([("Link", "</a>\r\nX-Evil: 1")])
    if how == "name":
        hint([("Li nk", "</a>")])
    hint([("Link", "</style.css>; rel=preload; as=style")])
    hint([(b"Link", b"</app.js>; rel=preload"), ("X-Two", " caf\xe9 ")])
    if how == "waits":
        wait_for(environ["HTTP_X_FILE"])
    start_response("200 OK", [("Content-Type", "text/html")])
    if how == "late":
        return late_hint(hint)
    return [b"page"]


def late_hint(hint):
    yield b"begun,"
    hint([("Link", "</late.css>")])
    yield b"done"


class Panics:
    """Where the query says, a panic below the application, as the bug of an extension written in Rust would be: PyO3
    raises it as this exception, and goes on panicking where the exception comes back."""

    def __init__(self, where):
        self.where, self.step = where, 0

    def panic(self):
        raise next(kind for kind in BaseException.__subclasses__() if kind.__name__ == "PanicException")("a bug")

    def __iter__(self):
        return self

    def __next__(self):
        self.step += 1
        if self.where == ["first", "second"][min(self.step, 2) - 1]:
            self.panic()
        if self.step > 1:
            raise StopIteration
        return b"one"

    def close(self):
        if self.where == "close":
            self.panic()


def panics(environ, start_response):
    body = Panics(environ["QUERY_STRING"])
    if not body.where:
        body.panic()
    start_response("200 OK", [])
    return body


def closes(environ, start_response):
    start_response("200 OK", [])
    return Body(environ["QUERY_STRING"], [b"a", b"b"])


def was_closed(environ, start_response):
    return text(start_response, json.dumps(closed.count(environ["QUERY_STRING"])))


def pieces(environ, start_response):
    return text(start_response, b"") and [b"a", b"", b"bc", b"d"] * 5


def file(environ, start_response):
    made = tempfile.TemporaryFile()
    made.write(b"0123456789" * 30_000)
    how = environ["QUERY_STRING"]
    made.seek(5 if how == "seek" else 0)
    headers = [("Content-Length", "12")] if how == "length" else []
    start_response("200 OK", headers)
    wrapped = {"foreign": Foreign, "passing": Passing}.get(how, lambda file: file)(made)
    return environ["wsgi.file_wrapper"](wrapped, 5000)


class Passing:
    """As Django's File: what is asked of it is the inner file's."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)


def reads(environ, start_response):
    """Whether the file was read by Python, or stands where it stood."""
    made = tempfile.TemporaryFile()
    made.write(b"0123456789" * 30_000)
    made.seek(0)
    kept["reads"] = made
    made.close = lambda: None
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](Passing(made), 5000)


def stands(environ, start_response):
    return text(start_response, str(kept["reads"].tell()))


class Foreign:
    """Reads like a file, but turns what it reads: the kernel must not send the file behind it."""

    def __init__(self, inner):
        self.inner = inner

    def read(self, size):
        return self.inner.read(size).replace(b"0", b"x")

    def fileno(self):
        return self.inner.fileno()

    def close(self):
        closed.append("foreign")


def big(environ, start_response):
    start_response("200 OK", [])
    return [b"z" * 20_000_000]


def stream(environ, start_response):
    """Ten megabytes in parts."""
    start_response("200 OK", [])
    return Body("stream", [b"s" * 100_000] * 100)


def ticking(environ, start_response):
    start_response("200 OK", [])
    for number in range(int(environ["QUERY_STRING"])):
        yield b"%d," % number
        time.sleep(0.005)


def thread(environ, start_response):
    here = threading.current_thread()
    known = here in threading.enumerate() and type(here).__name__ != "_DummyThread"
    return text(start_response, json.dumps([here.name, known]))


together = threading.Barrier(2, timeout=10)


def meet(environ, start_response):
    """Answers only when two requests are here at the same time."""
    together.wait()
    return text(start_response, "met")


def counted(environ, start_response):
    calls.append(environ["QUERY_STRING"])
    return text(start_response, "counted")


def count(environ, start_response):
    return text(start_response, json.dumps(calls.count(environ["QUERY_STRING"])))


def hang(environ, start_response):
    time.sleep(60)


def pid(environ, start_response):
    return text(start_response, str(os.getpid()))


@validator
def valid(environ, start_response):
    body = environ["wsgi.input"]
    first = body.readline()
    rest = body.read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [first, b"|", rest]


paths = {name: value for name, value in globals().items() if callable(value) and not name.startswith("_")}


def app(environ, start_response):
    if "HTTP_X_SHOW" in environ:
        return paths["environ"](environ, start_response)
    if environ["PATH_INFO"] == "" and environ["SCRIPT_NAME"]:
        return paths[environ["SCRIPT_NAME"].strip("/")](environ, start_response)
    return paths[environ["PATH_INFO"].strip("/").split("/")[0]](environ, start_response)

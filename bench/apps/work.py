"""WSGI applications that do one thing each: what a server spends on bodies, files and waiting."""

import os
import time


def upload(environ, start_response):
    """Reads what is sent, in parts as frameworks do."""
    body, size = environ["wsgi.input"], 0
    left = int(environ.get("CONTENT_LENGTH") or 0)
    while left and (part := body.read(min(left, 65536))):
        size += len(part)
        left -= len(part)
    return text(start_response, b"%d" % size)


def file(environ, start_response):
    """The file BENCH_FILE, for the server to send."""
    path = os.environ["BENCH_FILE"]
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(os.path.getsize(path)))])
    return environ["wsgi.file_wrapper"](open(path, "rb"), 65536)


def waits(environ, start_response):
    """What an application does that asks others: 20 ms of nothing."""
    time.sleep(0.02)
    return text(start_response, b"ok")


def mixed(environ, start_response):
    """/slow takes 100 ms, everything else nothing (see mixed.py)."""
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.1)
    return text(start_response, b"ok")


def text(start_response, body):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

"""What bench/soak.py serves: each answer can be computed from its request's token, so the driver knows every byte that it must get.

Each request is written down in the file SOAK_LEDGER (one line at the beginning, one at the end), so that the driver sees what was begun, by which
process, and whether anything was given to the application twice.
"""

import hashlib
import os
import time

LEDGER = os.open(os.environ.get("SOAK_LEDGER", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
SIZES = {"fast": 600, "page": 4000, "slow": 4000, "big": 2 << 20, "hang": 10, "grow": 600}
WAITS = {"page": 0.02, "slow": 1.0, "hang": 3600}
# What a careless application never lets go.
KEPT = []


def content(token: str, size: int) -> bytes:
    """`size` bytes that no other token gives."""
    seed = hashlib.sha256(token.encode()).hexdigest().encode()
    return (seed * (size // len(seed) + 1))[:size]


def note(*words):
    # One write of less than a page to a file opened for appending is not torn.
    os.write(LEDGER, (" ".join(map(str, words)) + "\n").encode())


def application(environ, start_response):
    kind, _, token = environ["PATH_INFO"].strip("/").partition("/")
    note("begin", kind, token, os.getpid())
    body = environ["wsgi.input"].read()
    time.sleep(WAITS.get(kind, 0))
    answer = hashlib.sha256(token.encode() + body).hexdigest().encode() if kind == "echo" else content(token, SIZES[kind])
    if kind == "grow":
        KEPT.append(os.urandom(2 << 20))
    note("end", kind, token, os.getpid())
    start_response(
        "200 OK",
        [
            ("Content-Type", "text/plain"),
            ("Content-Length", str(len(answer))),
            ("X-Seen-Token", token),
            ("X-Seen-Id", environ.get("HTTP_X_REQUEST_ID", "")),
            ("X-Seen-Pid", str(os.getpid())),
        ],
    )
    return [answer] if environ["REQUEST_METHOD"] != "HEAD" else []

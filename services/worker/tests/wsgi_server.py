"""Starts one worker process with the application of the WSGI tests."""

import pathlib
import re
import signal
import subprocess
import sys
import tempfile

import pytest

from raw import Client

HERE = pathlib.Path(__file__).parent


class Server:
    def __init__(self, *options):
        self.log = tempfile.TemporaryFile()
        command = [sys.executable, "-m", "monodon.single", "wsgi_app:app", "--port", "0", *options]
        self.process = subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        found = re.search(r"(127\.0\.0\.1):(\d+)", line)
        assert found, self.errors()
        self.address = (found[1], int(found[2]))

    def connect(self):
        return Client(self.address)

    def errors(self):
        """What the process has written to stderr."""
        self.log.seek(0)
        return self.log.read().decode()

    def stop(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        return self.process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()


@pytest.fixture(scope="session", params=[1, 4], ids=["inline", "threads"])
def server(request):
    """The same tests for an application that is called on the I/O thread and for one that has a pool."""
    with Server("--threads", str(request.param)) as running:
        yield running


@pytest.fixture
def client(server):
    with server.connect() as connection:
        yield connection

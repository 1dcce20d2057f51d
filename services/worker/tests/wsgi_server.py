"""A worker with one process that runs the application of the WSGI tests."""

import pathlib

import pytest
from conftest import Worker
from raw import Client

HERE = pathlib.Path(__file__).parent
SOURCE = "from wsgi_app import app as application\n"


class Server(Worker):
    def __init__(self, folder, *flags, env=None):
        super().__init__(folder, SOURCE, "--workers", "1", *flags, env={"PYTHONPATH": str(HERE)} | (env or {}))

    def connect(self):
        return Client(self.address)

    def __enter__(self):
        return self.ready()

    def __exit__(self, *_):
        self.close()


@pytest.fixture(scope="session", params=[1, 4], ids=["inline", "threads"])
def server(request, tmp_path_factory):
    """The same tests for an application that is called on the I/O thread and for one that has a pool."""
    with Server(tmp_path_factory.mktemp("server"), "--threads", str(request.param)) as running:
        yield running


@pytest.fixture
def client(server):
    with server.connect() as connection:
        yield connection

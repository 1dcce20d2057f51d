"""Where requests come in: every kind of bind, who owns it, how many may wait and be held."""

import os
import signal
import socket
import stat

import pytest
from conftest import HELLO, until
from raw import Client

ONE = ("--workers", "1")
# Where the kernel of this machine has IPv6 at all.
try:
    with socket.create_server(("::1", 0), family=socket.AF_INET6):
        IPV6 = True
except OSError:
    IPV6 = False


def get(address):
    if isinstance(address, tuple) and ":" in address[0]:
        client = Client.__new__(Client)
        client.socket, client.buffer = socket.create_connection(address, timeout=10), b""
    else:
        client = Client(address)
    with client:
        return client.get("/").status


def listens(worker):
    """The addresses that it says it listens on: (host, port), or a path."""
    found = []
    for text in worker.started["listen"].split(", "):
        if text.startswith("unix:"):
            found.append(text.removeprefix("unix:"))
        else:
            host, _, port = text.removeprefix("http://").rpartition(":")
            found.append((host.strip("[]"), int(port)))
    return found


def test_several_binds(worker, tmp_path):
    path = str(tmp_path / "s")
    one = worker(HELLO, *ONE, "--bind", "localhost:0", "--bind", f"unix:{path}", "-b", "tcp://127.0.0.1:0")
    addresses = listens(one)
    assert len(addresses) == 4 and path in addresses
    assert [get(address) for address in addresses] == [200] * 4


@pytest.mark.skipif(not IPV6, reason="no IPv6 here")
def test_ipv6_alone_and_with_ipv4(worker):
    one = worker(HELLO, *ONE, "--bind", "[::1]:0", "--bind", "[::]:0")
    _, (host, port), (_, both) = listens(one)
    assert host == "::1" and get(("::1", port)) == 200
    with pytest.raises(OSError):
        get(("127.0.0.1", port))
    assert get(("::1", both)) == get(("127.0.0.1", both)) == 200


def test_an_inherited_socket(worker):
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = worker(HELLO, *ONE, "--bind", f"fd://{server.fileno()}", pass_fds=[server.fileno()])
        assert server.getsockname() in listens(one)
        assert get(server.getsockname()) == 200


def test_an_inherited_unix_socket_stays_when_the_worker_ends(worker, tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        one = worker(HELLO, *ONE, "--bind", f"fd://{server.fileno()}", pass_fds=[server.fileno()])
        assert get(path) == 200
        one.signal(signal.SIGTERM)
        assert one.wait() == 0
        assert os.path.exists(path)


def test_a_descriptor_that_is_no_socket_is_told(start, tmp_path):
    with open(tmp_path / "file", "w") as file:
        one = start(HELLO, "--bind", f"fd://{file.fileno()}", pass_fds=[file.fileno()])
        assert one.wait() == 2
        assert f"bind fd://{file.fileno()}: no stream socket was inherited" in one.err()


def test_sockets_that_systemd_passes_take_the_place_of_bind(worker):
    source = """
    import os
    def application(environ, start_response):
        start_response("200 OK", [])
        return [",".join(name for name in os.environ if name.startswith("LISTEN_")).encode() or b"none"]
    """
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        fds = [first.fileno(), second.fileno()]
        # Descriptors 3 and 4, and the number of the process that is executed.
        shell = f'export LISTEN_PID=$$ LISTEN_FDS=2; exec "$@" 13<&{fds[0]} 14<&{fds[1]} 3<&13 4<&14'
        one = worker(source, *ONE, prefix=["bash", "-c", shell, "bash"], pass_fds=fds)
        assert listens(one) == [first.getsockname(), second.getsockname()]
        for server in (first, second):
            with Client(server.getsockname()) as client:
                # The application could take them for its own.
                assert client.get("/").body == b"none"


def test_the_variable_port(start):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    one = start(HELLO, *ONE, env={"PORT": str(port)}, bind=False).ready()
    assert listens(one) == [("0.0.0.0", port)]
    assert get(("127.0.0.1", port)) == 200


def test_a_bind_in_use_is_tried_again(start):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        one = start(HELLO, *ONE, "--bind", "%s:%d" % address)
        one.hears("trying again")
    assert address in listens(one.ready())


def test_a_stale_unix_socket_is_replaced_and_removed_at_the_end(worker, tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
    one = worker(HELLO, *ONE, "--bind", f"unix:{path}")
    assert get(path) == 200
    one.signal(signal.SIGTERM)
    assert one.wait() == 0
    assert not os.path.exists(path)


@pytest.mark.parametrize(
    "flags, mode",
    [
        ([], 0o660),
        (["--socket-mode", "600"], 0o600),
        (["--umask", "0077"], 0o700),
        (["-m", "0"], 0o777),
        (["--umask", "0", "--socket-mode", "0o640"], 0o640),
    ],
)
def test_the_permissions_of_unix_sockets(start, tmp_path, flags, mode):
    path = str(tmp_path / "s")
    one = start(HELLO, *ONE, "--bind", f"unix:{path}", *flags)
    assert path in listens(one)
    assert stat.S_IMODE(os.stat(path).st_mode) == mode


def test_backlog(start):
    """What the kernel says of a listening socket: tcpi_sacked is the longest queue."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        one = start(HELLO, *ONE, "--backlog", "77", "--bind", f"fd://{server.fileno()}", pass_fds=[server.fileno()])
        assert server.getsockname() in listens(one)
        info = server.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        assert int.from_bytes(info[28:32], "little") == 77


def test_reuse_port(worker, start):
    one = worker(HELLO, *ONE, "--reuse-port")
    shared = one.address
    address = "%s:%d" % shared
    two = start(HELLO, *ONE, "--reuse-port", "--bind", address).ready()
    assert shared in listens(two)
    one.signal(signal.SIGTERM)
    assert one.wait() == 0
    assert get(shared) == 200
    # Without the flag it is in use.
    start(HELLO, *ONE, "--bind", address).hears("trying again")


def test_worker_connections(worker):
    one = worker(HELLO, *ONE, "--worker-connections", "2")
    with Client(one.address) as first, Client(one.address) as second, Client(one.address, timeout=0.3) as third:
        assert first.get("/").status == second.get("/").status == 200
        # It is connected, but nobody accepts it.
        with pytest.raises(TimeoutError):
            third.get("/")
        first.socket.close()
        third.socket.settimeout(10)
        assert third.answer().status == 200
    until(lambda: one.status()["processes"][0]["connections"] == 0, "the end of all connections")


def test_a_reload_opens_and_closes_what_has_changed(worker, start, tmp_path):
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    binds = "bind = ['127.0.0.1:0', 'unix:%s']\nbacklog = %d"
    one = worker(HELLO, *ONE, files={"gunicorn.conf.py": binds % (first, 11)}, bind=False)
    address, configuration = one.address, one.folder / "gunicorn.conf.py"
    with Client(first) as old:
        assert old.get("/").status == 200
        configuration.write_text(binds % (second, 12))
        assert one.tell("reload").startswith("ok")
        assert get(address) == get(second) == old.get("/").status == 200
    assert not os.path.exists(first)
    assert one.status()["listen"] == ["http://%s:%d" % address, f"unix:{second}"]
    # A socket that cannot be opened, or code that cannot be imported: everything stays as it was.
    configuration.write_text(binds % (tmp_path / "none" / "socket", 12))
    assert "the folder does not exist" in one.tell("reload")
    assert get(second) == 200
    configuration.write_text(binds % (first, 12))
    one.write("import nothing_of_that_name")
    assert one.tell("reload").startswith("failed")
    assert get(address) == get(second) == 200
    assert not os.path.exists(first)
    one.signal(signal.SIGTERM)
    assert one.wait() == 0
    assert not os.path.exists(second)

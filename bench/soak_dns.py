"""The name server of bench/soak.py: it answers what it is told for the workers' name, or fails in one of several ways; and the way by which an
edge, and nothing else on the machine, asks it.

An edge that is started by `Dns.command` has a mount namespace of its own in which `/etc/resolv.conf` is the soak's. That takes root (or the right to
make one) and port 53 of a loopback address; where that is not to be had, `Dns.why_not` says so, and the soak goes on without.
"""

import collections
import ipaddress
import random
import socket
import struct
import subprocess
import threading

NAME = "app.soak.test"
HOST = "127.0.0.53"
A, AAAA, IN = 1, 28, 1
NO_ERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
ANSWER, RECURSION, TRUNCATED = 0x8000, 0x0180, 0x0200
FAULTS = ("servfail", "silent", "nxdomain", "empty", "garbage")
# The mount is the namespace's own, and gone with the edge; `exec` leaves the edge the process that was started.
PRIVATE = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'


def question(query):
    """Name, type, and the question's own bytes."""
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode())
        at += 1 + length
    kind, _ = struct.unpack_from("!HH", query, at + 1)
    return ".".join(labels).lower(), kind, query[12 : at + 5]


class Dns:
    """Answers at HOST, by UDP and by TCP. `addresses` and `fault` may be set at any time."""

    def __init__(self, folder, seed):
        self.file = folder / "resolv.conf"
        self.random = random.Random(seed)
        self.addresses = []
        # One of FAULTS, or None.
        self.fault = None
        self.asked = collections.Counter()
        self.why_not = self.open() or self.try_privacy()

    def open(self):
        self.udp, self.tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.udp.bind((HOST, 53))
            self.tcp.bind((HOST, 53))
        except OSError as error:
            return f"port 53 of {HOST}: {error}"
        self.tcp.listen(64)
        for work in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=work, daemon=True).start()
        return None

    def try_privacy(self):
        self.file.write_text(f"nameserver {HOST}\n")
        try:
            tried = subprocess.run(self.command(["cat", "/etc/resolv.conf"]), capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"a resolv.conf of its own for the edge: {error}"
        if tried.stdout != self.file.read_text():
            return f"a resolv.conf of its own for the edge: {tried.stderr.strip() or 'not seen'}"
        return None

    def command(self, command):
        """That command, where the system's name server is this one."""
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", PRIVATE, "sh", self.file, *command]

    def serve_udp(self):
        while True:
            query, client = self.udp.recvfrom(4096)
            # Now and then it says that the answer is too long, and is asked again by TCP.
            if (answer := self.reply(query, truncate=self.random.random() < 0.1)) is not None:
                self.udp.sendto(answer, client)

    def serve_tcp(self):
        while True:
            client, _ = self.tcp.accept()
            threading.Thread(target=self.serve_connection, args=(client,), daemon=True).start()

    def serve_connection(self, client):
        client.settimeout(30)
        try:
            with client, client.makefile("rb") as stream:
                while len(size := stream.read(2)) == 2:
                    query = stream.read(int.from_bytes(size, "big"))
                    if (answer := self.reply(query)) is not None:
                        client.sendall(len(answer).to_bytes(2, "big") + answer)
        except OSError:
            pass

    def reply(self, query, truncate=False):
        try:
            name, kind, asked = question(query)
        except (IndexError, struct.error, UnicodeDecodeError):
            return None
        fault = self.fault
        truncate = truncate and not fault
        self.asked["cut short" if truncate else fault or "answered"] += 1
        if fault == "silent":
            return None
        if fault == "garbage":
            return query[:2] + self.random.randbytes(40)
        addresses, code = [], NO_ERROR
        if name != NAME:
            code = REFUSED
        elif fault in ("servfail", "nxdomain"):
            code = SERVFAIL if fault == "servfail" else NXDOMAIN
        elif kind == A and fault != "empty" and not truncate:
            addresses = list(self.addresses)
            self.random.shuffle(addresses)
        flags = ANSWER | RECURSION | code | (TRUNCATED if truncate else 0)
        head = query[:2] + struct.pack("!HHHHH", flags, 1, len(addresses), 0, 0)
        # The name is the question's, 12 bytes from the beginning; nothing is to be kept for long.
        record = lambda address: struct.pack("!HHHIH", 0xC00C, A, IN, 1, 4) + ipaddress.IPv4Address(address).packed
        return head + asked + b"".join(map(record, addresses))

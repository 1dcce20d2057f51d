"""A client that says exactly what it is told to, byte by byte."""

import socket


class Answer:
    def __init__(self, status, reason, headers, body, complete):
        self.status, self.reason, self.headers, self.body, self.complete = status, reason, headers, body, complete

    def __getitem__(self, name):
        found = [value for known, value in self.headers if known == name.lower()]
        return ", ".join(found) if found else None

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:200]!r} complete={self.complete}>"


class Client:
    """One connection."""

    def __init__(self, address, timeout=10):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def get(self, target, *headers, method="GET", body=None, version="1.1"):
        self.ask(target, *headers, method=method, body=body, version=version)
        return self.answer(method)

    def ask(self, target, *headers, method="GET", body=None, version="1.1"):
        lines = [f"{method} {target} HTTP/{version}", "Host: example.org", *headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))

    def more(self):
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return bool(data)

    def until(self, mark):
        while mark not in self.buffer:
            if not self.more():
                raise EOFError(f"no {mark!r} in {self.buffer[:300]!r}")
        before, _, self.buffer = self.buffer.partition(mark)
        return before

    def exactly(self, size):
        while len(self.buffer) < size:
            if not self.more():
                break
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def answer(self, method="GET"):
        first, *lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        _, status, reason = (first + " ").split(" ", 2)
        headers = [(line.partition(":")[0].lower(), line.partition(":")[2].strip()) for line in lines]
        answer = Answer(int(status), reason.strip(), headers, b"", True)
        if method == "HEAD" or answer.status in (204, 304) or answer.status < 200:
            return answer
        if answer["transfer-encoding"] == "chunked":
            answer.body, answer.complete = self.chunks()
        elif (length := answer["content-length"]) is not None:
            answer.body = self.exactly(int(length))
            answer.complete = len(answer.body) == int(length)
        else:
            while self.more():
                pass
            answer.body, self.buffer = self.buffer, b""
        return answer

    def chunks(self):
        body = b""
        try:
            while size := int(self.until(b"\r\n"), 16):
                body += self.exactly(size)
                assert self.exactly(2) == b"\r\n"
            assert self.until(b"\r\n") == b""
        except EOFError:
            return body, False
        return body, True

    def is_closed(self):
        """Whether the server has ended the connection."""
        return not self.buffer and not self.more()

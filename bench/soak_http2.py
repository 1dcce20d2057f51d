"""Clients of bench/soak.py that speak HTTP/2: several requests at a time on one connection, through the TLS edge."""

import time
import uuid

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from soak_clients import PATIENCE, Client

# The server has not looked at a stream that it refuses, or that is beyond the last one of its GOAWAY (RFC 9113, 6.8 and 8.7): it is asked again.
NOT_TAKEN = h2.errors.ErrorCodes.REFUSED_STREAM
WINDOW = 1 << 24


class Connection(h2.connection.H2Connection):
    """One that goes on after a GOAWAY with what the server has taken; the package takes it for the end."""

    def _receive_goaway_frame(self, frame):
        answer = super()._receive_goaway_frame(frame)
        self.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
        return answer


class Stream:
    """One request, and what has come back."""

    def __init__(self, method, kind, token, body):
        self.method, self.kind, self.token, self.body = method, kind, token, body
        self.sent = 0
        self.began = time.time()
        self.fields = {}
        self.parts = []
        self.over = self.leave = False
        self.reset = None

    @property
    def cut(self):
        """The head is there, the end is not."""
        return not self.over and self.fields.get(":status") == "200"

    def getheader(self, name, default=None):
        return self.fields.get(name.lower(), default)


class Http2Client(Client):
    """Sends one to six requests together, each compared byte by byte; now and then it leaves one in the middle."""

    h2 = None
    streams: dict[int, Stream]

    def turn(self):
        batch = []
        for _ in range(self.random.randint(1, 6)):
            draw = self.random.random()
            body = self.random.randbytes(self.random.choice((10, 1000, 30_000, 200_000))) if draw < 0.35 else None
            kind = "echo" if body else "fast" if draw < 0.75 else "page" if draw < 0.94 else "big" if draw < 0.98 else "slow"
            batch.append(Stream("POST" if body else "GET", kind, self.token(), body))
        if self.random.random() < 0.1:
            self.random.choice(batch).leave = True
        for _ in range(10):
            if not batch or self.over.is_set():
                return
            batch = self.exchange(batch)
        for stream in batch:
            self.lost(stream, "the server has refused it ten times")

    def token(self):
        return uuid.UUID(int=self.random.getrandbits(128)).hex

    def drop(self):
        if self.h2:
            self.sock.close()
        self.h2 = None

    def lost(self, stream, what):
        request_id = stream.getheader("x-request-id", "")
        self.record.lost(stream.began, time.time(), stream.method, stream.kind, stream.token, f"HTTP/2: {what}", request_id, self.fresh, stream.cut)

    def connect(self):
        self.sock = self.site.http2_connection()
        self.h2 = Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.local_settings = h2.settings.Settings(initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW})
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(WINDOW)
        self.last = None

    def exchange(self, batch):
        """Sends them and waits for all answers. Returns those that the server has not taken, to be sent again."""
        self.fresh = self.h2 is None or self.random.random() < 0.02
        self.streams = {}
        try:
            if self.fresh:
                self.drop()
                self.connect()
            for stream in batch:
                self.streams[self.open(stream)] = stream
            self.wait()
            failed = None
        except (OSError, h2.exceptions.ProtocolError) as error:
            failed = f"{type(error).__name__}: {error}"
        again = [stream for stream in batch if stream not in self.streams.values()]
        for number, stream in self.streams.items():
            if stream.reset == NOT_TAKEN or (self.h2 and self.last is not None and number > self.last):
                again.append(Stream(stream.method, stream.kind, self.token(), stream.body))
            elif stream.leave:
                self.record.good("HTTP/2 left early", 0)
            elif stream.reset is not None:
                self.lost(stream, f"reset with {stream.reset!r} after {time.time() - stream.began:.3f} s")
            elif not stream.over:
                self.lost(stream, failed or "no end")
            else:
                self.judge(stream)
        if failed or self.last is not None:
            self.drop()
        return again

    def judge(self, stream):
        request_id, status = stream.getheader("x-request-id"), stream.getheader(":status")
        if not request_id:
            self.record.bad(f"an answer of status {status} to {stream.method} /{stream.kind}/{stream.token} has no request id")
        else:
            self.record.identified(request_id)
        if status != "200":
            return self.lost(stream, f"status {status} after {time.time() - stream.began:.3f} s")
        self.compare(stream.method, stream.kind, stream.token, stream.body, stream, b"".join(stream.parts), request_id)
        self.record.good(f"HTTP/2 {stream.method} /{stream.kind}", stream.ended - stream.began)

    def open(self, stream):
        number = self.h2.get_next_available_stream_id()
        names = [(":method", stream.method), (":scheme", "https"), (":authority", "localhost"), (":path", f"/{stream.kind}/{stream.token}")]
        if stream.body:
            names.append(("content-length", str(len(stream.body))))
        self.h2.send_headers(number, names, end_stream=not stream.body)
        self.send_more(number, stream)
        return number

    def send_more(self, number, stream):
        """As much of the body as the windows allow."""
        while stream.body and stream.sent < len(stream.body) and not stream.over and stream.reset is None:
            size = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size, len(stream.body) - stream.sent)
            if size <= 0:
                break
            part = stream.body[stream.sent : stream.sent + size]
            stream.sent += size
            self.h2.send_data(number, part, end_stream=stream.sent == len(stream.body))
        self.sock.sendall(self.h2.data_to_send())

    def wait(self):
        deadline = time.monotonic() + PATIENCE
        while any(not stream.over and stream.reset is None and not self.beyond(number) for number, stream in self.streams.items()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no answer in {PATIENCE} s")
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError(f"closed{'' if self.last is None else ' after GOAWAY'}")
            for event in self.h2.receive_data(data):
                self.happened(event)
            for number, stream in self.streams.items():
                if not self.beyond(number):
                    self.send_more(number, stream)
                if stream.leave and stream.fields and not stream.over and stream.reset is None:
                    stream.reset = h2.errors.ErrorCodes.CANCEL
                    self.h2.reset_stream(number, stream.reset)
            self.sock.sendall(self.h2.data_to_send())

    def beyond(self, number):
        return self.last is not None and number > self.last

    def happened(self, event):
        if isinstance(event, h2.events.ConnectionTerminated):
            # The first one of an orderly end names no stream yet (2^31 - 1), the second the last one it takes.
            self.last = event.last_stream_id
            if event.error_code:
                raise ConnectionError(f"GOAWAY with {event.error_code!r}")
            return
        number = getattr(event, "stream_id", None)
        stream = self.streams.get(number)
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            stream.fields = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            stream.parts.append(event.data)
            if stream.reset is None:
                self.h2.acknowledge_received_data(event.flow_controlled_length, number)
        elif isinstance(event, h2.events.StreamEnded):
            stream.over, stream.ended = True, time.time()
        elif isinstance(event, h2.events.StreamReset):
            # After a whole answer it only says that the rest of the request is of no use.
            if not stream.over:
                stream.reset = event.error_code

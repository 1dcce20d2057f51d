"""`pre_request` and `post_request`, and what they get as `req` and `resp`.

One [`Exchange`] stands for one request: the worker calls it in the application's place, and its `finish` when the
response is over. Without these hooks there is none, and the application is called directly.
"""

import itertools

from monodon import hooks


class Request:
    """gunicorn's `req`: the request as it came, before a WSGI environ was made of it."""

    def __init__(self, method: str, uri: str, path: str, query: str, version: tuple, headers: list, peer, number: int):
        self.method = method
        self.uri = uri
        # As it came: not decoded.
        self.path = path
        self.query = query
        self.fragment = ""
        self.version = version
        # Names in upper case, in the order in which they came.
        self.headers = headers
        self.trailers: list = []
        self.peer_addr = peer
        self.remote_addr = peer
        self.req_number = number
        self.proxy_protocol_info = None
        self.must_close = False
        self.scheme = "http"
        self.body = None

    def should_close(self) -> bool:
        for name, value in self.headers:
            if name == "CONNECTION":
                value = value.lower().strip()
                if value in ("close", "keep-alive"):
                    return value == "close"
        return self.must_close or self.version <= (1, 0)


class Response:
    """gunicorn's `resp`: what the application has answered, and how much of it was sent."""

    def __init__(self, req: Request):
        self.req = req
        self.status = None
        self.status_code = None
        self.headers: list = []
        self.headers_sent = False
        self.response_length = None
        self.chunked = False
        self.must_close = False
        self.upgrade = False
        self.sent = 0

    def should_close(self) -> bool:
        return self.must_close or self.req.should_close()

    def _started(self, status, headers) -> None:
        self.status = status
        self.status_code = int(status[:3])
        self.headers = list(headers)
        self.response_length = None
        for name, value in self.headers:
            if name.lower() == "content-length":
                self.response_length = int(value)
        bodiless = self.req.method == "HEAD" or self.status_code in (204, 304)
        self.chunked = self.response_length is None and self.req.version > (1, 0) and not bodiless


class Exchanges:
    """Makes an exchange for each request of one process."""

    def __init__(self, found, worker):
        self.app = worker.wsgi
        self.worker = worker
        self.count = itertools.count(1)
        self.found = found
        self.pre = "pre_request" in found
        worker.nr = 0
        post = found.get("post_request")
        if post is not None:
            post = _adapted(post)
        self.post = post

    def __call__(self, method, uri, path, query, version, headers, peer):
        number = next(self.count)
        return Exchange(self, Request(method, uri, path, query, version, headers, peer, number), number)


class Exchange:
    def __init__(self, all: Exchanges, req: Request, number: int):
        self.all = all
        self.req = req
        self.number = number
        self.environ: dict = {}
        self.resp = None

    def __call__(self, environ, start_response):
        """In the application's place. What `pre_request` raises is answered as if the application had raised it."""
        req = self.req
        req.body = environ["wsgi.input"]
        req.scheme = environ["wsgi.url_scheme"]
        self.all.found.call("pre_request", self.all.worker, req)
        self.environ = environ
        self.all.worker.nr = self.number
        resp = self.resp = Response(req)

        def start(status, headers, exc_info=None):
            write = start_response(status, headers, exc_info)
            resp._started(status, headers)
            return write

        return self.all.app(environ, start)

    def finish(self, sent: int, headers_sent: bool) -> None:
        """The response is over, whatever became of it."""
        if self.all.post is None:
            return
        if self.resp is not None:
            self.resp.sent = sent
            self.resp.headers_sent = headers_sent
        worker = self.all.worker
        try:
            self.all.post(worker, self.req, self.environ, self.resp)
        except Exception as error:
            failed = hooks.Failed("post_request", self.all.found.place, error)
            worker.log.error("%s", failed, exc_info=error)


def _adapted(post):
    """Older ones take two or three arguments."""
    from monodon import gunicorn_conf

    for count in (4, 3, 2):
        if gunicorn_conf._takes(post, count):
            break
    return post if count == 4 else lambda *arguments: post(*arguments[:count])

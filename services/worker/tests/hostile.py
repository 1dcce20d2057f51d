"""Requests as attackers, broken clients and careful ones send them, each with the status it gets: 200 is served.

The rules are RFC 9112's and 9110's, and where those leave a choice, the stricter one. What is refused never reaches the
application, and nothing after it on the connection is read as a request.
"""

HOST = "Host: example.org"


def request(*fields, line="GET / HTTP/1.1", host=HOST, body=""):
    """A request with these fields; the body is not counted for it."""
    head = [line, *([host] if host else []), *fields]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode("latin-1")


def post(*fields, body="", **more):
    return request(*fields, line="POST / HTTP/1.1", body=body, **more)


def chunked(body, *fields):
    return post("Transfer-Encoding: chunked", *fields, body=body)


def lines(text):
    """As it stands, but for line ends."""
    return text.replace("\n", "\r\n").encode("latin-1")


def given(target, method="GET", version="HTTP/1.1"):
    return request(line=f"{method} {target} {version}")


def each(name, status, make, *values):
    return {f"{name} {value!r}": (status, make(value)) for value in values}


LENGTHS = {
    "a later version": (200, given("/", version="HTTP/1.2")),
    "length": (200, post("Content-Length: 3", body="abc")),
    "length 0": (200, post("Content-Length: 0")),
    "length with zeros": (200, post("Content-Length: 0003", body="abc")),
    "length and spaces": (200, post("Content-Length: \t 3 \t", body="abc")),
    "post without a length": (200, post()),
    "get with a length": (200, request("Content-Length: 3", body="abc")),
    "length and chunked": (400, post("Content-Length: 3", "Transfer-Encoding: chunked", body="0\r\n\r\n")),
    "chunked and length": (400, post("Transfer-Encoding: chunked", "Content-Length: 3", body="0\r\n\r\n")),
    "length twice, the same": (400, post("Content-Length: 3", "Content-Length: 3", body="abc")),
    "length twice, others": (400, post("Content-Length: 3", "Content-Length: 4", body="abcd")),
    "length twice, in two cases": (400, post("Content-Length: 3", "content-length: 3", body="abc")),
    "length, and one that is not digits": (400, post("Content-Length: 3", "Content-Length: x", body="abc")),
    "length and space before the colon": (400, post("Content-Length : 3", body="abc")),
    "length with underscore": (200, post("Content_Length: 3")),
    **each(
        "length",
        400,
        lambda value: post(f"Content-Length: {value}", body="abc"),
        *("+3", "-3", "-0", "0x3", "3_0", "3, 3", "3,4", "3 3", "3;", "3.0", "1e1", "three", "", "\xb3", "\xa03", '"3"', "3\x0b"),
        "18446744073709551616",
        "99999999999999999999999999",
    ),
    "length over all limits": (413, post("Content-Length: 18446744073709551615")),
}

CODINGS = {
    "chunked": (200, chunked("3\r\nabc\r\n0\r\n\r\n")),
    "Chunked": (200, post("Transfer-Encoding: Chunked", body="0\r\n\r\n")),
    "chunked in spaces": (200, post("Transfer-Encoding: \t chunked \t", body="0\r\n\r\n")),
    "get and chunked": (200, request("Transfer-Encoding: chunked", body="3\r\nabc\r\n0\r\n\r\n")),
    "chunked twice": (400, post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body="0\r\n\r\n")),
    "chunked and identity": (400, post("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body="0\r\n\r\n")),
    "identity and chunked": (501, post("Transfer-Encoding: identity", "Transfer-Encoding: chunked", body="0\r\n\r\n")),
    "space before the colon of chunked": (400, post("Transfer-Encoding : chunked", body="0\r\n\r\n")),
    "tab before the colon of chunked": (400, post("Transfer-Encoding\t: chunked", body="0\r\n\r\n")),
    "chunked on a folded line": (400, post("Transfer-Encoding:\r\n chunked", body="0\r\n\r\n")),
    "chunked in HTTP/1.0": (400, request("Transfer-Encoding: chunked", line="POST / HTTP/1.0", body="0\r\n\r\n")),
    "identity in HTTP/1.0": (501, request("Transfer-Encoding: identity", line="POST / HTTP/1.0")),
    "chunked with underscore": (200, post("Transfer_Encoding: chunked")),
    **each(
        "coding",
        400,
        lambda value: post(f"Transfer-Encoding: {value}", body="0\r\n\r\n"),
        *("chunked, chunked", "chunked, identity", "chunked, gzip", "gzip, chunked", "identity, chunked", "chunked,", ",chunked"),
        *('"chunked"', "chunked;q=1", "chunked\x0b", "\x0bchunked", "chunk ed", "chunked\xa0", "", ",", "\t", "chunked, , "),
    ),
    **each(
        "coding",
        501,
        lambda value: post(f"Transfer-Encoding: {value}", body="0\r\n\r\n"),
        *("xchunked", "chunkedx", "chunked-", "identity", "gzip", "deflate", "compress", "chunke", "cow"),
    ),
}

CHUNKS = {
    "no chunks": (200, chunked("0\r\n\r\n")),
    "hexadecimal chunk": (200, chunked("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n")),
    "zeros before the size": (200, chunked("0003\r\nabc\r\n000\r\n\r\n")),
    "extension": (200, chunked('3;a=b;c;d="e f"\r\nabc\r\n0;last\r\n\r\n')),
    "extension and spaces": (200, chunked("3; a = b\r\nabc\r\n0\r\n\r\n")),
    "trailer": (200, chunked("3\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n")),
    **each(
        "chunk size",
        400,
        lambda value: chunked(f"{value}\r\nabc\r\n0\r\n\r\n"),
        *("+3", "-3", "0x3", "3_0", " 3", "3 ", "\t3", "3 3", "", "g", "3h", "\xb3", "3,", "3.0", "'3'"),
        *("10000000000000003", "FFFFFFFFFFFFFFFFF", "00000000000000003"),
    ),
    "chunk size over the limit": (413, chunked("ffffffffffffffff\r\nabc")),
    **each(
        "chunk extension",
        400,
        lambda value: chunked(f"3;{value}\r\nabc\r\n0\r\n\r\n"),
        *("a\nb", "a\rb", "a\0b", "a\x0bb", "\n", "a=\"b", "", " ", "=b", "a=", "a b", "a;;b", "a=b=c", "a\x7f", "(", "a=(", "x" * 2000),
    ),
    "chunk extension before a space": (400, chunked("3 ;a=b\r\nabc\r\n0\r\n\r\n")),
    "chunk size ends with LF": (400, chunked("3\nabc\r\n0\r\n\r\n")),
    "chunk size ends with CR": (400, chunked("3\rabc\r\n0\r\n\r\n")),
    "chunk ends with LF": (400, chunked("3\r\nabc\n0\r\n\r\n")),
    "chunk ends with CR": (400, chunked("3\r\nabc\r0\r\n\r\n")),
    "chunk ends with others": (400, chunked("3\r\nabcXX0\r\n\r\n")),
    "chunk longer than it says": (400, chunked("3\r\nabcd\r\n0\r\n\r\n")),
    "chunk shorter than it says": (400, chunked("3\r\nab\r\n0\r\n\r\n")),
    "chunks end with LF": (400, chunked("3\r\nabc\r\n0\n\n")),
    "trailers end with LF": (400, chunked("0\r\nX: 1\n\n")),
    "too many trailers": (431, chunked("0\r\n" + "X: 1\r\n" * 40 + "\r\n")),
    "trailers too long": (431, chunked("0\r\nX: " + "x" * 9000 + "\r\n\r\n")),
    **each(
        "trailer",
        400,
        lambda value: chunked(f"0\r\n{value}\r\n\r\n"),
        *("X : 1", " X: 1", "X", ": 1", "X: a\0b", "X: a\rb", "X\xe9: 1"),
        *("Content-Length: 3", "transfer-encoding: chunked", "Host: evil", "Trailer: X", "Authorization: x", "TE: gzip"),
    ),
}

REQUEST_LINES = {
    "plain": (200, request()),
    "one empty line before": (200, b"\r\n" + request()),
    "two empty lines before": (400, b"\r\n\r\n" + request()),
    "LF before": (400, b"\n" + request()),
    "CR before": (400, b"\r" + request()),
    "space before": (400, b" " + request()),
    "HTTP/0.9": (400, b"GET /\r\n"),
    "HTTP/0.9 and fields": (400, lines("GET /\nHost: a\n\n")),
    "no method": (400, request(line=" / HTTP/1.1")),
    "method alone": (400, request(line="GET")),
    "two spaces": (400, request(line="GET  / HTTP/1.1")),
    "two spaces before the version": (400, request(line="GET /  HTTP/1.1")),
    "tab": (400, request(line="GET\t/ HTTP/1.1")),
    "space at the end": (400, request(line="GET / HTTP/1.1 ")),
    "more after the version": (400, request(line="GET / HTTP/1.1 x")),
    "line ends with LF": (400, b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    "all lines end with LF": (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    "CR in the line": (400, request(line="GET / HTTP\r/1.1")),
    "NUL in the line": (400, request(line="GET /\0 HTTP/1.1")),
    "line too long": (414, request(line="GET /" + "a" * 9000 + " HTTP/1.1")),
    "method too long for any limit": (414, b"A" * 9000),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64))),
    "noise": (400, bytes(range(255, 0, -1))),
    "zeros": (400, bytes(64)),
    "SSH": (400, b"SSH-2.0-OpenSSH_9.0\r\n"),
    "SMTP": (400, b"EHLO example.org\r\nMAIL FROM:<a@b>\r\n"),
    "PROXY": (400, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + request()),
    "HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    **each("version", 505, lambda value: given("/", version=value), "HTTP/2.0", "HTTP/0.9", "HTTP/3.1", "HTTP/9.9"),
    **each(
        "version",
        400,
        lambda value: given("/", version=value),
        *("http/1.1", "HTTP/1.1.1", "HTTP/1", "HTTP/11", "HTTP/1,1", "HTTP/ 1.1", "HTTP/01.1", "HTTP/1.01", "HTTP/+1.1", "HTTP/1.", "HTTP/.1"),
        *("HTTPS/1.1", "HTCPCP/1.0", "HTTP 1.1", "HTTP/1.\xb9", "HTTP/1.1\x0b"),
    ),
    "HTTP/1.0": (200, given("/", version="HTTP/1.0")),
    **each("method", 200, lambda value: given("/", value), "GET", "POST", "DELETE", "PATCH", "PROPFIND", "M-SEARCH", "VERSION-CONTROL"),
    **each(
        "method",
        400,
        lambda value: given("/", value),
        *("get", "Get", "GEt", "G@T", "GE,T", 'GE"T', "GET:", "G#T", "GET\x0b", "GE\0T", "G\xc9T", "GET/", "A", "AB", "A" * 21),
    ),
}

TARGETS = {
    **each("target", 200, given, "/a/b?c=d&e", "//a//b", "/a%2fb", "/%00", "/%zz", "/;a=b", "/a?b?c", "/a'(b)*!$", "/[x]", "/?", "/|^`{}\\"),
    **each("target", 200, given, "http://example.org", "http://example.org/", "HTTP://example.org:80/a?b", "https://example.org/", "http://[::1]:80/"),
    **each(
        "target",
        400,
        given,
        *("a", "a/b", "", "*", "?a", "\\", "/#", "/a#b", "/\xe9", "/\x7f", "/\x01", "/a\x0bb", "example.org:80", "http:/a", "http:///a"),
        *("ftp://example.org/", "http://", "http://user@example.org/", "http://a:b@c/", "http://a:x/", "http://a b/", "http://a,b/", "mailto:a@b"),
    ),
    "asterisk": (200, given("*", "OPTIONS")),
    "asterisk for another": (400, given("*", "POST")),
    "CONNECT": (501, given("example.org:443", "CONNECT")),
    "CONNECT without a port": (400, given("example.org", "CONNECT")),
    "CONNECT to a path": (400, given("/", "CONNECT")),
    "CONNECT to an address": (400, given("http://example.org/", "CONNECT")),
}

HOSTS = {
    "no host": (400, request(host=None)),
    "no host in HTTP/1.0": (200, request(host=None, line="GET / HTTP/1.0")),
    "no host but an absolute target": (400, request(host=None, line="GET http://example.org/ HTTP/1.1")),
    "two hosts": (400, request("Host: example.org")),
    "two hosts in two cases": (400, request("hOSt: evil.example")),
    "host with underscore": (400, request(host="Ho_st: example.org")),
    "space before the colon of host": (400, request(host="Host : example.org")),
    **each("host", 200, lambda value: request(host=f"Host: {value}"), "example.org", "example.org:8000", "localhost", "192.0.2.1:80", "[::1]", "[::1]:80", "a_b", "EXAMPLE.org", "xn--caf-dma.example"),
    **each(
        "host",
        400,
        lambda value: request(host=f"Host: {value}"),
        *("", "a b", "a, b", "a,b", "a:b", "a:80:80", "a:99999", "a:", "a:-1", "user@a", "a/b", "a?b", "a#b", "a\\b", "::1", "[::1", "::1]"),
        *("[::1]x", "[zz]", "a\x0b", "a\0", "caf\xe9", "a%20b", "<a>", '"a"', "a;b"),
    ),
}

FIELDS = {
    "empty value": (200, request("X-A:")),
    "no space after the colon": (200, request("X-A:b")),
    "tabs and spaces around": (200, request("X-A: \t b \t ")),
    "all of latin-1": (200, request("X-A: " + "".join(map(chr, range(0xA0, 0x100))))),
    "every token character": (200, request("X!#$%&'*+-.^_`|~09: b")),
    "comma, quotes, colons": (200, request('X-A: a,"b":c;d=e')),
    "folded with a space": (400, request("X-A: b\r\n c")),
    "folded with a tab": (400, request("X-A: b\r\n\tc")),
    "folded at first": (400, request(" X-A: b", host=None)),
    "an empty folded line": (400, request("X-A: b\r\n ")),
    "no colon": (400, request("X-A")),
    "colon alone": (400, request(":")),
    "no name": (400, request(": b")),
    "second line ends with LF": (400, b"GET / HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n"),
    "last line ends with LF": (400, b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\n\r\n"),
    "head ends with LF": (400, b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    "line ends with CR": (400, b"GET / HTTP/1.1\r\nHost: a\rX-A: b\r\n\r\n"),
    "line ends with CR CR LF": (400, b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\r\n\r\n"),
    "line ends with LF CR": (400, b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\n\r\r\n\r\n"),
    **each(
        "name",
        400,
        lambda value: request(f"{value}: b"),
        *("X A", "X-A ", "X-A\t", "X\xe9", "X\x00", "X\x0b", "X(A)", "X,A", 'X"A', "X/A", "X=A", "X@A", "X[A]", "X{A", "X;A", "X?A", "<X>", "X\\A", "X\x7f", "\xdfX"),
    ),
    **each("byte in a value", 400, lambda value: request(f"X-A: a{chr(value)}b"), *[n for n in (*range(32), 0x7F) if n not in (9, 10, 13)]),
    **each("byte in a value", 200, lambda value: request(f"X-A: a{chr(value)}b"), 9, 0x85, 0xA0, 0xFF),
    "a hundred fields": (200, request(*[f"X-{n}: 1" for n in range(99)])),
    "a hundred and one": (431, request(*[f"X-{n}: 1" for n in range(100)])),
    "a field too long": (431, request("X-A: " + "a" * 9000)),
    "a name too long": (431, request("X" * 9000 + ": a")),
    "a head too long": (431, request(*[f"X-{n}: " + "a" * 8000 for n in range(6)])),
    "content type twice": (400, post("Content-Type: text/plain", "content-type: text/html", "Content-Length: 0")),
    "cookie twice": (200, request("Cookie: a=1", "Cookie: b=2")),
    "underscores": (200, request("X_Forwarded_For: 6.6.6.6", "Content_Length: 9", "Script_Name_X: /", "Path_Info_X: /", "Remote_User: root")),
    "proxy": (200, request("Proxy: http://evil.example")),
}

CONNECTIONS = {
    "close": (200, request("Connection: close")),
    "close among others": (200, request("Connection: x, Close , y")),
    "keep-alive in HTTP/1.0": (200, request("Connection: keep-alive", line="GET / HTTP/1.0")),
    "upgrade to h2c": (200, request("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")),
    "upgrade with a body": (400, post("Connection: Upgrade", "Upgrade: websocket", "Content-Length: 3", body="abc")),
    "upgrade twice": (400, request("Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c")),
    "upgrade without connection": (200, request("Upgrade: websocket")),
    "expect": (200, post("Expect: 100-Continue", "Content-Length: 3", body="abc")),
    "expect without a body": (200, request("Expect: 100-continue")),
    "expect in HTTP/1.0": (200, request("Expect: 100-continue", "Content-Length: 3", line="POST / HTTP/1.0", body="abc")),
    "expect twice": (417, post("Expect: 100-continue", "Expect: 100-continue", "Content-Length: 3", body="abc")),
    **each("expect", 417, lambda value: post(f"Expect: {value}", "Content-Length: 3", body="abc"), "coffee", "100-continue, x", "100", "", '"100-continue"', "200-ok"),
    "expect and too much": (413, post("Expect: 100-continue", "Content-Length: 99999999999")),
    "expect and chunked": (200, chunked("3\r\nabc\r\n0\r\n\r\n", "Expect: 100-continue")),
}

CASES = LENGTHS | CODINGS | CHUNKS | REQUEST_LINES | TARGETS | HOSTS | FIELDS | CONNECTIONS

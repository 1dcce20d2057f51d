//! The part of the reference page on what an application and its clients see otherwise than under gunicorn.

/// Markdown. Each row has a test: `test_wsgi_environ.py`, `test_wsgi_settings.py`, `test_wsgi_response.py`,
/// `test_hostile.py`.
pub const DIFFERENCES: &str = "
## Where requests and answers differ from gunicorn's

| what | gunicorn 27 | here |
|---|---|---|
| `REMOTE_ADDR` | the socket's peer, whoever it is | the client that a trusted proxy names in `X-Forwarded-For` (the first hop from the right that is not trusted itself; then there is no `REMOTE_PORT`). `forwarded_environ = scheme` leaves it alone |
| `HTTP_HOST`, `SERVER_PORT` | the request's, the listener's | a trusted proxy's `X-Forwarded-Host` and `X-Forwarded-Port`, else the port of its scheme. Left alone by `forwarded_environ = scheme` |
| `X-Forwarded-*`, `X-Real-IP`, `Forwarded`, `X-Request-Start` from others | passed on | dropped, for applications believe them. Passed on by `forwarded_environ = scheme` |
| `X-Forwarded-Proto: http, https` | no HTTPS: the whole value is compared, in its case | the last entry counts, in any case; `wss` is HTTPS too |
| `SERVER_NAME` | the address that was bound, such as `0.0.0.0` | the address that the client has reached |
| `SCRIPT_NAME` | a prefix of the text: `/app` takes `/apple` for `/app` and `le`; other paths are 500 | whole segments; other paths are 404 |
| `Proxy` | becomes `HTTP_PROXY` | dropped: it would configure the application's own clients (httpoxy) |
| `Cookie` twice | joined by a comma | joined by `; ` (RFC 9113, 8.2.3) |
| a chunked request | has no `CONTENT_LENGTH` | is read first, and has one |
| an application that is called | may be waiting for its body | has it whole: slow uploads hold no process |
| `gunicorn.socket` | there | not there: nothing but the worker writes to a connection |
| `Server` | `gunicorn` | not sent, unless the application does |
| `Content-Length` where the application gave none | only if it is given | there for lists and tuples |
| `write()` to a client that has left | `EPIPE` and the like | `BrokenPipeError`, also after `body_timeout` without reading |
| a method | three to twenty characters, no small letters | the same |
| `Host` | not looked at | exactly one that is a host (HTTP/1.1), else 400 |
| the request target | hardly looked at | RFC 9112's forms; `#`, userinfo, other schemes are 400; `CONNECT` is 501 |
| codings before `chunked` | `gzip, chunked` is passed on undecoded | 400 |
| HTTP/1.2 and later | served by one of its parsers, refused by the other | 505 |
| a bare LF, folded lines, two spaces in the request line | refused; its parser in C takes some | refused |
| chunk extensions and trailers | bounded by the field limits | 1 KB an extension; 8 KB and 32 trailers; trailers are checked and dropped |
| a body | without limit | `body_limit`, else 413 |
";

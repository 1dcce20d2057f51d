//! The request's head as the upstream is to see it.

use super::headers;
use crate::upgrade::OnUpgrade;
use http::Method;
use http::header::{CONNECTION, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use monodon_http1::encode;

/// Takes out what belongs to the client's connection, and gives the WebSocket that was asked for.
pub fn prepare(parts: &mut Parts, has_body: bool) -> Option<OnUpgrade> {
    let upgrade = parts.extensions.remove::<OnUpgrade>().filter(|_| !has_body && wants_websocket(parts));
    if parts.headers.contains_key(CONNECTION) {
        headers::strip_listed(&mut parts.headers);
    }
    upgrade
}

/// Writes the head as the upstream is to see it. `length` is the body's, where it is known; `retry` is the process that the first sending was lost with.
pub fn write(out: &mut Vec<u8>, parts: &Parts, length: Option<u64>, websocket: bool, retry: Option<u32>) {
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in &parts.headers {
        if !headers::stays_behind_of_request(name.as_str()) {
            // Both types hold only what may be written.
            line(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    match length {
        Some(0) if matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) => {}
        Some(length) => encode::content_length(out, length),
        None => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    if websocket {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n");
    }
    if let Some(entry) = retry {
        line(out, b"x-monodon-retry", itoa::Buffer::new().format(entry).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[inline]
fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Only `websocket` is let through, and only on a GET without a body.
fn wants_websocket(parts: &Parts) -> bool {
    parts.method == Method::GET
        && parts.headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(request: http::request::Builder) -> Parts {
        request.body(()).unwrap().into_parts().0
    }

    fn written(parts: &Parts, length: Option<u64>, websocket: bool, retry: Option<u32>) -> String {
        let mut out = Vec::new();
        write(&mut out, parts, length, websocket, retry);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_length_is_the_buffers_and_hop_by_hop_fields_go() {
        let mut parts = parts(
            Request::post("http://example.org/a?b")
                .version(http::Version::HTTP_2)
                .header("transfer-encoding", "chunked")
                .header("content-length", "7")
                .header("connection", "close, x-hop")
                .header("x-hop", "1")
                .header("x-monodon-retry", "1")
                .header("expect", "100-continue")
                .header("x-stays", "1")
                .header("x-stays", "2"),
        );
        assert!(prepare(&mut parts, true).is_none());
        let head = "POST /a?b HTTP/1.1\r\nx-stays: 1\r\nx-stays: 2\r\n";
        assert_eq!(written(&parts, Some(5), false, None), format!("{head}content-length: 5\r\n\r\n"));
        let chunked = format!("{head}transfer-encoding: chunked\r\nx-monodon-retry: 3\r\n\r\n");
        assert_eq!(written(&parts, None, false, Some(3)), chunked);
    }

    #[test]
    fn an_empty_body_is_told_of_where_one_is_usual() {
        for (method, line) in [("GET", ""), ("HEAD", ""), ("OPTIONS", ""), ("POST", "content-length: 0\r\n")] {
            let parts = parts(Request::builder().method(method).uri("/"));
            let head = format!("{method} / HTTP/1.1\r\n{line}\r\n");
            assert_eq!(written(&parts, Some(0), false, None), head);
        }
    }

    #[test]
    fn only_a_websocket_is_an_upgrade() {
        let ask = |value: &str| {
            let (_promise, handle) = crate::upgrade::pair();
            let mut parts = parts(Request::get("/").header("connection", "upgrade").header("upgrade", value));
            parts.extensions.insert(handle);
            let asked = prepare(&mut parts, false).is_some();
            (asked, written(&parts, Some(0), asked, None))
        };
        let granted = "GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        assert_eq!(ask("WebSocket"), (true, granted.into()));
        assert_eq!(ask("h2c"), (false, "GET / HTTP/1.1\r\n\r\n".into()));
    }
}

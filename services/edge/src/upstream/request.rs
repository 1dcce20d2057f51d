//! The request's head as the upstream is to see it.

use super::headers;
use crate::headers::line;
use crate::upgrade::OnUpgrade;
use http::Method;
use http::header::{CONNECTION, HeaderName, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use monodon_http1::encode;

const X_MONODON_RETRY: HeaderName = HeaderName::from_static("x-monodon-retry");

/// Takes out what belongs to the client's connection, and gives the WebSocket that was asked for.
pub fn prepare(parts: &mut Parts, has_body: bool) -> Option<OnUpgrade> {
    let upgrade = parts.extensions.remove::<OnUpgrade>().filter(|_| !has_body && wants_websocket(parts));
    // Looked for from end to end: mostly it is not there, and to reckon where it would be takes longer.
    if parts.headers.keys().any(|name| *name == CONNECTION) {
        headers::strip_listed(&mut parts.headers);
    }
    upgrade
}

/// What else a head says.
#[derive(Clone, Copy)]
pub struct More<'a> {
    /// Lines that stand behind the request's own fields.
    pub told: &'a [u8],
    pub websocket: bool,
    /// The process that the first sending was lost with.
    pub retry: Option<u32>,
}

/// Writes the head as the upstream is to see it. `length` is the body's, where it is known.
pub fn write(out: &mut Vec<u8>, parts: &Parts, length: Option<u64>, more: More<'_>) {
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in &parts.headers {
        if !headers::stays_behind_of_request(name.as_str()) {
            line(out, name, value.as_bytes());
        }
    }
    out.extend_from_slice(more.told);
    match length {
        Some(0) if matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) => {}
        Some(length) => encode::content_length(out, length),
        None => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    if more.websocket {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n");
    }
    if let Some(entry) = more.retry {
        line(out, &X_MONODON_RETRY, itoa::Buffer::new().format(entry).as_bytes());
    }
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
        write(&mut out, parts, length, More { told: b"x-told: 1\r\n", websocket, retry });
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
        let head = "POST /a?b HTTP/1.1\r\nx-stays: 1\r\nx-stays: 2\r\nx-told: 1\r\n";
        assert_eq!(written(&parts, Some(5), false, None), format!("{head}content-length: 5\r\n\r\n"));
        let chunked = format!("{head}transfer-encoding: chunked\r\nx-monodon-retry: 3\r\n\r\n");
        assert_eq!(written(&parts, None, false, Some(3)), chunked);
    }

    #[test]
    fn an_empty_body_is_told_of_where_one_is_usual() {
        for (method, line) in [("GET", ""), ("HEAD", ""), ("OPTIONS", ""), ("POST", "content-length: 0\r\n")] {
            let parts = parts(Request::builder().method(method).uri("/"));
            let head = format!("{method} / HTTP/1.1\r\nx-told: 1\r\n{line}\r\n");
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
        let granted = "GET / HTTP/1.1\r\nx-told: 1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        assert_eq!(ask("WebSocket"), (true, granted.into()));
        assert_eq!(ask("h2c"), (false, "GET / HTTP/1.1\r\nx-told: 1\r\n\r\n".into()));
    }
}

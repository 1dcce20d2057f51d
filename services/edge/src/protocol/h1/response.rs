//! The head of an answer, and how its body will be framed (RFC 9112 6.3).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body::Body as _;
use monodon_http1::{Version, encode};

use crate::body::Body;
use crate::headers::line;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Send {
    /// No body bytes, whatever the body holds.
    Nothing,
    Length(u64),
    Chunked,
    UntilClose,
}

/// What the request says about the answer to it.
#[derive(Clone, Copy)]
pub struct Asked {
    pub version: Version,
    pub head: bool,
    /// Whether the connection may be used again, as far as the request goes.
    pub keep: bool,
}

/// Writes the head. Returns the framing and whether the connection stays open.
pub fn head(out: &mut Vec<u8>, response: &Response<Body>, asked: Asked) -> (Send, bool) {
    let (status, headers) = (response.status(), response.headers());
    let send = framing(response, asked);
    let upgrade = status == StatusCode::SWITCHING_PROTOCOLS;
    // RFC 9112 2.3: our own version, also to a 1.0 client.
    encode::status_line(out, Version::Http11, status.as_u16(), None);
    let (mut close, mut dated) = (false, false);
    for (name, value) in headers {
        close |= *name == header::CONNECTION && says_close(value);
        dated |= *name == header::DATE;
        if !is_ours(name) || (upgrade && name == header::UPGRADE) {
            line(out, name, value.as_bytes());
        }
    }
    response.body().say(out);
    if !dated {
        encode::date(out);
    }
    let keep = asked.keep && send != Send::UntilClose && !close;
    match send {
        Send::Length(length) => encode::content_length(out, length),
        Send::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        // RFC 9110 8.6: HEAD and 304 tell the length that GET would have had; 204 and 1xx must not.
        Send::Nothing if status != StatusCode::NO_CONTENT && !status.is_informational() => {
            let exact = response.body().size_hint().exact().filter(|length| asked.head && *length > 0);
            if let Some(length) = length_field(headers).or(exact) {
                encode::content_length(out, length);
            }
        }
        Send::Nothing | Send::UntilClose => {}
    }
    out.extend_from_slice(match (upgrade, keep, asked.version) {
        (true, ..) => b"connection: upgrade\r\n\r\n",
        (_, false, _) => b"connection: close\r\n\r\n",
        (_, true, Version::Http10) => b"connection: keep-alive\r\n\r\n",
        (_, true, Version::Http11) => b"\r\n",
    });
    (send, keep)
}

fn framing(response: &Response<Body>, asked: Asked) -> Send {
    let status = response.status();
    if asked.head || status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
    {
        return Send::Nothing;
    }
    match response.body().size_hint().exact().or_else(|| length_field(response.headers())) {
        Some(length) => Send::Length(length),
        None if asked.version == Version::Http11 => Send::Chunked,
        None => Send::UntilClose,
    }
}

fn length_field(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn says_close(value: &HeaderValue) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// Fields that belong to this connection: what stands in the response is about another.
fn is_ours(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION
            | header::TRANSFER_ENCODING
            | header::CONTENT_LENGTH
            | header::UPGRADE
            | header::TE
            | header::TRAILER
    ) || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::{BodyExt, StreamBody};

    const GET: Asked = Asked { version: Version::Http11, head: false, keep: true };

    fn unknown() -> Body {
        let stream =
            StreamBody::new(futures_util::stream::empty::<Result<http_body::Frame<Bytes>, crate::body::BodyError>>());
        Body::stream(stream.map_frame(|frame| frame))
    }

    fn written(response: &Response<Body>, asked: Asked) -> (String, Send, bool) {
        let mut out = Vec::new();
        let (send, keep) = head(&mut out, response, asked);
        (String::from_utf8(out).unwrap(), send, keep)
    }

    fn of(status: u16, fields: &[(&'static str, &'static str)], body: Body) -> Response<Body> {
        let mut builder = Response::builder().status(status);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(body).unwrap()
    }

    #[test]
    fn a_known_length() {
        let response = of(200, &[("x-a", "b"), ("date", "D"), ("content-length", "9")], Body::full("hello"));
        let (text, send, keep) = written(&response, GET);
        assert_eq!(text, "HTTP/1.1 200 OK\r\nx-a: b\r\ndate: D\r\ncontent-length: 5\r\n\r\n");
        assert_eq!((send, keep), (Send::Length(5), true));
    }

    #[test]
    fn an_unknown_length() {
        let (text, send, keep) = written(&of(200, &[("transfer-encoding", "gzip")], unknown()), GET);
        assert!(text.contains("transfer-encoding: chunked\r\n") && !text.contains("gzip"), "{text}");
        assert_eq!((send, keep), (Send::Chunked, true));
        let (text, send, keep) = written(&of(200, &[], unknown()), Asked { version: Version::Http10, ..GET });
        assert!(text.ends_with("connection: close\r\n\r\n") && !text.contains("transfer-encoding"), "{text}");
        assert_eq!((send, keep), (Send::UntilClose, false));
        assert_eq!(written(&of(200, &[("content-length", "7")], unknown()), GET).1, Send::Length(7));
    }

    #[test]
    fn no_body_bytes_where_there_are_none() {
        let head = Asked { head: true, ..GET };
        let (text, send, _) = written(&of(200, &[], Body::full("hello")), head);
        assert!(text.contains("content-length: 5\r\n"));
        assert_eq!(send, Send::Nothing);
        assert!(written(&of(200, &[("content-length", "7")], Body::empty()), head).0.contains("content-length: 7\r\n"));
        for status in [204, 304, 103] {
            let (text, send, _) = written(&of(status, &[], Body::full("hello")), GET);
            assert_eq!(send, Send::Nothing);
            assert!(!text.contains("content-length") && !text.contains("transfer-encoding"), "{text}");
        }
        assert!(written(&of(304, &[("content-length", "7")], Body::empty()), GET).0.contains("content-length: 7"));
        assert!(!written(&of(204, &[("content-length", "7")], Body::empty()), GET).0.contains("content-length"));
    }

    #[test]
    fn the_connection_is_ours_to_name() {
        let (text, _, keep) = written(&of(200, &[("connection", "x, Close"), ("keep-alive", "1")], Body::empty()), GET);
        assert!(text.ends_with("connection: close\r\n\r\n") && !text.contains("keep-alive"), "{text}");
        assert!(!keep);
        let old = Asked { version: Version::Http10, ..GET };
        assert!(written(&of(200, &[], Body::empty()), old).0.ends_with("connection: keep-alive\r\n\r\n"));
        let (text, ..) = written(&of(101, &[("upgrade", "websocket"), ("connection", "x")], Body::empty()), GET);
        assert!(text.contains("upgrade: websocket\r\n") && text.ends_with("connection: upgrade\r\n\r\n"), "{text}");
    }
}

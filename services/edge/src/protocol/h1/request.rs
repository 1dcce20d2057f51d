//! From a parsed head to `http::Request`: the values point into the bytes that were read.

use crate::body::RequestBody;
use crate::escape;
use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, StatusCode, Uri, Version};
use monodon_http1::target::{self, Form};
use monodon_http1::{Head, Reject, Span, Version as Http};

/// Room for the fields that the pipeline adds, so that the map seldom grows: what the application is told is written behind them.
const ADDED: usize = 4;

/// Why a head that the codec has passed is still not a request for us.
pub struct Refused {
    pub status: StatusCode,
    pub reason: &'static str,
}

impl From<Reject> for Refused {
    fn from(reject: Reject) -> Self {
        let status = StatusCode::from_u16(reject.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Self { status, reason: reject.reason() }
    }
}

/// `bytes` is exactly the head.
pub fn build(head: &Head, bytes: &Bytes, body: RequestBody) -> Result<Request<RequestBody>, Refused> {
    let mut request = Request::new(body);
    *request.method_mut() = method(head.method.of(bytes))?;
    *request.version_mut() = match head.version {
        Http::Http10 => Version::HTTP_10,
        Http::Http11 => Version::HTTP_11,
    };
    let mut headers = HeaderMap::with_capacity(head.fields.len() + ADDED);
    for field in &head.fields {
        let name = HeaderName::from_bytes(field.name.of(bytes)).map_err(|_| Reject::FieldName)?;
        headers.try_append(name, value(bytes, field.value)?).map_err(|_| Reject::TooManyFields)?;
    }
    let rest = match head.target.of(bytes) {
        // The codec has looked at it: here is nothing to take apart.
        path @ [b'/', ..] => path,
        target => {
            let parts = target::split(target)?;
            if parts.form == Form::Absolute
                && let Some(host) = head.host
            {
                // RFC 9112 3.2.2: the target's authority replaces Host.
                headers.insert(HOST, value(bytes, host)?);
            }
            parts.rest
        }
    };
    *request.headers_mut() = headers;
    let path = match rest {
        b"" => PathAndQuery::from_static("/"),
        // An absolute form without a path: `http://host?query`.
        rest @ [b'?', ..] => path_and_query(&Bytes::from([b"/", rest].concat()))?,
        rest => path_and_query(&bytes.slice_ref(rest))?,
    };
    *request.uri_mut() = Uri::from(path);
    Ok(request)
}

/// `"`, `<`, `>` and `` ` `` belong in no URI (RFC 3986, section 2), but clients send them, in JSON above all: where a target cannot stay
/// as it came for them, they are encoded. It means the same, to us and to the application.
fn path_and_query(target: &Bytes) -> Result<PathAndQuery, Reject> {
    PathAndQuery::from_maybe_shared(target.clone())
        .or_else(|_| PathAndQuery::from_maybe_shared(Bytes::from(escape::target(target))))
        .map_err(|_| Reject::Target)
}

fn method(name: &[u8]) -> Result<Method, Refused> {
    match name {
        // RFC 9110 9.3.6: a tunnel to anywhere is not what a site's front door is for.
        b"CONNECT" => Err(Refused { status: StatusCode::METHOD_NOT_ALLOWED, reason: "method_connect" }),
        _ => Ok(Method::from_bytes(name).map_err(|_| Reject::Method)?),
    }
}

fn value(bytes: &Bytes, span: Span) -> Result<HeaderValue, Refused> {
    let range = span.start as usize..span.end as usize;
    Ok(HeaderValue::from_maybe_shared(bytes.slice(range)).map_err(|_| Reject::Control)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;
    use monodon_http1::Limits;

    fn request(text: &'static str) -> Result<Request<RequestBody>, Refused> {
        let mut head = Head::new();
        assert_eq!(head.parse(text.as_bytes(), &Limits::default()), Ok(true));
        build(&head, &Bytes::from_static(text.as_bytes()), Body::empty())
    }

    #[test]
    fn an_ordinary_request() {
        let request = request("GET /a%2Fb//c?d=e HTTP/1.1\r\nHost: x\r\nX-Two: 1\r\nx-two:  2 \r\n\r\n").ok().unwrap();
        assert_eq!(request.uri().to_string(), "/a%2Fb//c?d=e");
        assert_eq!(request.headers()[HOST], "x");
        assert_eq!(request.headers().get_all("x-two").iter().collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn the_absolute_form_replaces_host() {
        for (target, path) in [
            ("http://real:81/p?q", "/p?q"),
            ("http://real:81", "/"),
            ("http://real:81?q", "/?q"),
            ("HTTPS://real:81//", "//"),
        ] {
            let text = format!("GET {target} HTTP/1.1\r\nHost: other\r\n\r\n").leak();
            let request = request(text).ok().unwrap();
            assert_eq!(
                (request.headers()[HOST].as_bytes(), request.headers().get_all(HOST).iter().count()),
                (&b"real:81"[..], 1)
            );
            assert_eq!(request.uri().to_string(), path);
            assert!(request.uri().host().is_none());
        }
    }

    #[test]
    fn methods_and_odd_targets() {
        assert_eq!(request("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n").err().unwrap().status, 405);
        assert_eq!(request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").ok().unwrap().uri().path(), "*");
        let target = "GET http://a?<\"a\"> HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(request(target).ok().unwrap().uri().to_string(), "/?%3C%22a%22%3E");
    }
}

//! The request's head as the upstream is to see it.

use super::headers;
use crate::buffer::Buffered;
use crate::upgrade::OnUpgrade;
use http::header::{CONNECTION, CONTENT_LENGTH, UPGRADE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};

/// Takes out what belongs to the client's connection, says the body's true length, and keeps an asked-for WebSocket.
pub fn prepare(parts: &mut Parts, body: &Buffered) -> Option<OnUpgrade> {
    let upgrade = parts.extensions.remove::<OnUpgrade>().filter(|_| wants_websocket(parts, body));
    parts.extensions = http::Extensions::new();
    parts.version = Version::HTTP_11;
    if parts.uri.authority().is_some() || parts.uri.scheme().is_some() {
        parts.uri = origin_form(&parts.uri);
    }
    headers::strip_request(&mut parts.headers);
    if !body.is_empty() || !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    if upgrade.is_some() {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    upgrade
}

/// A head kept for a second sending, which is rare: a list, for cloning a map of fields costs several times as much.
pub struct Spare {
    method: Method,
    uri: Uri,
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Spare {
    pub fn of(parts: &Parts) -> Self {
        let mut fields = Vec::with_capacity(parts.headers.len());
        fields.extend(parts.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        Self { method: parts.method.clone(), uri: parts.uri.clone(), fields }
    }

    pub fn restore(&self) -> Parts {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = self.method.clone();
        parts.uri = self.uri.clone();
        for (name, value) in &self.fields {
            parts.headers.append(name.clone(), value.clone());
        }
        parts
    }
}

/// Only `websocket` is let through, and only on a GET without a body.
fn wants_websocket(parts: &Parts, body: &Buffered) -> bool {
    parts.method == Method::GET
        && body.is_empty()
        && parts.headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

fn origin_form(uri: &Uri) -> Uri {
    uri.path_and_query().map_or_else(|| Uri::from_static("/"), |path| Uri::from(path.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(request: http::request::Builder) -> Parts {
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_length_is_the_buffers_and_hop_by_hop_fields_go() {
        let mut parts = parts(
            Request::post("http://example.org/a?b")
                .version(Version::HTTP_2)
                .header("transfer-encoding", "chunked")
                .header("connection", "close, x-hop")
                .header("x-hop", "1")
                .header("x-monodon-retry", "1")
                .header("expect", "100-continue")
                .header("x-stays", "1"),
        );
        assert!(prepare(&mut parts, &Buffered::memory("hello".into())).is_none());
        assert_eq!(parts.uri, "/a?b");
        assert_eq!(parts.version, Version::HTTP_11);
        let mut names: Vec<_> = parts.headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "x-stays"]);
        assert_eq!(parts.headers["content-length"], "5");
    }

    #[test]
    fn a_spare_head_is_the_same_head() {
        let mut parts = parts(
            Request::get("/a?b=c")
                .header("host", "example.org")
                .header("x-a", "1")
                .header("x-a", "2")
                .header("x-e", ""),
        );
        prepare(&mut parts, &Buffered::empty());
        let again = Spare::of(&parts).restore();
        assert_eq!((&again.method, &again.uri, &again.headers), (&parts.method, &parts.uri, &parts.headers));
    }

    #[test]
    fn only_a_websocket_is_an_upgrade() {
        let ask = |value: &str| {
            let (_promise, handle) = crate::upgrade::pair();
            let mut parts = parts(Request::get("/").header("connection", "upgrade").header("upgrade", value));
            parts.extensions.insert(handle);
            let asked = prepare(&mut parts, &Buffered::empty()).is_some();
            (asked, parts.headers.get("upgrade").cloned())
        };
        assert_eq!(ask("WebSocket"), (true, Some(HeaderValue::from_static("websocket"))));
        assert_eq!(ask("h2c"), (false, None));
    }
}

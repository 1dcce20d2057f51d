//! Fields that belong to one connection or to the talk between edge and worker, and must not pass.

use http::header::{CONNECTION, HeaderMap, HeaderName};

/// RFC 9110 section 7.6.1, and what a proxy of today still meets.
fn is_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            | "proxy-authenticate"
            | "proxy-authorization"
    )
}

pub fn strip_request(headers: &mut HeaderMap) {
    strip(headers, |name| {
        is_hop(name) || matches!(name, "content-length" | "expect") || name.starts_with("x-monodon-")
    });
}

pub fn strip_response(headers: &mut HeaderMap) {
    strip(headers, |name| is_hop(name) || name.starts_with("x-monodon-") || name.starts_with("x-accel-"));
}

fn strip(headers: &mut HeaderMap, goes: impl Fn(&str) -> bool) {
    // Mostly nothing is found, and nothing allocated.
    let mut names: Vec<HeaderName> = Vec::new();
    for value in headers.get_all(CONNECTION) {
        let tokens = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        // Most often the one word, which names the field that goes anyway.
        let tokens = tokens.filter(|token| !matches!(*token, b"keep-alive" | b"close"));
        names.extend(tokens.filter_map(|token| HeaderName::from_bytes(token).ok()));
    }
    names.extend(headers.keys().filter(|name| goes(name.as_str())).cloned());
    for name in names {
        headers.remove(name);
    }
}

//! Fields that belong to one connection or to the talk between edge and worker, and must not pass.

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};

/// RFC 9110 section 7.6.1, and what a proxy of today still meets; and what edge and worker say to each other.
pub fn stays_behind(name: &str) -> bool {
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
    ) || name.starts_with("x-monodon-")
}

/// The same of a request, of which we say ourselves how long it is and whether we wait.
pub fn stays_behind_of_request(name: &str) -> bool {
    stays_behind(name) || matches!(name, "content-length" | "expect")
}

/// The fields that a `Connection` names. Most often it is the one word that names none.
pub fn listed(value: &HeaderValue, names: &mut Vec<HeaderName>) {
    let tokens = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let tokens = tokens.filter(|token| !matches!(*token, b"keep-alive" | b"close" | b"upgrade" | b"Upgrade"));
    names.extend(tokens.filter_map(|token| HeaderName::from_bytes(token).ok()));
}

/// Takes away what a request's `Connection` names.
pub fn strip_listed(headers: &mut HeaderMap) {
    let mut names = Vec::new();
    for value in headers.get_all(CONNECTION) {
        listed(value, &mut names);
    }
    for name in names {
        headers.remove(name);
    }
}

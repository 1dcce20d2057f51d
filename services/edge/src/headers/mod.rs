//! Headers the edge takes away, and those it sets: towards the application ([`forward`]) and the client ([`finish`]);
//! and those that the configuration changes ([`change`]).

pub mod change;
pub mod cookie;
pub mod csp;
pub mod forward;
pub mod identity;

use crate::config::Options;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Finishes an answer, wherever it comes from. What the application said itself wins.
pub fn finish(headers: &mut HeaderMap, id: &HeaderValue, public: bool, options: &Options) {
    strip_answer(headers);
    // One growth at most, and one look-up each.
    headers.reserve(options.headers.security.len() + 3);
    options.headers.secure(headers, public);
    headers.insert(X_REQUEST_ID, id.clone());
}

/// Whether an answer already says something of what [`finish`] says.
pub fn says_some(headers: &HeaderMap, options: &Options) -> bool {
    headers.keys().any(|name| options.headers.has(name))
}

/// What [`finish`] says, as lines to stand behind an answer's fields, of which none may [say the same](says_some).
pub fn write(out: &mut Vec<u8>, id: &HeaderValue, public: bool, options: &Options) {
    options.headers.write(out, public);
    line(out, &X_REQUEST_ID, id.as_bytes());
}

/// A field as a line of HTTP/1. `value` comes from a header's value, or is one of ours: it has no byte that may not be written.
#[inline]
pub fn line(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    let name = name.as_str().as_bytes();
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Words between worker and edge never reach a client. (Hop-by-hop fields were taken where the answer was read.)
pub fn strip_answer(headers: &mut HeaderMap) {
    let inner = |name: &&HeaderName| {
        let name = name.as_str();
        name.starts_with("x-accel-") || name.starts_with("x-monodon-")
    };
    while let Some(name) = headers.keys().find(inner).cloned() {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests;

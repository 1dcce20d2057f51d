//! Headers the edge takes away, and those it sets: towards the application ([`forward`]) and the client ([`finish`]);
//! and those that the configuration changes ([`change`]).

pub mod change;
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

/// Words between worker and edge never reach a client. (Hop-by-hop fields were taken where the answer was read.)
fn strip_answer(headers: &mut HeaderMap) {
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

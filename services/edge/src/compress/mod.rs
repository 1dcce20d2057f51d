//! Content codings: what a client takes ([`accept`]) and how bytes become it ([`coding`]).

pub mod accept;
pub mod coding;

pub use accept::{Accept, Coding};

use http::{HeaderMap, HeaderValue, header};

/// What a request's Accept-Encoding says.
pub fn accepted(headers: &HeaderMap) -> Accept {
    if !headers.contains_key(header::ACCEPT_ENCODING) {
        return Accept::NOTHING;
    }
    Accept::parse(headers.get_all(header::ACCEPT_ENCODING).iter().map(HeaderValue::as_bytes))
}

/// The value of Content-Encoding.
pub fn content_encoding(coding: Coding) -> HeaderValue {
    HeaderValue::from_static(coding.name())
}

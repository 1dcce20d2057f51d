//! Content codings: what a client takes ([`accept`]), which answers are worth it ([`filter`]), and how bytes become it, at
//! once ([`coding`]) or on their way ([`body`]).

pub mod accept;
pub mod body;
pub mod coding;
pub mod encoder;
pub mod filter;
mod kept;
pub mod types;

pub use accept::{Accept, Coding};
pub use filter::{Seen, apply, forbidden, weaken, without_fixed_bytes};
pub use kept::Kept;

use http::{HeaderMap, HeaderValue, header};

/// What a request's Accept-Encoding says.
pub fn accepted(headers: &HeaderMap) -> Accept {
    // Found by looking along them: to hash a name takes longer.
    if !headers.keys().any(|name| *name == header::ACCEPT_ENCODING) {
        return Accept::NOTHING;
    }
    Accept::parse(headers.get_all(header::ACCEPT_ENCODING).iter().map(HeaderValue::as_bytes))
}

/// The value of Content-Encoding.
pub fn content_encoding(coding: Coding) -> HeaderValue {
    HeaderValue::from_static(coding.name())
}

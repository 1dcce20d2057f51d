//! Headers the edge takes away, and those it sets: towards the application ([`forward`]) and the client ([`Prepared`]).

pub mod forward;
pub mod identity;

use crate::config::{Config, Options};
use http::header::{self, Entry, HeaderName};
use http::{HeaderMap, HeaderValue};

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers of answers, prepared from the configuration.
pub struct Prepared {
    security: Vec<(HeaderName, HeaderValue)>,
    hsts: Option<HeaderValue>,
}

impl Prepared {
    pub fn new(config: &Config) -> Self {
        let security = vec![
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
            (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
            (
                HeaderName::from_static("permissions-policy"),
                HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
            ),
        ];
        let hsts = config.headers.hsts.as_deref().and_then(|value| HeaderValue::from_str(value).ok());
        Self { security, hsts }
    }

    /// Finishes an answer, wherever it comes from. What the application said itself wins.
    pub fn finish(&self, headers: &mut HeaderMap, id: &HeaderValue, public: bool, options: &Options) {
        strip_answer(headers);
        // One growth at most, and one look-up each.
        headers.reserve(self.security.len() + 2);
        let security = if options.headers.security { self.security.as_slice() } else { &[] };
        for (name, value) in security {
            if let Entry::Vacant(place) = headers.entry(name) {
                place.insert(value.clone());
            }
        }
        if public
            && let Some(hsts) = &self.hsts
            && !headers.contains_key(header::STRICT_TRANSPORT_SECURITY)
        {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        headers.insert(X_REQUEST_ID, id.clone());
    }
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

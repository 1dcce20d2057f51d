//! What content coding says in an answer's fields, and no change of them may take away.

use super::filter::{lists, weaken};
use http::{HeaderMap, HeaderValue, header};

/// What was said before the configuration's changes.
pub struct Kept {
    varies: bool,
    coded: bool,
    tag: Option<HeaderValue>,
}

impl Kept {
    pub fn of(headers: &HeaderMap) -> Self {
        Self {
            varies: varies(headers),
            coded: headers.contains_key(header::CONTENT_ENCODING),
            tag: headers.get(header::ETAG).cloned(),
        }
    }

    /// Without Vary a cache would give a coded form to clients that cannot read it; and a tag that is set is that of all forms,
    /// whose bytes differ.
    pub fn restore(self, headers: &mut HeaderMap) {
        if self.varies && !varies(headers) {
            headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        if self.coded && headers.get(header::ETAG) != self.tag.as_ref() {
            weaken(headers);
        }
    }
}

/// Whether Accept-Encoding chooses the form.
fn varies(headers: &HeaderMap) -> bool {
    headers.get_all(header::VARY).iter().any(|value| lists(value, b"accept-encoding") || lists(value, b"*"))
}

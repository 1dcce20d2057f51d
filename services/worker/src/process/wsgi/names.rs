//! From the names of header fields to the keys of the environ.
//!
//! What each name becomes is worked out once and found again by its bytes: the key is an interned `str` whose hash is
//! known, and the last value of a field is kept, because the same ones come again and again.

use pyo3::{prelude::*, types::PyString};

use super::text;

/// How many names are remembered; whoever sends more names than that pays for them himself.
const MOST: usize = 192;
/// Places of the table, a power of two that leaves it half empty.
const PLACES: usize = 512;
/// Longer values are not kept.
const KEPT: usize = 256;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// Several are joined by `; ` (RFC 9113 section 8.2.3).
    Cookie,
    /// Speaks for the client; believed from trusted peers only, dropped from others.
    Forwarded(Forwarded),
    /// The framing is decided, and the application must not decide anew.
    Framing,
    /// Not for the application.
    Dropped,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    For,
    Proto,
    Host,
    Port,
    Other,
}

pub struct Name {
    bytes: Box<[u8]>,
    pub key: Py<PyString>,
    pub kind: Kind,
    /// Whether values are likely to come again, and are no secrets.
    keeps: bool,
    last: Vec<u8>,
    value: Option<Py<PyString>>,
}

impl Name {
    fn new(py: Python<'_>, bytes: &[u8]) -> Self {
        let lower = bytes.to_ascii_lowercase();
        let kind = match lower.as_slice() {
            b"cookie" => Kind::Cookie,
            b"content-length" | b"transfer-encoding" => Kind::Framing,
            // httpoxy: HTTP_PROXY would configure the application's own clients.
            b"proxy" => Kind::Dropped,
            b"x-forwarded-for" => Kind::Forwarded(Forwarded::For),
            b"x-forwarded-proto" => Kind::Forwarded(Forwarded::Proto),
            b"x-forwarded-host" => Kind::Forwarded(Forwarded::Host),
            b"x-forwarded-port" => Kind::Forwarded(Forwarded::Port),
            b"forwarded"
            | b"x-real-ip"
            | b"x-forwarded-prefix"
            | b"x-forwarded-server"
            | b"x-forwarded-ssl"
            | b"x-forwarded-scheme"
            | b"x-forwarded-protocol"
            | b"x-forwarded-by"
            | b"x-scheme"
            | b"x-request-start" => Kind::Forwarded(Forwarded::Other),
            // `_` and `-` become the same key: one of them could speak in the other's name.
            name if name.contains(&b'_') || name.starts_with(b"x-monodon-") => Kind::Dropped,
            _ => Kind::Plain,
        };
        let mut key = String::with_capacity(5 + lower.len());
        if !matches!(lower.as_slice(), b"content-type" | b"content-length") {
            key.push_str("HTTP_");
        }
        key.extend(lower.iter().map(|byte| if *byte == b'-' { '_' } else { char::from(byte.to_ascii_uppercase()) }));
        Self {
            bytes: bytes.into(),
            key: PyString::intern(py, &key).unbind(),
            kind,
            keeps: !matches!(
                lower.as_slice(),
                b"cookie"
                    | b"authorization"
                    | b"proxy-authorization"
                    | b"x-request-id"
                    | b"traceparent"
                    | b"x-request-start"
            ),
            last: Vec::new(),
            value: None,
        }
    }

    /// The value as text.
    pub fn value<'py>(&mut self, py: Python<'py>, value: &[u8]) -> PyResult<Bound<'py, PyString>> {
        if !self.keeps || value.len() > KEPT {
            return text::latin1(py, value);
        }
        if let Some(known) = self.value.as_ref().filter(|_| self.last == value) {
            return Ok(known.bind(py).clone());
        }
        let fresh = text::latin1(py, value)?;
        self.last.clear();
        self.last.extend_from_slice(value);
        self.value = Some(fresh.clone().unbind());
        Ok(fresh)
    }
}

pub struct Names {
    /// Index into `known`, plus one; 0 is empty.
    places: Box<[u8; PLACES]>,
    known: Vec<Name>,
    /// For a name that there was no room for.
    spare: Option<Name>,
}

impl Names {
    pub fn new() -> Self {
        Self { places: Box::new([0; PLACES]), known: Vec::with_capacity(MOST), spare: None }
    }

    /// What the name becomes, and its number if it is remembered.
    pub fn find(&mut self, py: Python<'_>, bytes: &[u8]) -> (Option<usize>, &mut Name) {
        let mut place = hash(bytes) % PLACES;
        while let Some(number) = self.places.get(place).and_then(|stored| usize::from(*stored).checked_sub(1)) {
            if self
                .known
                .get(number)
                .is_some_and(|name| *name.bytes == *bytes || name.bytes.eq_ignore_ascii_case(bytes))
            {
                break;
            }
            place = (place + 1) % PLACES;
        }
        let stored = self.places.get(place).map_or(0, |stored| usize::from(*stored));
        let number = match stored.checked_sub(1) {
            Some(number) => Some(number),
            None if self.known.len() < MOST => {
                self.known.push(Name::new(py, bytes));
                if let (Some(slot), Ok(stored)) = (self.places.get_mut(place), u8::try_from(self.known.len())) {
                    *slot = stored;
                }
                Some(self.known.len() - 1)
            }
            None => None,
        };
        match number.and_then(|number| self.known.get_mut(number)) {
            Some(name) => (number, name),
            None => (None, self.spare.insert(Name::new(py, bytes))),
        }
    }
}

/// The same for upper and lower case.
fn hash(bytes: &[u8]) -> usize {
    let word = |part: &[u8]| part.iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte | 0x20));
    let len = bytes.len();
    // Length, the first eight and the last eight bytes tell nearly all names apart.
    let first = word(bytes.get(..8).unwrap_or(bytes));
    let last = word(bytes.get(len.saturating_sub(8)..).unwrap_or(bytes));
    let mixed = (first ^ last.rotate_left(23) ^ len as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 48) as usize
}

/// Which remembered names a request has already used.
#[derive(Default)]
pub struct Seen([u64; MOST.div_ceil(64)]);

impl Seen {
    /// Whether it is there already; notes it.
    pub fn note(&mut self, number: usize) -> bool {
        let Some(word) = self.0.get_mut(number / 64) else { return true };
        let bit = 1 << (number % 64);
        let seen = *word & bit != 0;
        *word |= bit;
        seen
    }
}

//! From the names of header fields to the keys of the environ.
//!
//! What each name becomes is worked out once and found again by its bytes: the key is an interned `str` whose hash is
//! known, and the last value of a field is kept, because the same ones come again and again.

use pyo3::{prelude::*, types::PyString};

use super::{text, told::Forwarded};
use crate::settings::proxies::{HeaderMap, Proxies};

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
    /// Speaks for the client.
    Forwarded(Forwarded),
    /// The framing is decided, and the application must not decide anew.
    Framing,
    /// Not for the application.
    Dropped,
    /// Not to be answered at all.
    Refused,
}

pub struct Name {
    bytes: Box<[u8]>,
    pub key: Py<PyString>,
    /// What it is when a trusted peer sends it.
    pub kind: Kind,
    /// And when another does.
    pub strangers: Kind,
    /// The number of the name that becomes the same key, if `header_map` lets both pass.
    twin: Option<usize>,
    /// The value that means HTTPS, if it is one of `secure_scheme_headers`.
    pub secure: Option<Box<[u8]>>,
    /// Whether values are likely to come again, and are no secrets.
    keeps: bool,
    last: Vec<u8>,
    value: Option<Py<PyString>>,
}

impl Name {
    fn new(py: Python<'_>, bytes: &[u8], proxies: &Proxies) -> Self {
        let lower = bytes.to_ascii_lowercase();
        let secure = proxies.secure_scheme_headers.iter().find(|(name, _)| name.as_bytes() == lower);
        let kind = match lower.as_slice() {
            b"cookie" => Kind::Cookie,
            b"content-length" | b"transfer-encoding" => Kind::Framing,
            // httpoxy: HTTP_PROXY would configure the application's own clients.
            b"proxy" => Kind::Dropped,
            name if name.starts_with(b"x-monodon-") => Kind::Dropped,
            _ if secure.is_some() => Kind::Forwarded(Forwarded::Other),
            b"x-forwarded-for" if proxies.all => Kind::Forwarded(Forwarded::For),
            b"x-forwarded-host" if proxies.all => Kind::Forwarded(Forwarded::Host),
            b"x-forwarded-port" if proxies.all => Kind::Forwarded(Forwarded::Port),
            b"forwarded"
            | b"x-real-ip"
            | b"x-forwarded-proto"
            | b"x-forwarded-prefix"
            | b"x-forwarded-server"
            | b"x-forwarded-ssl"
            | b"x-forwarded-scheme"
            | b"x-forwarded-protocol"
            | b"x-forwarded-by"
            | b"x-scheme"
            | b"x-request-start" => Kind::Forwarded(Forwarded::Other),
            name if name.contains(&b'_') => underscored(name, proxies),
            _ => Kind::Plain,
        };
        let strangers = match kind {
            Kind::Forwarded(_) if lower.contains(&b'_') => mapped(proxies),
            Kind::Forwarded(_) if proxies.all => Kind::Dropped,
            Kind::Forwarded(_) => Kind::Plain,
            kind => kind,
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
            strangers,
            twin: None,
            secure: secure.map(|(_, value)| value.as_bytes().into()),
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
    proxies: Proxies,
}

/// `_` and `-` become the same key: one of them could speak in the other's name.
fn underscored(lower: &[u8], proxies: &Proxies) -> Kind {
    let listed =
        proxies.forwarder_headers.iter().any(|name| name == "*" || name.as_bytes().eq_ignore_ascii_case(lower));
    match lower {
        b"script_name" if listed => Kind::Forwarded(Forwarded::Script),
        _ if listed => Kind::Forwarded(Forwarded::Other),
        _ => mapped(proxies),
    }
}

/// What is not listed, or does not come from a trusted peer.
fn mapped(proxies: &Proxies) -> Kind {
    match proxies.header_map {
        HeaderMap::Drop => Kind::Dropped,
        HeaderMap::Refuse => Kind::Refused,
        HeaderMap::Dangerous => Kind::Plain,
    }
}

impl Names {
    pub fn new(proxies: &Proxies) -> Self {
        Self { places: Box::new([0; PLACES]), known: Vec::with_capacity(MOST), spare: None, proxies: proxies.clone() }
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
                let mut name = Name::new(py, bytes, &self.proxies);
                name.twin = self.known.iter().position(|known| same_key(&known.bytes, bytes));
                self.known.push(name);
                if let (Some(slot), Ok(stored)) = (self.places.get_mut(place), u8::try_from(self.known.len())) {
                    *slot = stored;
                }
                Some(self.known.len() - 1)
            }
            None => None,
        };
        match number.and_then(|number| self.known.get_mut(number)) {
            Some(name) => (name.twin.or(number), name),
            None => (None, self.spare.insert(Name::new(py, bytes, &self.proxies))),
        }
    }
}

fn same_key(one: &[u8], other: &[u8]) -> bool {
    let alike = |(a, b): (&u8, &u8)| a.eq_ignore_ascii_case(b) || matches!((a, b), (b'-' | b'_', b'-' | b'_'));
    one.len() == other.len() && one.iter().zip(other).all(alike)
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

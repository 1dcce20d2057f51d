//! What codings a client takes (RFC 9110, section 12.5.3), and which of ours it gets.
//!
//! This file needs nothing of the edge: the fuzz target compiles it alone.

/// A content coding that we can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Coding {
    Br,
    Zstd,
    Gzip,
}

impl Coding {
    /// In the order in which the server prefers them where the client does not say.
    pub const ALL: [Self; 3] = [Self::Br, Self::Zstd, Self::Gzip];

    /// As it stands in Content-Encoding.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Br => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// Of a precompressed sibling: `app.css.br`.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Br => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|coding| coding.name() == name)
    }
}

/// More members than any client has: the rest of the field is not looked at, and what it would have said is not heard.
const MEMBERS: usize = 32;
/// Longer fields mean identity.
const LENGTH: usize = 1024;

/// The weights that a client gives, in thousandths; 0 is "not acceptable".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accept {
    codings: [u16; 3],
    /// `None`: acceptable, but not named, so that any coding goes before it.
    identity: Option<u16>,
}

impl Default for Accept {
    fn default() -> Self {
        Self::NOTHING
    }
}

impl Accept {
    /// Of a client that takes the bytes as they are: it sends no field, an empty one, or one that means nothing.
    pub const NOTHING: Self = Self { codings: [0; 3], identity: None };

    /// The values of all Accept-Encoding fields, in their order: together they are one list. A list that is malformed
    /// anywhere means nothing: guessing may send what the client cannot read, identity everybody can.
    pub fn parse<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> Self {
        Self::strict(values).unwrap_or(Self::NOTHING)
    }

    /// `None` where it is malformed, or without bounds.
    pub fn strict<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> Option<Self> {
        let mut named: [Option<u16>; 3] = [None; 3];
        let (mut identity, mut any) = (None, None);
        let (mut members, mut length) = (0, 0);
        for value in values {
            length += value.len();
            if length > LENGTH {
                return None;
            }
            for member in value.split(|byte| *byte == b',').map(trim) {
                // RFC 9110, section 5.6.1.2: empty members are nothing.
                if member.is_empty() {
                    continue;
                }
                members += 1;
                if members > MEMBERS {
                    return None;
                }
                let (token, weight) = coding_and_weight(member)?;
                let place = match Name::of(token) {
                    Name::Coding(coding) => named.get_mut(coding as usize)?,
                    Name::Identity => &mut identity,
                    Name::Any => &mut any,
                    Name::Other => continue,
                };
                // Named twice: the lower weight is the one that cannot do harm.
                *place = Some(place.map_or(weight, |known: u16| known.min(weight)));
            }
        }
        let codings = named.map(|weight| weight.or(any).unwrap_or(0));
        Some(Self { codings, identity: identity.or(any) })
    }

    /// Whether there is anything to choose from.
    pub fn is_nothing(self) -> bool {
        self.codings == [0; 3]
    }

    pub fn takes(self, coding: Coding) -> bool {
        self.weight(coding) > 0
    }

    /// `identity;q=0`, or `*;q=0` and no word of identity.
    pub fn refuses_identity(self) -> bool {
        self.identity == Some(0)
    }

    fn weight(self, coding: Coding) -> u16 {
        self.codings.get(coding as usize).copied().unwrap_or(0)
    }

    /// What the client likes best of `offered`; of what it likes alike, the first. `None` is identity: also where that
    /// is refused and nothing else is left, for an answer that may not be readable is better than none.
    pub fn choose(self, offered: &[Coding]) -> Option<Coding> {
        let mut best: Option<(Coding, u16)> = None;
        for coding in offered.iter().copied() {
            let weight = self.weight(coding);
            if weight > best.map_or(0, |(_, weight)| weight) {
                best = Some((coding, weight));
            }
        }
        best.filter(|(_, weight)| self.identity.is_none_or(|identity| *weight >= identity)).map(|(coding, _)| coding)
    }
}

enum Name {
    Coding(Coding),
    Identity,
    Any,
    Other,
}

impl Name {
    fn of(token: &[u8]) -> Self {
        for coding in Coding::ALL {
            if token.eq_ignore_ascii_case(coding.name().as_bytes()) {
                return Self::Coding(coding);
            }
        }
        // RFC 9110, section 8.4.1.3: the same as gzip.
        if token.eq_ignore_ascii_case(b"x-gzip") {
            Self::Coding(Coding::Gzip)
        } else if token.eq_ignore_ascii_case(b"identity") {
            Self::Identity
        } else if token == b"*" {
            Self::Any
        } else {
            Self::Other
        }
    }
}

/// `token [ OWS ";" OWS "q=" qvalue ]`
fn coding_and_weight(member: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = member.splitn(2, |byte| *byte == b';');
    let token = trim(parts.next()?);
    if token.is_empty() || !token.iter().all(|byte| is_token(*byte)) {
        return None;
    }
    let weight = match parts.next() {
        None => 1000,
        Some(parameter) => match trim(parameter) {
            [b'q' | b'Q', b'=', value @ ..] => qvalue(value)?,
            _ => return None,
        },
    };
    Some((token, weight))
}

/// `0[.000]` to `1[.000]`, in thousandths (RFC 9110, section 12.4.2).
fn qvalue(value: &[u8]) -> Option<u16> {
    let (whole, digits) = match value {
        [whole @ (b'0' | b'1')] => (*whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', digits @ ..] => (*whole, digits),
        _ => return None,
    };
    if digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |place: usize| digits.get(place).map_or(0, |digit| u16::from(digit - b'0'));
    let fraction = digit(0) * 100 + digit(1) * 10 + digit(2);
    match whole {
        b'0' => Some(fraction),
        _ => (fraction == 0).then_some(1000),
    }
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
#[path = "accept_tests.rs"]
mod tests;

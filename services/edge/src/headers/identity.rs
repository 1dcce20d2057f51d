//! A request's identity: `X-Request-ID` and `traceparent`, made from one random number.

use fastrand::Rng;
use http::HeaderValue;
use std::cell::RefCell;

/// What names a request through all services.
pub struct Identity {
    /// 32 hexadecimal digits, or what a trusted proxy said.
    pub id: HeaderValue,
    /// <https://www.w3.org/TR/trace-context/>: the trace is the request's id.
    own: [u8; 55],
    /// What a trusted proxy said of it.
    said: Option<HeaderValue>,
}

thread_local! {
    // Unique is enough, secret is not needed: nothing is decided by a request's id.
    static RNG: RefCell<Rng> = RefCell::new(Rng::new());
}

impl Identity {
    pub fn traceparent(&self) -> &[u8] {
        self.said.as_ref().map_or(&self.own, HeaderValue::as_bytes)
    }

    /// Continues the trace that a trusted proxy names.
    pub fn continues(&mut self, traceparent: HeaderValue) {
        self.said = Some(traceparent);
    }

    /// The trace, where it is another than the request's id: only where somebody else has named one of them.
    pub fn foreign_trace(&self) -> Option<HeaderValue> {
        let own = self.traceparent().get(3..35) == Some(self.id.as_bytes());
        if own { None } else { HeaderValue::from_bytes(self.traceparent()).ok() }
    }

    pub fn generate() -> Self {
        let (trace, span) = RNG.with_borrow_mut(|rng| (rng.u128(1..), rng.u64(1..)));
        let mut own = *b"00-00000000000000000000000000000000-0000000000000000-01";
        let [_, _, _, digits @ .., _, _, _] = &mut own;
        let (id, rest) = digits.split_at_mut(32);
        hex(id, &trace.to_be_bytes());
        hex(rest.split_at_mut(1).1, &span.to_be_bytes());
        let id = HeaderValue::from_bytes(id).unwrap_or_else(|_| unreachable!("hexadecimal digits"));
        Self { id, own, said: None }
    }
}

/// Byte by byte: shifting a whole `u128` for each digit costs five times as much.
fn hex(out: &mut [u8], bytes: &[u8]) {
    let digit = |half: u8| half + if half < 10 { b'0' } else { b'a' - 10 };
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
    }
}

/// A request id that a trusted proxy sent: short, and of characters that are harmless in any log.
pub fn acceptable_id(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    (1..=128).contains(&bytes.len())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'=' | b'+' | b'/'))
}

/// <https://www.w3.org/TR/trace-context/#versioning-of-traceparent>: lower case, no part all zero; a version after 00 may say
/// more behind the parts that are known.
pub fn acceptable_traceparent(value: &HeaderValue) -> bool {
    let digits = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = value.as_bytes().splitn(5, |byte| *byte == b'-');
    let (Some(version), Some(trace), Some(span), Some(flags), more) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    (version.len(), trace.len(), span.len(), flags.len()) == (2, 32, 16, 2)
        && [version, trace, span, flags].into_iter().all(digits)
        && [trace, span].into_iter().all(|part| part.iter().any(|byte| *byte != b'0'))
        && version != b"ff"
        && (more.is_none() || version != b"00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparents() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let zeros = "0".repeat(32);
        for (text, fine) in [
            (format!("00-{trace}-{span}-01"), true),
            (format!("cc-{trace}-{span}-01"), true),
            (format!("cc-{trace}-{span}-01-what-the-future-says"), true),
            (format!("00-{trace}-{span}-01-more"), false),
            (format!("ff-{trace}-{span}-01"), false),
            (format!("00-{zeros}-{span}-01"), false),
            (format!("00-{trace}-0000000000000000-01"), false),
            (format!("00-{}-{span}-01", trace.to_uppercase()), false),
            (format!("00-{trace}-{span}"), false),
            (format!("00-{trace}-{span}-1"), false),
            (format!("0-{trace}-{span}-01"), false),
            (String::new(), false),
        ] {
            assert_eq!(acceptable_traceparent(&HeaderValue::try_from(&text).unwrap()), fine, "{text}");
        }
        let own = Identity::generate();
        let parent = HeaderValue::from_bytes(own.traceparent()).unwrap();
        assert!(acceptable_traceparent(&parent) && own.foreign_trace().is_none());
        assert_eq!(parent.as_bytes().get(3..35), Some(own.id.as_bytes()));
    }
}

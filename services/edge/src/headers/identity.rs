//! A request's identity: `X-Request-ID` and `traceparent`, made from one random number and one allocation.

use bytes::Bytes;
use fastrand::Rng;
use http::HeaderValue;
use std::cell::RefCell;

/// What names a request through all services.
pub struct Identity {
    /// 32 hexadecimal digits, or what a trusted proxy said.
    pub id: HeaderValue,
    /// <https://www.w3.org/TR/trace-context/>: the trace is the request's id.
    pub traceparent: HeaderValue,
}

thread_local! {
    // Unique is enough, secret is not needed: nothing is decided by a request's id.
    static RNG: RefCell<Rng> = RefCell::new(Rng::new());
}

impl Identity {
    pub fn generate() -> Self {
        let (trace, span) = RNG.with_borrow_mut(|rng| (rng.u128(1..), rng.u64(1..)));
        let mut text = Vec::with_capacity(55);
        text.extend_from_slice(b"00-");
        hex(&mut text, &trace.to_be_bytes());
        text.push(b'-');
        hex(&mut text, &span.to_be_bytes());
        text.extend_from_slice(b"-01");
        let text = Bytes::from(text);
        let value = |bytes: Bytes| {
            HeaderValue::from_maybe_shared(bytes).unwrap_or_else(|_| unreachable!("hexadecimal digits and dashes"))
        };
        Self { id: value(text.slice(3..35)), traceparent: value(text) }
    }
}

/// Byte by byte: shifting a whole `u128` for each digit costs five times as much.
fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
    for byte in bytes {
        out.extend_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
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

/// Version 00, lower case, no part all zero.
pub fn acceptable_traceparent(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    let digits = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = bytes.split(|byte| *byte == b'-');
    let (Some(b"00"), Some(trace), Some(span), Some(flags), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    (trace.len(), span.len(), flags.len()) == (32, 16, 2)
        && [trace, span, flags].into_iter().all(digits)
        && [trace, span].into_iter().all(|part| part.iter().any(|byte| *byte != b'0'))
}

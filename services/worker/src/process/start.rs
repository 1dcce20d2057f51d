//! When a proxy got the request (`X-Request-Start`), and so how long it has waited for the application.

use std::time::{SystemTime, UNIX_EPOCH};

use super::request::Request;

/// Microseconds since the epoch at which the proxy got the request; none if it does not say, or is not believed.
pub fn of(request: &Request) -> Option<u64> {
    if !request.peer.trusted {
        return None;
    }
    parse(request.field(b"x-request-start")?)
}

/// How many microseconds the request has waited until now.
pub fn waited(request: &Request) -> Option<u64> {
    // A proxy whose clock is ahead of ours makes no wait.
    of(request).map(|start| epoch().saturating_sub(start))
}

/// Microseconds since the epoch.
pub fn epoch() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// `t=1700000000.123` as nginx writes it (`t=${msec}`), or a whole number of seconds, milliseconds, microseconds or
/// nanoseconds, told apart by its size; the `t=` may be missing (Heroku).
fn parse(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value.strip_prefix(b"t=").unwrap_or(value)).ok()?.trim();
    if let Some((whole, fraction)) = text.split_once('.') {
        let digits = fraction.get(..fraction.len().min(6))?;
        let scale = 10u64.pow(6 - u32::try_from(digits.len()).ok()?);
        let part = if digits.is_empty() { 0 } else { digits.parse::<u32>().ok().map(u64::from)? };
        return whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(part * scale);
    }
    let number: u64 = text.parse().ok()?;
    match number {
        0..100_000_000_000 => number.checked_mul(1_000_000),
        100_000_000_000..100_000_000_000_000 => number.checked_mul(1000),
        100_000_000_000_000..100_000_000_000_000_000 => Some(number),
        _ => Some(number / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_write_it_in_their_own_ways() {
        let same = Some(1_700_000_000_123_000);
        for text in
            ["t=1700000000123000", "t=1700000000.123", "1700000000123", "t=1700000000123000456", "1700000000.123000"]
        {
            assert_eq!(parse(text.as_bytes()), same, "{text}");
        }
        assert_eq!(parse(b"t=1700000000"), Some(1_700_000_000_000_000));
        assert_eq!(parse(b"t=1700000000."), Some(1_700_000_000_000_000));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "t=",
            "t=now",
            "t=-1",
            "t=1.-5",
            "t=99999999999999999999",
            "t=1.\u{e9}\u{e9}\u{e9}\u{e9}",
            "t=18446744073709551615.5",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}

//! What `Authorization` says, and comparing secrets.

use http::{HeaderMap, HeaderValue, header};

/// `user:password` of the Basic scheme (RFC 7617), the one field there may be.
pub fn basic(headers: &HeaderMap) -> Option<Vec<u8>> {
    base64(of(headers, "basic")?)
}

/// The token of the Bearer scheme (RFC 6750).
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    of(headers, "bearer")
}

fn of<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return None };
    let (own, rest) = field.to_str().ok()?.split_once(' ')?;
    own.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

/// The question for a name and a password.
pub fn challenge(realm: &str) -> Option<HeaderValue> {
    let fine = !realm.is_empty() && realm.chars().all(|c| !c.is_control() && !matches!(c, '"' | '\\'));
    let value = ["Basic realm=\"", realm, "\", charset=\"UTF-8\""].concat();
    HeaderValue::try_from(value).ok().filter(|_| fine)
}

/// In a time that tells nothing of where they differ.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    let mut difference = a.len() ^ b.len();
    for index in 0..b.len() {
        difference |= usize::from(a.get(index).copied().unwrap_or(0) ^ b.get(index).copied().unwrap_or(0));
    }
    difference == 0
}

/// The six bits that a letter of base64 stands for (RFC 4648, section 4).
pub fn sextet(letter: u8) -> Option<u8> {
    Some(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        bits = bits << 6 | u32::from(sextet(byte)?);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (header::AUTHORIZATION, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn schemes() {
        assert_eq!(basic(&with(&["Basic YTpi"])).as_deref(), Some(&b"a:b"[..]));
        assert_eq!(basic(&with(&["bAsIc  YTpi "])).as_deref(), Some(&b"a:b"[..]));
        assert_eq!(basic(&with(&["Basic YWI6Yw=="])).as_deref(), Some(&b"ab:c"[..]));
        for wrong in [&["Bearer YTpi"][..], &["Basic"], &["Basic !"], &["Basic YTpi", "Basic YTpi"], &[]] {
            assert_eq!(basic(&with(wrong)), None, "{wrong:?}");
        }
        assert_eq!(bearer(&with(&["bearer abc"])), Some("abc"));
        assert_eq!(bearer(&with(&["Basic abc"])), None);
    }

    #[test]
    fn secrets() {
        assert!(same(b"abc", b"abc"));
        for wrong in [&b"abd"[..], b"ab", b"abcd", b""] {
            assert!(!same(wrong, b"abc") && !same(b"abc", wrong), "{wrong:?}");
        }
    }

    #[test]
    fn realms() {
        assert_eq!(challenge("Staff only").unwrap(), "Basic realm=\"Staff only\", charset=\"UTF-8\"");
        for wrong in ["", "a\"b", "a\\b", "a\nb"] {
            assert_eq!(challenge(wrong), None, "{wrong:?}");
        }
    }
}

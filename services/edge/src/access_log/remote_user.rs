//! What a request says in `Authorization`, as far as a line may have it.

use crate::access::credentials::sextet;
use http::HeaderValue;

/// The name in `Authorization: Basic`, believed or not.
pub fn basic_user(value: &HeaderValue) -> Option<Vec<u8>> {
    let bytes = value.as_bytes();
    let (scheme, encoded) = bytes.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut user = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for six in encoded.trim_ascii().iter().map_while(|letter| sextet(*letter)) {
        (bits, count) = (bits << 6 | u32::from(six), count + 6);
        if count >= 8 {
            count -= 8;
            match (bits >> count & 0xff) as u8 {
                // The password is not even decoded.
                b':' => return Some(user),
                letter => user.push(letter),
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::cookie;

    #[test]
    fn users() {
        for (value, user) in [
            ("Basic YW5uYTpzZWNyZXQ=", Some("anna")),
            ("basic YW5uYTo=", Some("anna")),
            ("Basic OnNlY3JldA==", Some("")),
            ("Basic YW5uYQ==", None),
            ("Basic ====", None),
            ("Bearer YW5uYTpzZWNyZXQ=", None),
            ("B", None),
        ] {
            let found = basic_user(&HeaderValue::from_static(value));
            assert_eq!(found.as_deref(), user.map(str::as_bytes), "{value}");
        }
    }

    /// What a client may write there.
    #[test]
    fn any_bytes() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let text: Vec<u8> =
                (0..random.usize(..40)).map(|_| random.choice(b"Basic =;:ab9+/\xff\t").copied().unwrap()).collect();
            cookie::within(&text, b"a");
            let Ok(value) = HeaderValue::from_bytes(&[b"basic ", text.as_slice()].concat()) else { continue };
            assert!(basic_user(&value).is_none_or(|user| !user.contains(&b':')));
        }
    }
}

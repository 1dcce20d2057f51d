//! Cookies that keep a client at one address: their values, and the key that these are made with.

use crate::config::{Sticky, StickyKey};
use aws_lc_rs::hmac;
use http::HeaderValue;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The key that the values are made with.
pub fn key(sticky: &Sticky) -> hmac::Key {
    let bytes = match &sticky.key {
        StickyKey::Given(text) => text.clone().into_bytes(),
        StickyKey::File(path) => kept(path).unwrap_or_else(|error| {
            let path = path.display();
            tracing::warn!(%path, %error, "the key of sticky cookies cannot be kept; clients lose their address at a restart");
            fresh()
        }),
    };
    hmac::Key::new(hmac::HMAC_SHA256, &bytes)
}

fn fresh() -> Vec<u8> {
    let mut bytes = vec![0; 32];
    // The system's generator does not fail; without it the process would not have come this far.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    bytes
}

fn kept(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::read(path) {
        Ok(bytes) if bytes.len() >= 16 => return Ok(bytes),
        Ok(_) => return Err(io::Error::other("the file is too short for a key")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let bytes = fresh();
    let beside = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    Ok(bytes)
}

/// What the cookie of this address says: 64 bits of a keyed hash, in hexadecimal.
pub fn token(key: &hmac::Key, label: &str) -> [u8; 16] {
    let tag = hmac::sign(key, label.as_bytes());
    let mut token = [b'0'; 16];
    for (digits, byte) in token.chunks_exact_mut(2).zip(tag.as_ref()) {
        for (digit, half) in digits.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = if half < 10 { b'0' + half } else { b'a' + half - 10 };
        }
    }
    token
}

/// For the client; a session's cookie, which no script sees.
pub fn set_cookie(name: &str, token: &[u8], secure: bool) -> Option<HeaderValue> {
    let token = std::str::from_utf8(token).ok()?;
    let secure = if secure { "; Secure" } else { "" };
    HeaderValue::try_from(format!("{name}={token}; Path=/; HttpOnly; SameSite=Lax{secure}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_value_depends_on_key_and_address_and_tells_neither() {
        let given = |key: &str| key_of(StickyKey::Given(key.into()));
        let (one, other) = (given("one"), given("other"));
        assert_eq!(token(&one, "10.0.0.1:80"), token(&given("one"), "10.0.0.1:80"));
        assert_ne!(token(&one, "10.0.0.1:80"), token(&one, "10.0.0.2:80"));
        assert_ne!(token(&one, "10.0.0.1:80"), token(&other, "10.0.0.1:80"));
        assert!(token(&one, "10.0.0.1:80").iter().all(u8::is_ascii_hexdigit));
    }

    fn key_of(key: StickyKey) -> hmac::Key {
        key_from(&Sticky { cookie: "ROUTE".into(), key })
    }

    use super::key as key_from;

    #[test]
    fn a_kept_key_stays_and_is_nobody_else_s() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/sticky.key");
        let first = key_of(StickyKey::File(path.clone()));
        let again = key_of(StickyKey::File(path.clone()));
        assert_eq!(token(&first, "a:1"), token(&again, "a:1"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

//! Which bytes may stand where: one table each, made at compile time.

// Indexing: at compile time, and a u8 cannot leave the table.
#[allow(clippy::indexing_slicing)]
const fn token_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut b = 0u8;
    loop {
        // RFC 9110 5.6.2: tchar
        table[b as usize] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        if b == u8::MAX {
            return table;
        }
        b = b.wrapping_add(1);
    }
}

static TOKEN: [bool; 256] = token_table();

#[inline]
pub(crate) fn is_tchar(b: u8) -> bool {
    matches!(TOKEN.get(usize::from(b)), Some(true))
}

/// What the methods that anybody uses are made of: tokens, but in capitals and without `#`, as gunicorn has it. `get` is a method to
/// RFC 9110 9.1, yet nobody's, and what takes it for GET on one side alone is a way round filters.
#[inline]
pub(crate) fn is_method_byte(b: u8) -> bool {
    is_tchar(b) && !b.is_ascii_lowercase() && b != b'#'
}

/// RFC 9110 5.5: visible ASCII, obs-text, space and tab. No other control byte: some languages break lines at them.
#[inline]
pub(crate) fn is_value_byte(b: u8) -> bool {
    (b >= b' ' && b != 0x7f) || b == b'\t'
}

/// Whether every byte may stand in a field's value. Written without an early way out, so that it is done many bytes at a time.
#[inline]
pub(crate) fn all_value(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |good, &b| good & is_value_byte(b))
}

/// Whether every byte is visible ASCII and no `#`: what a request target may be made of (RFC 9112 3.2 has no fragment).
#[inline]
pub(crate) fn all_target(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |good, &b| good & (b > b' ') & (b < 0x7f) & (b != b'#'))
}

/// Without spaces and tabs on both sides (RFC 9110 5.6.3: OWS).
#[inline]
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = trim_start(bytes);
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[inline]
pub(crate) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

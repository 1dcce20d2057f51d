//! What keeps text from the wire from forging a line, a field of it, or the screen of whoever reads it.

const HEX: &[u8; 16] = b"0123456789abcdef";

fn digit(value: u8) -> u8 {
    HEX.get(usize::from(value & 15)).copied().unwrap_or(b'0')
}

/// For a line of text, as Apache and nginx write theirs: a quote and a backslash get a backslash, and what is no
/// printable ASCII becomes `\xhh`. (gunicorn escapes the quote alone: a path with `%0a` begins a new line there.)
pub fn text(line: &mut Vec<u8>, value: &[u8]) {
    escaped(line, value, b"\\x");
}

/// For a JSON string: bytes outside of printable ASCII come as `\u00XX`, one character for each byte, as WSGI has them.
pub fn json(line: &mut Vec<u8>, value: &[u8]) {
    escaped(line, value, b"\\u00");
}

/// `unprintable` stands before the two digits of a byte that cannot be shown.
fn escaped(line: &mut Vec<u8>, value: &[u8], unprintable: &[u8]) {
    if all_plain(value) {
        line.extend_from_slice(value);
        return;
    }
    for &byte in value {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            0x20..=0x7e => line.push(byte),
            _ => {
                line.extend_from_slice(unprintable);
                line.extend_from_slice(&[digit(byte >> 4), digit(byte)]);
            }
        }
    }
}

/// Looks at every byte, whatever it has found: without a way out the compiler looks at sixteen at a time.
fn all_plain(value: &[u8]) -> bool {
    value.iter().fold(true, |all, byte| all & matches!(byte, 0x20..=0x7e) & (*byte != b'"') & (*byte != b'\\'))
}

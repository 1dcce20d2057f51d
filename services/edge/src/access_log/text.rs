//! Numbers and strings as lines have them. Nothing that came from outside can end a line, forge a field, or turn text
//! around on a terminal.

use std::time::Duration;

/// `key` is all that stands before the value: `,"status":`.
pub fn number(out: &mut Vec<u8>, key: &str, value: u64) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Seconds with microseconds.
pub fn seconds(out: &mut Vec<u8>, key: &str, value: Duration) {
    number(out, key, value.as_secs());
    out.push(b'.');
    digits(out, value.subsec_micros(), 1_000_000);
}

/// Seconds with milliseconds, as nginx has them.
pub fn millis(out: &mut Vec<u8>, value: Duration) {
    number(out, "", value.as_secs());
    out.push(b'.');
    digits(out, value.subsec_millis(), 1000);
}

/// A part of a second with its leading zeros; `whole` is how many parts there are, 1,000 or 1,000,000. A one before them,
/// which is left out again, has the quick way of writing numbers write them.
#[inline]
pub fn digits(out: &mut Vec<u8>, value: u32, whole: u32) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(whole + value);
    out.extend_from_slice(text.as_bytes().get(1..).unwrap_or_default());
}

pub fn field(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.extend_from_slice(key.as_bytes());
    string(out, value);
}

/// A string of our own making, which has nothing that JSON would have escaped.
pub fn plain(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    debug_assert!(!has_odd(value), "{key} {value:?}");
    out.reserve(key.len() + value.len() + 2);
    out.extend_from_slice(key.as_bytes());
    out.push(b'"');
    out.extend_from_slice(value);
    out.push(b'"');
}

/// A JSON string of bytes from anywhere.
pub fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    json(out, bytes);
    out.push(b'"');
}

/// What is not printable ASCII, `"` and `\`. All are looked at, which the compiler does many at a time; stopping at the
/// first odd one, it could not.
fn has_odd(bytes: &[u8]) -> bool {
    let odd = |byte: u8| !matches!(byte, 0x20..=0x7e) | (byte == b'"') | (byte == b'\\');
    bytes.iter().fold(false, |found, byte| found | odd(*byte))
}

/// The inside of a JSON string. Only printable ASCII stands for itself; what is not UTF-8 is taken for Latin-1.
pub fn json(out: &mut Vec<u8>, bytes: &[u8]) {
    if !has_odd(bytes) {
        return out.extend_from_slice(bytes);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.chars().for_each(|c| character(out, c)),
        Err(_) => bytes.iter().for_each(|byte| character(out, char::from(*byte))),
    }
}

fn character(out: &mut Vec<u8>, c: char) {
    match c {
        '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
        ' '..='~' => out.push(c as u8),
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(b"\\u");
                for shift in [12, 8, 4, 0] {
                    let digit = (*unit >> shift & 0xf) as u8;
                    out.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
                }
            }
        }
    }
}

/// nginx's `escape=default`: `\xXX` for what is not printable ASCII, for `"` and for `\`.
pub fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    if !has_odd(bytes) {
        return out.extend_from_slice(bytes);
    }
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'A' + half - 10 };
    for byte in bytes {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => {
                out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 0xf)]);
            }
            plain => out.push(*plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        string(&mut out, bytes);
        serde_json::from_slice::<String>(&out).unwrap()
    }

    #[test]
    fn strings_survive_and_hide_nothing() {
        for text in ["plain", "quo\"te\\", "new\nline\u{1b}[31m", "caf\u{e9} \u{202e}turned\u{1F40B}"] {
            assert_eq!(parsed(text.as_bytes()), text);
        }
        assert_eq!(parsed(b"\xff\xfe"), "\u{ff}\u{fe}");
        for escape in [json, hex] {
            let mut out = Vec::new();
            escape(&mut out, "a\u{202e}\n\u{7f}\"\\".as_bytes());
            assert!(out.iter().all(|byte| matches!(byte, b' '..=b'~')), "{out:?}");
        }
    }

    #[test]
    fn as_nginx_escapes() {
        let mut out = Vec::new();
        hex(&mut out, "a\"b\\c\r\n\u{e9}~".as_bytes());
        assert_eq!(out, br"a\x22b\x5Cc\x0D\x0A\xC3\xA9~");
    }

    #[test]
    fn durations() {
        let mut out = Vec::new();
        seconds(&mut out, r#","duration":"#, Duration::from_micros(1_000_042));
        millis(&mut out, Duration::from_micros(12_005_999));
        assert_eq!(out, b",\"duration\":1.00004212.005");
    }
}

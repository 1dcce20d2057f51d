//! One normalised path for routing and static files: decoded once, without dot segments and empty segments.
//!
//! What is forwarded stays the client's own bytes, where they mean what we decided by: a path with dot segments, which
//! take back what stands before them, is forwarded in its normal form. RFC 3986, sections 2.4 and 5.2.4.

use std::borrow::Cow;

/// Paths that two parties could read differently in a way that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ambiguous {
    /// `%zz`, or a percent sign at the end.
    Escape,
    /// `%00`, or another control character.
    Control,
    /// `..` beyond the root.
    AboveRoot,
    /// Not beginning with a slash.
    Relative,
}

/// Decodes and normalises. Bytes that are not UTF-8 are kept by way of U+FFFD: no route or file matches them.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, Ambiguous> {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return Err(Ambiguous::Relative);
    }
    // Nearly every path is plain already.
    let odd = |byte: u8| (byte == b'%') | (byte == b'\\') | (byte < 0x20) | (byte == 0x7f);
    let pair = |pair: &[u8]| matches!(pair, [b'/', b'/' | b'.']);
    if !bytes.iter().fold(false, |found, byte| found | odd(*byte)) && !bytes.windows(2).any(pair) {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode(bytes)?;
    let text = String::from_utf8_lossy(&decoded);
    let mut out: Vec<&str> = Vec::new();
    // Windows-minded applications take a backslash for a slash; to decide by, it is one.
    let mut segments = text.split(['/', '\\']).skip(1).peekable();
    let mut folder = false;
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        folder = false;
        match segment {
            "" | "." => folder = last,
            ".." => {
                out.pop().ok_or(Ambiguous::AboveRoot)?;
                folder = last;
            }
            name => out.push(name),
        }
    }
    let mut normal = String::with_capacity(path.len());
    for segment in &out {
        normal.push('/');
        normal.push_str(segment);
    }
    if folder || out.is_empty() {
        normal.push('/');
    }
    Ok(Cow::Owned(normal))
}

/// Whether segments of it are `.` or `..`, however written. An application that keeps them would read another path than
/// we do: `/admin/..%2fpublic` would be public to us and below `/admin/` to it.
pub fn has_dot_segments(path: &str) -> bool {
    decode(path.as_bytes()).is_ok_and(|decoded| {
        decoded.split(|byte| matches!(byte, b'/' | b'\\')).any(|name| matches!(name, b"." | b".."))
    })
}

fn decode(bytes: &[u8]) -> Result<Vec<u8>, Ambiguous> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied();
    while let Some(byte) = rest.next() {
        let byte = if byte == b'%' {
            let high = rest.next().and_then(hex).ok_or(Ambiguous::Escape)?;
            let low = rest.next().and_then(hex).ok_or(Ambiguous::Escape)?;
            high << 4 | low
        } else {
            byte
        };
        if byte < 0x20 || byte == 0x7f {
            return Err(Ambiguous::Control);
        }
        out.push(byte);
    }
    Ok(out)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_forms() {
        for (path, normal) in [
            ("/", "/"),
            ("/a/b.css", "/a/b.css"),
            ("/a//b", "/a/b"),
            ("/a/./b/", "/a/b/"),
            ("/a/../b", "/b"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/%2e%2e/b", "/b"),
            ("/a%2f..%2Fb", "/b"),
            ("/a\\..\\b", "/b"),
            ("/a%5c..%5cb", "/b"),
            ("/caf%C3%A9", "/café"),
            ("/%252e%252e/", "/%2e%2e/"),
            ("/.hidden", "/.hidden"),
            ("/...", "/..."),
            ("//", "/"),
        ] {
            assert_eq!(normalise(path).as_deref(), Ok(normal), "{path}");
        }
    }

    #[test]
    fn dot_segments() {
        for path in ["/a/../b", "/a/%2e%2e/b", "/a%2f..%2fb", "/a\\..\\b", "/./", "/..", "/%2E"] {
            assert!(has_dot_segments(path), "{path}");
        }
        for path in ["/a//b", "/a%2fb", "/...", "/.a", "/a..b", "/%252e%252e/", "/a\\b"] {
            assert!(!has_dot_segments(path), "{path}");
        }
    }

    #[test]
    fn ambiguous_ones() {
        for (path, why) in [
            ("/%", Ambiguous::Escape),
            ("/%4", Ambiguous::Escape),
            ("/%zz", Ambiguous::Escape),
            ("/a%00b", Ambiguous::Control),
            ("/a%0d%0ab", Ambiguous::Control),
            ("/..", Ambiguous::AboveRoot),
            ("/a/../../b", Ambiguous::AboveRoot),
            ("/%2e%2e/", Ambiguous::AboveRoot),
            ("a", Ambiguous::Relative),
            ("", Ambiguous::Relative),
        ] {
            assert_eq!(normalise(path), Err(why), "{path}");
        }
    }
}

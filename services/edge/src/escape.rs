//! Text that was not written for where it is put: in a path, in a page.

use std::fmt::Write;

/// A whole path, with its slashes (RFC 3986, section 3.3: what a path may hold; the rest as `%xx`).
pub fn path(text: &str, out: &mut String) {
    percent(text, b"-._~/!$&'()*+,;=:@", out);
}

/// One segment as a relative link, of which a colon would make a scheme and a question mark a query.
pub fn segment(text: &str, out: &mut String) {
    percent(text, b"-._~", out);
}

/// A request's target, of visible ASCII: what no URI holds.
pub fn target(target: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(target.len() + 32);
    for byte in target {
        match byte {
            b'"' => out.extend_from_slice(b"%22"),
            b'<' => out.extend_from_slice(b"%3C"),
            b'>' => out.extend_from_slice(b"%3E"),
            b'`' => out.extend_from_slice(b"%60"),
            byte => out.push(*byte),
        }
    }
    out
}

fn percent(text: &str, plain: &[u8], out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// What stands for a byte in a page's text, and in an attribute in quotes of either kind.
pub fn html(byte: u8) -> Option<&'static str> {
    Some(match byte {
        b'&' => "&amp;",
        b'<' => "&lt;",
        b'>' => "&gt;",
        b'"' => "&quot;",
        b'\'' => "&#39;",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_acts() {
        let all: String = (0..=0x7f).map(char::from).chain(['ä']).collect();
        let (mut whole, mut one) = (String::new(), String::new());
        path(&all, &mut whole);
        segment(&all, &mut one);
        let (upper, lower) =
            ("%40ABCDEFGHIJKLMNOPQRSTUVWXYZ%5B%5C%5D%5E_%60", "abcdefghijklmnopqrstuvwxyz%7B%7C%7D~%7F%C3%A4");
        let control: String = (0..=0x20).map(|byte| format!("%{byte:02X}")).collect();
        let signs = "%21%22%23%24%25%26%27%28%29%2A%2B%2C-.%2F0123456789%3A%3B%3C%3D%3E%3F";
        assert_eq!(one, format!("{control}{signs}{upper}{lower}"));
        let signs = "!%22%23$%25&'()*+,-./0123456789:;%3C=%3E%3F";
        assert_eq!(whole, format!("{control}{signs}{}{lower}", upper.replacen("%40", "@", 1)));
        assert!(all.bytes().filter(|byte| html(*byte).is_some()).eq(*b"\"&'<>"));
    }
}

//! Any path through the normaliser: never out of the root, the same as a plain model says, and the same however the
//! client has escaped it.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The file itself: it needs nothing of the edge, and the edge takes long to compile with sanitizers.
#[allow(dead_code)]
#[path = "../../src/path.rs"]
mod path;

/// Slow and plain: decode all, split, walk.
fn model(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    if rest.first() != Some(&b'/') {
        return None;
    }
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(byte);
        }
    }
    if bytes.iter().any(u8::is_ascii_control) {
        return None;
    }
    let text = String::from_utf8_lossy(&bytes).replace('\\', "/");
    let mut walked: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(walked.pop()?),
            name => walked.push(name),
        }
    }
    let folder = ["/", "/.", "/.."].iter().any(|end| text.ends_with(end));
    let end = if folder && !walked.is_empty() { "/" } else { "" };
    Some(format!("/{}{end}", walked.join("/")))
}

fn escaped(text: &str) -> String {
    let mut all = String::from("/");
    for byte in text.bytes().skip(1) {
        all.push_str(&format!("%{byte:02x}"));
    }
    all
}

fuzz_target!(|text: &str| {
    let normal = path::normalise(text).ok();
    assert_eq!(normal.as_deref(), model(text).as_deref());
    let Some(normal) = normal else { return };
    assert!(normal.starts_with('/') && !normal.contains("//") && !normal.contains('\\'));
    assert!(normal.split('/').all(|segment| segment != "." && segment != ".."));
    assert!(!normal.bytes().any(|byte| byte.is_ascii_control()));
    if !text.contains('%') {
        assert_eq!(path::normalise(&escaped(text)).ok(), Some(normal));
    }
});

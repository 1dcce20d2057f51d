//! Any bytes into a line of the access log: nothing that ends a line, forges a field or turns text around, and nothing lost.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The file itself: it needs nothing of the edge, and the edge takes long to compile with sanitizers.
#[allow(dead_code)]
#[path = "../../src/access_log/text.rs"]
mod text;

/// `\xXX` and `\uXXXX` taken back.
fn taken_back(line: &[u8]) -> (Vec<u8>, Vec<u16>) {
    let (mut bytes, mut units) = (Vec::new(), Vec::new());
    let mut rest = std::str::from_utf8(line).unwrap();
    while let Some(first) = rest.chars().next() {
        assert!((' '..='~').contains(&first) && first != '"', "{first:?} stands for itself");
        rest = &rest[1..];
        if first != '\\' {
            bytes.push(first as u8);
            units.push(first as u16);
            continue;
        }
        let (digits, kind) = match rest.as_bytes()[0] {
            b'x' => (2, 'x'),
            b'u' => (4, 'u'),
            plain => {
                assert!(matches!(plain, b'"' | b'\\'));
                units.push(u16::from(plain));
                rest = &rest[1..];
                continue;
            }
        };
        let value = u16::from_str_radix(&rest[1..=digits], 16).unwrap();
        if kind == 'x' {
            bytes.push(value as u8)
        } else {
            units.push(value)
        }
        rest = &rest[1 + digits..];
    }
    (bytes, units)
}

fuzz_target!(|data: &[u8]| {
    let mut out = Vec::new();
    text::hex(&mut out, data);
    assert_eq!(taken_back(&out).0, data);
    out.clear();
    text::json(&mut out, data);
    let wanted = match std::str::from_utf8(data) {
        Ok(text) => text.encode_utf16().collect::<Vec<u16>>(),
        Err(_) => data.iter().map(|byte| u16::from(*byte)).collect(),
    };
    assert_eq!(taken_back(&out).1, wanted);
});

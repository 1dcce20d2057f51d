//! Any bytes as a head: no panic, and whole or in pieces the same answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monodon_http1::{Head, Limits};

fuzz_target!(|data: &[u8]| {
    let Some((&step, bytes)) = data.split_first() else { return };
    let step = usize::from(step).max(1);
    let limits = Limits { line: 256, head: 1024, fields: 16, field: 256 };
    let mut whole = Head::new();
    let result = whole.parse(bytes, &limits);
    let mut pieces = Head::new();
    let (mut end, mut stepped) = (0, Ok(false));
    while end < bytes.len() && stepped == Ok(false) {
        end = (end + step).min(bytes.len());
        stepped = pieces.parse(&bytes[..end], &limits);
    }
    assert_eq!(result.is_err(), stepped.is_err());
    if result == Ok(true) {
        assert_eq!(stepped, Ok(true));
        assert_eq!((whole.len, &whole.fields, whole.framing), (pieces.len, &pieces.fields, pieces.framing));
        assert!(whole.fields.iter().all(|field| !field.name.of(bytes).is_empty()));
    }
});

//! Any bytes as an answer's head: no panic, whole or in pieces the same, and no body where none may be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monodon_http1::{Answer, AnswerLimits, Ending};

fuzz_target!(|data: &[u8]| {
    let Some((&step, bytes)) = data.split_first() else { return };
    let (step, to_head) = (usize::from(step >> 1).max(1), step & 1 == 1);
    let limits = AnswerLimits { head: 1024, fields: 16 };
    let mut whole = Answer::new();
    let result = whole.parse(bytes, to_head, &limits);
    let mut pieces = Answer::new();
    let (mut end, mut stepped) = (0, Ok(false));
    while end < bytes.len() && stepped == Ok(false) {
        end = (end + step).min(bytes.len());
        stepped = pieces.parse(&bytes[..end], to_head, &limits);
    }
    assert_eq!(result.is_err(), stepped.is_err());
    if result == Ok(true) {
        assert_eq!(stepped, Ok(true));
        assert_eq!((whole.len, &whole.fields, whole.ending), (pieces.len, &pieces.fields, pieces.ending));
        assert!(whole.fields.iter().all(|field| !field.name.of(bytes).is_empty()));
        let bodiless = to_head || whole.status < 200 || matches!(whole.status, 204 | 304);
        assert!(!bodiless || whole.ending == Ending::None);
        assert!(whole.ending != Ending::Close || !whole.keep_alive);
    }
});

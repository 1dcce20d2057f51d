//! Any bytes as a chunked body: no panic, and whole or in pieces the same data.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monodon_http1::{Chunk, Chunks};

fn decode(bytes: &[u8], step: usize) -> Option<(Vec<u8>, bool)> {
    let mut chunks = Chunks::new(4096);
    let (mut data, mut at, mut end) = (Vec::new(), 0, 0);
    loop {
        match chunks.next(&bytes[at..end]).ok()? {
            Chunk::Data { start, end: stop } => {
                data.extend_from_slice(&bytes[at + start..at + stop]);
                at += stop;
            }
            Chunk::More { consume } => {
                at += consume;
                if end == bytes.len() {
                    return Some((data, false));
                }
                end = end.saturating_add(step).min(bytes.len());
            }
            Chunk::End { .. } => return Some((data, true)),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&step, bytes)) = data.split_first() else { return };
    assert_eq!(decode(bytes, usize::MAX), decode(bytes, usize::from(step).max(1)));
});

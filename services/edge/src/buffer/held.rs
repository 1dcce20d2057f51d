//! Parts of a body that wait in memory, in their order.
//!
//! A part is a piece of the block it was read into and keeps all of it: eight bytes may hold 32 KiB. What is small is therefore copied
//! together, so that no more is held than is counted; what is not is as it came.

use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// What is smaller is copied: that takes less than what else is done for a part.
const SMALL: usize = 4 << 10;
/// Copies are put together up to this: what a client takes at once it holds.
const TOGETHER: usize = 16 << 10;

/// The bytes without the block they came in, where that may be much larger.
pub fn alone(bytes: Bytes) -> Bytes {
    if bytes.len() < SMALL { Bytes::copy_from_slice(&bytes) } else { bytes }
}

#[derive(Default)]
pub struct Held {
    parts: VecDeque<Bytes>,
    /// Small ones, behind the others.
    tail: BytesMut,
    length: usize,
}

impl Held {
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub fn push(&mut self, data: Bytes) {
        self.length += data.len();
        let small = data.len() < SMALL;
        if !self.tail.is_empty() && (!small || self.tail.len() + data.len() > TOGETHER) {
            self.parts.push_back(std::mem::take(&mut self.tail).freeze());
        }
        if small {
            self.tail.extend_from_slice(&data);
        } else {
            self.parts.push_back(data);
        }
    }

    pub fn pop(&mut self) -> Option<Bytes> {
        let tail = || Some(std::mem::take(&mut self.tail).freeze()).filter(|tail| !tail.is_empty());
        let part = self.parts.pop_front().or_else(tail)?;
        self.length -= part.len();
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// The first bytes of a block, and what tells whether anybody holds it.
    fn block(of: &[u8], length: usize) -> (Bytes, Arc<Vec<u8>>) {
        struct Block(Arc<Vec<u8>>);
        impl AsRef<[u8]> for Block {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        let block = Arc::new(of.repeat(32 << 10));
        (Bytes::from_owner(Block(block.clone())).slice(..length), block)
    }

    #[test]
    fn small_parts_keep_no_block_and_the_order_stays() {
        let mut held = Held::default();
        let lengths = [8, 8, 5000, 8, 4095, 4095, 4095, 4095, 4096, 1];
        let mut all = Vec::new();
        for (at, length) in (0u8..).zip(lengths) {
            let (part, block) = block(&[at], length);
            all.extend_from_slice(&part);
            held.push(part);
            assert_eq!(Arc::strong_count(&block) > 1, length >= SMALL, "{length}");
        }
        assert_eq!(held.len(), all.len());
        let mut popped = Vec::new();
        while let Some(part) = held.pop() {
            assert!(!part.is_empty() && part.len() <= TOGETHER);
            popped.extend_from_slice(&part);
        }
        assert!(popped == all && held.is_empty());
        let (part, block) = block(b"a", 8);
        let copy = alone(part);
        assert_eq!((copy, Arc::strong_count(&block)), (Bytes::from_static(b"aaaaaaaa"), 1));
    }
}

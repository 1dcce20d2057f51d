//! Buffers that parts of files are read into: kept by the thread, warm in its cache, cleared once in their life.

use bytes::Bytes;
use std::cell::RefCell;

/// A record of TLS takes 16 KiB; four of them go out in one write.
pub const SIZE: usize = 64 << 10;
/// More than this many at once are freed again.
const KEPT: usize = 16;

thread_local! {
    static FREE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

pub struct Chunk {
    /// Empty when it has been given back.
    buffer: Box<[u8]>,
    length: usize,
}

impl Chunk {
    pub fn take() -> Self {
        let free = FREE.with_borrow_mut(Vec::pop);
        Self { buffer: free.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice()), length: 0 }
    }

    /// To be read into.
    pub fn room(&mut self, length: usize) -> &mut [u8] {
        let length = length.min(self.buffer.len());
        self.buffer.get_mut(..length).unwrap_or_default()
    }

    /// The first so many bytes, without a copy.
    pub fn into_bytes(mut self, length: usize) -> Bytes {
        self.length = length.min(self.buffer.len());
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        // A thread that ends has no place for it any more.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < KEPT && buffer.len() == SIZE {
                free.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_again() {
        let mut chunk = Chunk::take();
        chunk.room(3).copy_from_slice(b"abc");
        let place = chunk.buffer.as_ptr();
        let bytes = chunk.into_bytes(3);
        assert_eq!(&bytes[..], b"abc");
        let part = bytes.slice(1..);
        drop(bytes);
        assert_ne!(Chunk::take().buffer.as_ptr(), place, "a part of it is still held");
        assert_eq!(&part[..], b"bc");
        drop(part);
        assert_eq!(Chunk::take().buffer.as_ptr(), place);
    }
}

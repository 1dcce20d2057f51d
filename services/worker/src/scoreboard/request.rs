//! What a process works on right now: method, path and request id in fixed buffers under a sequence lock, so that a
//! hung request can be named in the log although its process cannot be asked.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const METHOD: usize = 2;
const PATH: usize = 32;
const ID: usize = 8;

/// The lengths are in bytes and never above what the buffer holds; longer text is cut.
#[repr(C)]
#[derive(Default)]
pub struct Cell {
    /// Odd while a writer is at work.
    sequence: AtomicU32,
    lengths: AtomicU32,
    method: [AtomicU64; METHOD],
    path: [AtomicU64; PATH],
    id: [AtomicU64; ID],
}

/// A consistent copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentRequest {
    pub method: String,
    pub path: String,
    pub id: String,
}

impl Cell {
    /// Several threads of one process may write: one that finds the lock held leaves the other's in place.
    pub fn set(&self, method: &[u8], path: &[u8], id: &[u8]) {
        let before = self.sequence.load(Ordering::Relaxed);
        if before % 2 == 1
            || self
                .sequence
                .compare_exchange(before, before.wrapping_add(1), Ordering::Acquire, Ordering::Relaxed)
                .is_err()
        {
            return;
        }
        let lengths = copy_in(&self.method, method) | copy_in(&self.path, path) << 8 | copy_in(&self.id, id) << 20;
        self.lengths.store(lengths, Ordering::Relaxed);
        self.sequence.store(before.wrapping_add(2), Ordering::Release);
    }

    /// None when a writer is at work (or died at it): the caller can do without.
    pub fn get(&self) -> Option<CurrentRequest> {
        for _ in 0..8 {
            let before = self.sequence.load(Ordering::Acquire);
            if before % 2 == 1 {
                std::hint::spin_loop();
                continue;
            }
            let lengths = self.lengths.load(Ordering::Relaxed);
            let copy = CurrentRequest {
                method: copy_out(&self.method, lengths & 0xff),
                path: copy_out(&self.path, (lengths >> 8) & 0xfff),
                id: copy_out(&self.id, lengths >> 20),
            };
            std::sync::atomic::fence(Ordering::Acquire);
            if self.sequence.load(Ordering::Relaxed) == before {
                return Some(copy);
            }
        }
        None
    }

    /// A process that was killed while it wrote leaves the lock held: the next one of this entry starts anew.
    pub fn reset(&self) {
        self.lengths.store(0, Ordering::Relaxed);
        self.sequence.store(0, Ordering::Release);
    }
}

fn copy_in(words: &[AtomicU64], text: &[u8]) -> u32 {
    let mut length = 0;
    for (word, bytes) in words.iter().zip(text.chunks(8)) {
        let mut full = [0; 8];
        for (to, from) in full.iter_mut().zip(bytes) {
            *to = *from;
        }
        word.store(u64::from_ne_bytes(full), Ordering::Relaxed);
        length += bytes.len() as u32;
    }
    length
}

fn copy_out(words: &[AtomicU64], length: u32) -> String {
    let mut bytes = Vec::with_capacity(words.len() * 8);
    for word in words {
        bytes.extend_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
    }
    bytes.truncate(length as usize);
    String::from_utf8_lossy(&bytes).into_owned()
}

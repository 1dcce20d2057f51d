//! Heads and output buffers that are needed only while a request is in hand: kept by the thread, not by every connection.

use monodon_http1::Head;
use std::cell::RefCell;

/// More than this many at once are freed again.
const KEPT: usize = 32;
/// A buffer that has grown beyond this is not kept.
const LARGE: usize = 64 * 1024;

thread_local! {
    static HEADS: RefCell<Vec<Head>> = const { RefCell::new(Vec::new()) };
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

pub fn head() -> Head {
    HEADS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

pub fn return_head(mut head: Head) {
    head.clear();
    HEADS.with_borrow_mut(|heads| {
        if heads.len() < KEPT {
            heads.push(head);
        }
    });
}

pub fn buffer() -> Vec<u8> {
    BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(1024))
}

pub fn return_buffer(mut buffer: Vec<u8>) {
    buffer.clear();
    BUFFERS.with_borrow_mut(|buffers| {
        if buffers.len() < KEPT && buffer.capacity() <= LARGE {
            buffers.push(buffer);
        }
    });
}

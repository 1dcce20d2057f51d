//! Buffers and heads that are needed only while a request is in hand: kept by the thread, not by every connection.

use bytes::BytesMut;
use monodon_http1::Answer;
use std::cell::RefCell;

/// More than this many at once are freed again.
const KEPT: usize = 64;
/// A buffer that has grown beyond this is not kept.
const LARGE: usize = 64 * 1024;

thread_local! {
    static ANSWERS: RefCell<Vec<Answer>> = const { RefCell::new(Vec::new()) };
    static WRITES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static READS: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

pub fn answer() -> Answer {
    ANSWERS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

pub fn return_answer(mut answer: Answer) {
    if answer.fields.capacity() == 0 {
        return;
    }
    answer.clear();
    ANSWERS.with_borrow_mut(|answers| {
        if answers.len() < KEPT {
            answers.push(answer);
        }
    });
}

/// To write a request into.
pub fn buffer() -> Vec<u8> {
    WRITES.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(1024))
}

pub fn return_buffer(mut buffer: Vec<u8>) {
    buffer.clear();
    WRITES.with_borrow_mut(|buffers| {
        if buffers.len() < KEPT && (1..=LARGE).contains(&buffer.capacity()) {
            buffers.push(buffer);
        }
    });
}

/// To read into. Parts of it may still be in use elsewhere: then it is made new when room is reserved in it.
pub fn read() -> BytesMut {
    READS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

pub fn return_read(buffer: BytesMut) {
    READS.with_borrow_mut(|buffers| {
        if buffers.len() < KEPT && buffer.is_empty() && buffer.capacity() > 0 {
            buffers.push(buffer);
        }
    });
}

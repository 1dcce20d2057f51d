//! Heads that the h2 crate answers by itself: what is larger than it may take in gets a bare 431, and nobody would know of it. It shows in
//! what passes: an answer's head goes out on a stream that was never given to us.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// So many are kept in mind: one that is ended before it is answered stays.
const MOST: usize = 1024;

#[derive(Default)]
pub struct Unheard {
    /// Begun by the client, and not given to us; in their order.
    streams: RefCell<VecDeque<u32>>,
    last: Cell<u32>,
    answered: Cell<u64>,
}

impl Unheard {
    /// A head begins. One on a stream that was there is trailers.
    pub fn begins(&self, stream: u32) {
        if stream > self.last.get() {
            self.last.set(stream);
            let mut streams = self.streams.borrow_mut();
            if streams.len() == MOST {
                streams.pop_front();
            }
            streams.push_back(stream);
        }
    }

    /// It is ours to answer.
    pub fn given(&self, stream: u32) -> bool {
        let mut streams = self.streams.borrow_mut();
        let place = streams.iter().position(|waiting| *waiting == stream);
        place.and_then(|place| streams.remove(place)).is_some()
    }

    /// An answer's head goes out.
    pub fn answers(&self, stream: u32) {
        if self.given(stream) {
            self.answered.set(self.answered.get() + 1);
        }
    }

    pub fn has_answered(&self) -> bool {
        self.answered.get() > 0
    }

    /// How many, since it was asked last.
    pub fn take(&self) -> u64 {
        self.answered.take()
    }
}

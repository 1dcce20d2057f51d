//! Lends the way to the client to Python while the application runs, for `write()` and `wsgi.early_hints`.
//!
//! One thread calls the application for one request at a time, so it has one [`Lender`] for all of them. What the
//! application keeps of a request that is over finds nothing here; another thread that the application has started
//! finds the request that is being answered, and takes its turn.
#![allow(unsafe_code)]

use std::{
    ptr::NonNull,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use pyo3::prelude::*;

use super::call::Sink;

/// The number of a call of the application.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Call(u64);

pub struct Lender {
    calls: AtomicU64,
    lent: Mutex<Lent>,
}

struct Lent {
    call: Call,
    sink: Option<NonNull<dyn Sink>>,
}

// SAFETY: the pointer is to a `Sink`, which is `Send`, and is only followed by whoever holds the lock (see `lend`).
unsafe impl Send for Lent {}

/// Takes the loan back, also when the application panics.
struct Loan<'l>(&'l Lender);

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.0.lent().sink = None;
    }
}

impl Lender {
    /// For a thread that lives as long as the process.
    pub fn leak() -> &'static Self {
        Box::leak(Box::new(Self { calls: AtomicU64::new(0), lent: Mutex::new(Lent { call: Call(0), sink: None }) }))
    }

    pub fn next_call(&self) -> Call {
        Call(self.calls.fetch_add(1, Ordering::Relaxed).wrapping_add(1))
    }

    fn lent(&self) -> MutexGuard<'_, Lent> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a part of the application, which may send through `sink` meanwhile.
    pub fn lend<R>(&self, call: Call, sink: &mut dyn Sink, part: impl FnOnce() -> R) -> R {
        let sink = NonNull::from(sink);
        // SAFETY: only the lifetime changes. The pointer is followed under the lock, while `sink` is borrowed by this
        // function, which does not touch it; `Loan` takes it out, under the lock, before the borrow ends.
        let sink = unsafe { std::mem::transmute::<NonNull<dyn Sink + '_>, NonNull<dyn Sink + 'static>>(sink) };
        *self.lent() = Lent { call, sink: Some(sink) };
        let _loan = Loan(self);
        part()
    }

    /// Sends through what is lent: for this call, or for whichever there is. It waits, without the interpreter's lock,
    /// until that is on its way. Whether the client is gone; none if the call is over.
    pub fn send(&self, py: Python<'_>, call: Option<Call>, work: impl FnOnce(&mut dyn Sink) + Send) -> Option<bool> {
        match self.lent.try_lock() {
            Ok(mut lent) => {
                let sink = lent.follow(call)?;
                work(sink);
                if !sink.is_behind() {
                    return Some(sink.lost());
                }
            }
            // Another thread is sending. It may need the interpreter's lock before it is done.
            Err(_taken) => py.detach(|| {
                work(self.lent().follow(call)?);
                Some(())
            })?,
        }
        py.detach(|| {
            let mut lent = self.lent();
            let sink = lent.follow(call)?;
            sink.catch_up();
            Some(sink.lost())
        })
    }
}

impl Lent {
    fn follow(&mut self, call: Option<Call>) -> Option<&mut dyn Sink> {
        let sink = self.sink.as_mut().filter(|_| call.is_none_or(|call| call == self.call))?;
        // SAFETY: see `Lender::lend`. Whoever has `self` holds the lock, for as long as the reference lives.
        Some(unsafe { sink.as_mut() })
    }
}

//! Lets go of the interpreter lock while the runtime's thread sleeps, and takes it back when it wakes.
//!
//! The thread that does the I/O also calls the application, so it holds the lock whenever it runs. Nothing is
//! handed over between threads, and no lock is taken per request.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};

use pyo3::ffi;

use crate::scoreboard::{self, Own};

thread_local! {
    static SAVED: Cell<*mut ffi::PyThreadState> = const { Cell::new(std::ptr::null_mut()) };
    /// Where this thread's waits are counted.
    static SHARED: Cell<bool> = const { Cell::new(false) };
    static ENTRY: RefCell<Option<Own>> = const { RefCell::new(None) };
}

/// This thread's waits for the lock are counted from now on.
pub fn count_waits(entry: &Own) {
    ENTRY.set(Some(entry.clone()));
}

/// Whether another thread of Python's is there that could hold the lock while this one wants it. To be asked by a
/// thread that holds it.
fn is_shared() -> bool {
    // SAFETY: the calling thread holds the lock and so has an interpreter, whose list of threads is changed only by
    // those that hold the lock or are just attaching; both calls only read pointers of it.
    unsafe {
        let first = ffi::PyInterpreterState_ThreadHead(ffi::PyInterpreterState_Get());
        !first.is_null() && !ffi::PyThreadState_Next(first).is_null()
    }
}

/// Before the thread sleeps.
pub fn release() {
    SHARED.set(is_shared());
    // SAFETY: the runtime calls this on the one thread that drives it, between polls, so no Python object is borrowed;
    // that thread came in through a `#[pyfunction]` and therefore has a thread state and the lock. `acquire` is called
    // on the same thread before any task is polled again, so no code of ours runs without the lock believing it holds it.
    SAVED.set(unsafe { ffi::PyEval_SaveThread() });
}

/// After the thread has slept.
pub fn acquire() {
    let state = SAVED.replace(std::ptr::null_mut());
    if !state.is_null() {
        // A clock costs more than a lock that nobody holds.
        let began = SHARED.get().then(scoreboard::now);
        // SAFETY: `state` is what `PyEval_SaveThread` gave to this very thread, and is given back exactly once.
        unsafe { ffi::PyEval_RestoreThread(state) };
        if let Some(began) = began {
            waited_since(began);
        }
    }
}

/// Counts a wait of this thread, which has the lock again since a moment.
pub fn waited_since(began: u64) {
    let waited = scoreboard::now().saturating_sub(began);
    ENTRY.with_borrow(|entry| {
        if let Some(entry) = entry {
            entry.observe_gil(waited);
        }
    });
}

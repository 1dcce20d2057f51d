//! Lets go of the interpreter lock while the runtime's thread sleeps, and takes it back when it wakes.
//!
//! The thread that does the I/O also calls the application, so it holds the lock whenever it runs. Nothing is
//! handed over between threads, and no lock is taken per request.
#![allow(unsafe_code)]

use std::cell::Cell;

use pyo3::ffi;

thread_local! {
    static SAVED: Cell<*mut ffi::PyThreadState> = const { Cell::new(std::ptr::null_mut()) };
}

/// Before the thread sleeps.
pub fn release() {
    // SAFETY: the runtime calls this on the one thread that drives it, between polls, so no Python object is borrowed;
    // that thread came in through a `#[pyfunction]` and therefore has a thread state and the lock. `acquire` is called
    // on the same thread before any task is polled again, so no code of ours runs without the lock believing it holds it.
    SAVED.set(unsafe { ffi::PyEval_SaveThread() });
}

/// After the thread has slept.
pub fn acquire() {
    let state = SAVED.replace(std::ptr::null_mut());
    if !state.is_null() {
        // SAFETY: `state` is what `PyEval_SaveThread` gave to this very thread, and is given back exactly once.
        unsafe { ffi::PyEval_RestoreThread(state) };
    }
}

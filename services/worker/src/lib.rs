//! The worker: the extension module `monodon._monodon`. Python starts it, and it supervises processes that run Python.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod access;
pub mod app_metrics;
mod bind;
mod child;
mod cli;
pub mod config;
mod gunicorn;
mod load;
pub mod process;
pub mod scoreboard;
mod settings;
mod statsd;
mod supervisor;
mod sys;
mod title;
mod users;

// A sanitizer watches its own.
#[cfg(not(fuzzing))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What `monodon/__main__.py` and `monodon/zygote.py` call.
// Free-threaded Python keeps its lock off: nothing here counts on it, see `process::gil`.
#[pyo3::pymodule(gil_used = false)]
mod _monodon {
    use std::ffi::OsString;

    use pyo3::prelude::*;

    /// The whole command line but `init` and `release`; returns the exit code. `python` is the interpreter and its
    /// flags, with which the zygote is executed. Python's lock is let go: nothing here runs Python.
    #[pyfunction]
    #[allow(clippy::needless_pass_by_value, reason = "Python's values are converted, not lent")]
    fn command(py: Python<'_>, arguments: Vec<OsString>, python: Vec<OsString>) -> u8 {
        crate::sys::forget_keyboard_interrupt();
        py.detach(|| crate::code(crate::cli::run(&arguments, python)))
    }

    /// In the zygote: it dies with the supervisor. False when that is gone already.
    #[pyfunction]
    fn die_with(supervisor: u32) -> PyResult<bool> {
        Ok(crate::sys::die_with(supervisor)?)
    }

    /// In a new process: it outlives its zygote, but not the supervisor.
    #[pyfunction]
    fn follow(supervisor: u32, grace_seconds: u32) -> PyResult<()> {
        crate::sys::end_by_abort()?;
        Ok(crate::sys::follow(supervisor, grace_seconds)?)
    }

    /// In a new process: the entry of the scoreboard is its own from now on.
    #[pyfunction]
    fn begin(scoreboard: i32, entry: usize, generation: u32) -> PyResult<()> {
        crate::child::begin(scoreboard, entry, generation)
    }

    /// In a new process: serves `application` until told to leave; returns the exit code. `requests` and `abandon` are
    /// for hooks; see `process::Hooks`.
    #[pyfunction]
    fn serve(
        py: Python<'_>,
        setup: &str,
        entry: usize,
        application: Py<PyAny>,
        requests: Option<Py<PyAny>>,
        abandon: Option<Py<PyAny>>,
    ) -> PyResult<u8> {
        let hooks = crate::process::Hooks { requests, abandon };
        crate::child::serve(py, setup, entry, application, hooks)
    }

    /// What `ps` and `top` call this process.
    #[pyfunction]
    fn set_title(text: &str) {
        crate::title::set(text);
    }

    #[pymodule_export]
    use crate::child::Slot;

    /// For `monodon/logs.py`: writes a line with the worker's own log; false while there is none.
    #[pyfunction]
    fn log(level: i32, line: Vec<u8>) -> bool {
        crate::process::logger::write(level, line)
    }

    /// Before the process ends: what a handler of Python's has made since the worker's own log ended is written.
    #[pyfunction]
    fn flush_log(py: Python<'_>) {
        py.detach(|| monodon_logging::flush(std::time::Duration::from_secs(1)));
    }

    /// The id of the request that this thread works on.
    #[pyfunction]
    fn request_id() -> Option<String> {
        crate::process::logger::request_id()
    }

    /// gunicorn's settings as the table has them, JSON; a test compares it with gunicorn's own.
    #[pyfunction]
    fn gunicorn_table() -> String {
        crate::gunicorn::table_json()
    }

    /// What a command line comes to under gunicorn's names, or what is wrong with it; JSON, for the same test.
    #[pyfunction]
    #[allow(clippy::needless_pass_by_value, reason = "Python's values are converted, not lent")]
    fn gunicorn_effective(py: Python<'_>, arguments: Vec<OsString>, python: Vec<OsString>, folder: OsString) -> String {
        py.detach(|| crate::gunicorn::effective_json(&arguments, &python, folder.as_ref()))
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::sys::small_pages();
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

/// Python wants a number.
fn code(code: std::process::ExitCode) -> u8 {
    (0..=u8::MAX).find(|number| std::process::ExitCode::from(*number) == code).unwrap_or(1)
}

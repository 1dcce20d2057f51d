//! Python's `logging` (`monodon/logs.py`): exceptions go there, and the access log's lines where `logconfig` wants it;
//! and it can ask which request its thread works on.

use std::cell::{Cell, RefCell};
use std::sync::OnceLock;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::access::{COMBINED, Clock, Format, Record};
use crate::scoreboard::Own;

/// A request as the log calls it.
pub struct Label {
    pub method: String,
    pub path: String,
    pub id: String,
}

/// An exception came out of the application. `note` says where, if not in the call itself.
pub fn exception(py: Python<'_>, error: &PyErr, label: &Label, note: &str) {
    let Label { method, path, id } = label;
    if let Some(process) = PROCESS.get() {
        process.add_exceptions(1);
        process.board().exceptions().count(&kind(py, error));
    }
    // With its traceback, which the value alone may lack.
    let value = error.clone_ref(py).into_value(py);
    let told = || py.import("monodon.logs")?.call_method1("exception", (value, method, path, id, note));
    // A broken logging must not break the answer, nor hide the exception.
    if let Err(broken) = told() {
        broken.display(py);
        error.display(py);
    }
}

/// A request was refused before the application was asked.
pub fn refused(reason: &str) {
    if let Some(process) = PROCESS.get() {
        process.board().rejections().count(reason);
    }
}

/// `ValueError`, `myshop.errors.OutOfStock`
fn kind(py: Python<'_>, error: &PyErr) -> String {
    let kind = error.get_type(py);
    let name = kind.qualname().map_or_else(|_| "unknown".to_owned(), |name| name.to_string_lossy().into_owned());
    match kind.module().ok().map(|module| module.to_string_lossy().into_owned()) {
        Some(module) if module != "builtins" => format!("{module}.{name}"),
        _ => name,
    }
}

/// Files of Python's handlers are opened anew.
pub fn reopen() {
    Python::attach(|py| {
        if let Err(error) = py.import("monodon.logs").and_then(|logs| logs.call_method0("reopen")) {
            tracing::error!("files of Python's logging cannot be opened anew: {error}");
        }
    });
}

thread_local! {
    /// Whether this thread works on what the process's entry names.
    static ENTRY: Cell<bool> = const { Cell::new(false) };
    static ID: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

static PROCESS: OnceLock<Own> = OnceLock::new();

/// The process that all of this is about.
pub fn begin(entry: &Own) {
    let _ = PROCESS.set(entry.clone());
}

/// This thread works on requests one at a time, and tells of each in the process's entry.
pub fn follows_entry() {
    ENTRY.set(true);
}

/// This thread works on the request of that id from now on; `-` is none.
pub fn works_on(id: &[u8]) {
    ID.with_borrow_mut(|known| {
        known.clear();
        known.extend_from_slice(id);
    });
}

/// The id of the request that the calling thread works on.
pub fn request_id() -> Option<String> {
    let id = if ENTRY.get() {
        let entry = PROCESS.get().filter(|entry| entry.in_flight() > 0)?;
        entry.current()?.id
    } else {
        ID.with_borrow(|id| String::from_utf8_lossy(id).into_owned())
    };
    Some(id).filter(|id| !id.is_empty() && id != "-")
}

/// A line that a handler of Python's has made, among the log's own. False before the process has a log.
pub fn write(level: i32, line: Vec<u8>) -> bool {
    use monodon_logging::Level;
    let level = match level {
        40.. => Level::Error,
        30.. => Level::Warn,
        20.. => Level::Info,
        _ => Level::Debug,
    };
    monodon_logging::write(level, line)
}

/// Gives the access log's lines to `gunicorn.access`.
pub struct AccessLogger {
    function: Py<PyAny>,
    format: String,
    /// Texts and numbers of gunicorn's atoms.
    texts: Vec<(&'static str, Format)>,
    numbers: Vec<(&'static str, Format)>,
}

const TEXTS: [&str; 15] = ["h", "l", "u", "t", "r", "s", "m", "U", "q", "H", "b", "f", "a", "L", "p"];
const NUMBERS: [&str; 4] = ["B", "T", "D", "M"];

impl AccessLogger {
    pub fn new(format: Option<&str>) -> std::io::Result<Self> {
        let wrong = |error: String| std::io::Error::other(error);
        let compiled =
            |name: &&'static str| Format::parse(&format!("%({name})s")).map(|format| (*name, format)).map_err(wrong);
        let function = Python::attach(|py| Ok(py.import("monodon.logs")?.getattr("access")?.unbind()));
        Ok(Self {
            function: function.map_err(|error: PyErr| wrong(error.to_string()))?,
            format: format.unwrap_or(COMBINED).to_owned(),
            texts: TEXTS.iter().map(compiled).collect::<Result<_, _>>()?,
            numbers: NUMBERS.iter().map(compiled).collect::<Result<_, _>>()?,
        })
    }

    /// `fields` are the request's, in order.
    pub fn write<'r>(
        &self,
        record: &Record<'_>,
        fields: impl Iterator<Item = (&'r [u8], &'r [u8])>,
        environ: Option<&Py<PyAny>>,
        clock: &Clock,
    ) {
        let written = Python::attach(|py| {
            let plain = PyDict::new(py);
            let mut line = Vec::new();
            let mut text = |format: &Format| {
                line.clear();
                format.write(&mut line, record, clock);
                String::from_utf8_lossy(line.trim_ascii_end()).into_owned()
            };
            for (name, format) in &self.texts {
                plain.set_item(name, text(format))?;
            }
            for (name, format) in &self.numbers {
                plain.set_item(name, text(format).parse::<u64>().unwrap_or(0))?;
            }
            let request = PyList::new(py, fields.map(|(name, value)| (escaped(name), escaped(value))))?;
            let response = PyList::new(py, record.response_fields().map(|(n, v)| (escaped(n), escaped(v))))?;
            if let Some(length) = record.length {
                response.append(("content-length", length.to_string()))?;
            }
            let environ = environ.map(|environ| environ.bind(py));
            let call = intern!(py, "__call__");
            self.function.bind(py).call_method1(call, (&self.format, plain, request, response, environ)).map(drop)
        });
        if let Err(error) = written {
            tracing::error!("the access log cannot go through Python's logging: {error}");
        }
    }
}

fn escaped(value: &[u8]) -> String {
    let mut text = Vec::new();
    crate::access::escape::text(&mut text, value);
    String::from_utf8_lossy(&text).into_owned()
}

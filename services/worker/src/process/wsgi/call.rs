//! One call of the application, from its environ to `close()`, step by step (PEP 3333).

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::{
    exceptions::{PyAssertionError, PyBrokenPipeError, PyRuntimeError, PyTypeError},
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyIterator, PyList, PyTuple},
};

use super::{
    environ::Unfit,
    file::{FileWrapper, Sendable},
    lend::Lender,
    start::StartResponse,
};
use crate::process::{
    logger::{self, Label},
    response::Head,
};

/// Where a response goes. None of these waits for the client but `catch_up`.
pub trait Sink: Send {
    fn whole(&mut self, head: &mut Head, parts: &[&[u8]]);
    fn start(&mut self, head: &mut Head, total: Option<u64>, parts: &[&[u8]]);
    fn data(&mut self, data: &[u8]);
    /// An interim response: left out where it would come too late.
    fn interim(&mut self, head: &[u8]);
    /// A part is on its way, and the application goes on: the time for the next one begins.
    fn progress(&mut self);
    /// Whether something that was given has to wait for the client.
    fn is_behind(&self) -> bool;
    /// Waits until it is on its way. Called without the interpreter's lock.
    fn catch_up(&mut self);
    /// Whether nothing more reaches the client.
    fn lost(&self) -> bool;
    /// The body is complete.
    fn end(&mut self);
    /// The body will not become complete.
    fn abort(&mut self);
    fn started(&self) -> bool;
    /// Nothing more is needed: no body is sent at all, or the client is gone.
    fn wants_nothing(&self) -> bool;
}

/// How a thread calls the application.
#[derive(Clone, Copy)]
pub struct Caller {
    pub lender: &'static Lender,
    pub sendfile: bool,
}

/// What an application has returned and still has to give.
pub struct Running {
    start: Py<StartResponse>,
    iterable: Py<PyAny>,
    iterator: Option<Py<PyIterator>>,
    label: Label,
    sendfile: bool,
}

pub enum Step {
    /// A part was given; there may be more.
    More,
    /// The body goes out of a file; then the call is to be closed.
    File(Sendable),
    /// Everything is given; the call is to be closed.
    Done,
}

/// Calls the application. What it returns whole is given to `sink` at once, and nothing remains.
/// `label` is what the log calls the request.
pub fn call<'py>(
    py: Python<'py>,
    app: &Py<PyAny>,
    caller: &Caller,
    environ: impl FnOnce() -> Result<Bound<'py, PyDict>, Unfit>,
    sink: &mut impl Sink,
    label: impl FnOnce() -> Label,
) -> Option<Running> {
    let Caller { lender, sendfile } = *caller;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let number = lender.next_call();
        let start = Bound::new(py, StartResponse::new(lender, number))?;
        let environ = environ()?;
        let result = lender.lend(number, sink, || app.bind(py).call1((environ, &start)))?;
        if give_list(&start, &result, sink)? { Ok(None) } else { Ok(Some((start, result))) }
    }));
    match outcome {
        Ok(Ok(None)) => None,
        Ok(Ok(Some((start, iterable)))) => Some(Running {
            start: start.unbind(),
            iterable: iterable.unbind(),
            iterator: None,
            label: label(),
            sendfile,
        }),
        Ok(Err(Unfit::Failed(error))) => {
            failed(py, &error, sink, &label());
            None
        }
        Ok(Err(Unfit::Refused(status, reason))) => {
            let Label { method, path, id } = label();
            tracing::info!(reason, method, path, request_id = id, "request refused");
            logger::refused(reason);
            let (mut head, body) = Head::plain(status);
            head.close = true;
            sink.whole(&mut head, &[&body]);
            None
        }
        Err(_panic) => {
            failed(py, &panicked(), sink, &label());
            None
        }
    }
}

/// Sends a list or tuple of bytes whole: it can be neither slow nor closed. False for anything else.
fn give_list(start: &Bound<'_, StartResponse>, result: &Bound<'_, PyAny>, sink: &mut impl Sink) -> PyResult<bool> {
    let items: Vec<Bound<'_, PyAny>>;
    let one: [Bound<'_, PyAny>; 1];
    let items = if let Ok(list) = result.cast_exact::<PyList>() {
        if list.len() == 1 {
            one = [list.get_item(0)?];
            one.as_slice()
        } else {
            items = list.iter().collect();
            items.as_slice()
        }
    } else if let Ok(tuple) = result.cast_exact::<PyTuple>() {
        items = tuple.iter().collect();
        items.as_slice()
    } else {
        return Ok(false);
    };
    if sink.started() {
        // What went by write() was the beginning.
        for item in items {
            sink.data(bytes(item)?.as_bytes());
        }
        sink.end();
        return Ok(true);
    }
    let mut head = start.borrow_mut().take().ok_or_else(not_started)?;
    if let [item] = items {
        sink.whole(&mut head, &[bytes(item)?.as_bytes()]);
        return Ok(true);
    }
    let mut parts = Vec::with_capacity(items.len());
    for item in items {
        parts.push(bytes(item)?.as_bytes());
    }
    sink.whole(&mut head, &parts);
    Ok(true)
}

impl Running {
    /// Asks for the next part and gives it to `sink`.
    pub fn step(&mut self, py: Python<'_>, sink: &mut impl Sink) -> Step {
        match catch_unwind(AssertUnwindSafe(|| self.advance(py, sink))) {
            Ok(Ok(step)) => step,
            Ok(Err(error)) => {
                failed(py, &error, sink, &self.label);
                Step::Done
            }
            Err(_panic) => {
                failed(py, &panicked(), sink, &self.label);
                Step::Done
            }
        }
    }

    fn advance(&mut self, py: Python<'_>, sink: &mut impl Sink) -> PyResult<Step> {
        if self.sendfile
            && self.iterator.is_none()
            && !sink.started()
            && let Some(step) = self.give_file(py, sink)?
        {
            return Ok(step);
        }
        let iterator = match &self.iterator {
            Some(iterator) => iterator,
            None => self.iterator.insert(self.iterable.bind(py).try_iter()?.unbind()),
        };
        let mut iterator = iterator.bind(py).clone();
        let (lender, number) = self.start.bind(py).borrow().lender();
        loop {
            let Some(item) = lender.lend(number, sink, || iterator.next()).transpose()? else {
                if !sink.started() {
                    sink.whole(&mut self.head(py)?, &[]);
                }
                sink.end();
                return Ok(Step::Done);
            };
            let data = bytes(&item)?.as_bytes();
            if data.is_empty() {
                // Not even the head may go before there is something to send.
                continue;
            }
            if sink.started() {
                sink.data(data);
            } else {
                sink.start(&mut self.head(py)?, None, &[data]);
            }
            if sink.wants_nothing() {
                sink.end();
                return Ok(Step::Done);
            }
            return Ok(Step::More);
        }
    }

    fn give_file(&mut self, py: Python<'_>, sink: &mut impl Sink) -> PyResult<Option<Step>> {
        let Ok(wrapper) = self.iterable.bind(py).cast_exact::<FileWrapper>() else { return Ok(None) };
        let Some(mut sendable) = wrapper.borrow().sendable(py) else { return Ok(None) };
        let mut head = self.head(py)?;
        if let Some(length) = head.length {
            sendable.len = sendable.len.min(length);
        }
        sink.start(&mut head, Some(sendable.len), &[]);
        if sink.wants_nothing() {
            sink.end();
            return Ok(Some(Step::Done));
        }
        Ok(Some(Step::File(sendable)))
    }

    fn head(&self, py: Python<'_>) -> PyResult<Head> {
        self.start.bind(py).borrow_mut().take().ok_or_else(not_started)
    }

    /// Tells the application that its response is no longer needed.
    pub fn close(self, py: Python<'_>) {
        let close = || match self.iterable.bind(py).getattr_opt(intern!(py, "close"))? {
            Some(close) => close.call0().map(drop),
            None => Ok(()),
        };
        if let Err(error) = catch_unwind(AssertUnwindSafe(close)).unwrap_or_else(|_panic| Err(panicked())) {
            logger::exception(py, &error, &self.label, "in close(), after the response");
        }
    }
}

fn bytes<'b, 'py>(item: &'b Bound<'py, PyAny>) -> PyResult<&'b Bound<'py, PyBytes>> {
    item.cast::<PyBytes>().map_err(|_| {
        let kind = item.get_type().name().map_or_else(|_| String::new(), |name| name.to_string());
        PyTypeError::new_err(format!("the application must give bytes, not {kind}"))
    })
}

fn not_started() -> PyErr {
    PyAssertionError::new_err("the application returned its response without calling start_response()")
}

/// A panic is contained: it costs the request it happened in. (Its own message is on stderr already.)
fn panicked() -> PyErr {
    PyRuntimeError::new_err(
        "the worker, or an extension of Python, failed on this request: a bug in it, not in the application",
    )
}

/// An exception: 500 if nothing was sent yet, else the response must not look complete.
fn failed(py: Python<'_>, error: &PyErr, sink: &mut impl Sink, label: &Label) {
    if sink.lost() && error.is_instance_of::<PyBrokenPipeError>(py) {
        // What write() has said, and the application let through.
        tracing::debug!(
            method = label.method,
            path = label.path,
            request_id = label.id,
            "the client left, and write() ended the application"
        );
        return sink.abort();
    }
    logger::exception(py, error, label, "");
    if sink.started() {
        sink.abort();
    } else {
        let (mut head, body) = Head::plain(500);
        sink.whole(&mut head, &[&body]);
    }
}

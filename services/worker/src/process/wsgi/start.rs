//! `start_response`, and the `write` that it returns.
//!
//! One object is both: called with a status and headers it is the former, with one argument the latter. So a request
//! makes one object less. What is given to `write` is on its way when it returns, as PEP 3333 has it: in the kernel's
//! hands, or with the thread that sends while the application goes on.

use pyo3::{
    exceptions::{PyAssertionError, PyBrokenPipeError, PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyList, PyString, PyTuple},
};

use super::{
    call::Sink,
    lend::{Call, Lender},
    text,
};
use crate::process::response::{Head, Refused};

#[pyclass(module = "monodon")]
pub struct StartResponse {
    head: Option<Head>,
    /// Whether the head has gone to the client.
    sent: bool,
    lender: &'static Lender,
    call: Call,
}

impl StartResponse {
    pub fn new(lender: &'static Lender, call: Call) -> Self {
        Self { head: None, sent: false, lender, call }
    }

    pub fn lender(&self) -> (&'static Lender, Call) {
        (self.lender, self.call)
    }

    /// The head, to be sent now; none if `start_response` was not called, or `write` has sent it.
    pub fn take(&mut self) -> Option<Head> {
        let head = self.head.take()?;
        self.sent = true;
        Some(head)
    }

    fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let data = data
            .cast::<PyBytes>()
            .map_err(|_| PyTypeError::new_err(format!("write() takes bytes, not {}", kind(data))))?
            .as_bytes();
        let (head, lender, call) = {
            let mut this = slf.try_borrow_mut()?;
            if this.head.is_none() && !this.sent {
                return Err(PyAssertionError::new_err("write() was called before start_response()"));
            }
            // Not even the head may go before there is something to send.
            let head = if data.is_empty() { None } else { this.take() };
            (head, this.lender, this.call)
        };
        let send = move |sink: &mut dyn Sink| {
            match head {
                Some(mut head) => sink.start(&mut head, None, &[data]),
                None => sink.data(data),
            }
            sink.progress();
        };
        match lender.send(py, Some(call), send) {
            Some(false) => Ok(()),
            Some(true) => Err(PyBrokenPipeError::new_err("the client is gone, or takes nothing any more")),
            None => Err(PyAssertionError::new_err("write() was called when the application had returned its response")),
        }
    }

    fn start(&mut self, status: &Bound<'_, PyAny>, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let status = status.cast::<PyString>().map_err(|_| {
            PyTypeError::new_err(format!("the status must be a str such as \"200 OK\", not {}", kind(status)))
        })?;
        let mut head = Head { bytes: Vec::with_capacity(512), ..Head::default() };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        head.begin(text::bytes(status, &mut first)?).map_err(|_| {
            PyValueError::new_err(format!(
                "not a status: {status:?}; expected three digits from 200 on and a reason without control characters"
            ))
        })?;
        let mut add = |item: &Bound<'_, PyAny>| {
            let (name, value) = pair(item)?;
            let refused = head.field(text::bytes(&name, &mut first)?, text::bytes(&value, &mut second)?);
            refused.map_err(|refused| match refused {
                Refused::Length => PyValueError::new_err(format!("not a Content-Length, or a second one: {value:?}")),
                _ => PyValueError::new_err(format!(
                    "not a header: {name:?}: {value:?}; names are tokens, values have no control characters"
                )),
            })
        };
        match headers.cast_exact::<PyList>() {
            Ok(list) => list.iter().try_for_each(|item| add(&item))?,
            Err(_) => headers.try_iter()?.try_for_each(|item| add(&item?))?,
        }
        self.head = Some(head);
        Ok(())
    }
}

#[pymethods]
impl StartResponse {
    #[pyo3(signature = (status, headers=None, exc_info=None, /))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        status: &Bound<'py, PyAny>,
        headers: Option<&Bound<'py, PyAny>>,
        exc_info: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Some(headers) = headers else {
            Self::write(slf, status)?;
            return Ok(slf.py().None().into_bound(slf.py()));
        };
        let mut this = slf.try_borrow_mut()?;
        match exc_info {
            Some(exc_info) if this.sent => return Err(raised(exc_info)?),
            Some(_) => {}
            None if this.head.is_some() || this.sent => {
                return Err(PyAssertionError::new_err("start_response() was called a second time without exc_info"));
            }
            None => {}
        }
        this.start(status, headers)?;
        Ok(slf.clone().into_any())
    }
}

fn pair<'py>(item: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyString>, Bound<'py, PyString>)> {
    let both = || {
        let tuple = item.cast::<PyTuple>().ok().filter(|tuple| tuple.len() == 2)?;
        let name = tuple.get_item(0).ok()?.cast_into::<PyString>().ok()?;
        Some((name, tuple.get_item(1).ok()?.cast_into::<PyString>().ok()?))
    };
    both().ok_or_else(|| {
        PyTypeError::new_err(format!("headers must be a list of (str, str) tuples; one of them is {item:?}"))
    })
}

/// The exception of a `sys.exc_info()`.
fn raised(exc_info: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let value = exc_info.get_item(1)?;
    Ok(PyErr::from_value(value))
}

fn kind(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "something else".to_owned(), |name| name.to_string())
}

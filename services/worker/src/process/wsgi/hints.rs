//! `wsgi.early_hints`: what a browser may fetch while the application still works on its answer (RFC 8297).

use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyString},
};

use super::{lend::Lender, text};
use monodon_http1::{Version, encode};

/// One object serves all requests of a thread: it speaks for the one that is being answered.
#[pyclass(module = "monodon", frozen)]
pub struct EarlyHints {
    lender: &'static Lender,
}

impl EarlyHints {
    pub fn new(lender: &'static Lender) -> Self {
        Self { lender }
    }
}

#[pymethods]
impl EarlyHints {
    /// Takes a list of `(name, value)`, as `str` or `bytes`, and sends 103. As with gunicorn, nothing happens once the
    /// response has begun, and for clients of HTTP/1.0.
    #[pyo3(signature = (headers, /))]
    fn __call__(&self, py: Python<'_>, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut head = Vec::with_capacity(256);
        encode::status_line(&mut head, Version::Http11, 103, None);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for item in headers.try_iter()? {
            let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item?.extract()?;
            encode::field(&mut head, bytes(&name, &mut first)?, bytes(&value, &mut second)?.trim_ascii())
                .map_err(|bad| PyValueError::new_err(format!("{bad}: {name:?}, in an early hint")))?;
        }
        head.extend_from_slice(b"\r\n");
        self.lender.send(py, None, move |sink| sink.interim(&head));
        Ok(())
    }
}

fn bytes<'b>(value: &'b Bound<'_, PyAny>, scratch: &'b mut Vec<u8>) -> PyResult<&'b [u8]> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.as_bytes());
    }
    match value.cast::<PyString>() {
        Ok(string) => text::bytes(string, scratch),
        Err(_) => Err(PyTypeError::new_err("early hints are a list of (name, value), both str or bytes")),
    }
}

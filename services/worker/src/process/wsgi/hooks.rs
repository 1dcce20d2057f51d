//! gunicorn's `pre_request` and `post_request` hooks: an object of Python's stands in the application's place for one
//! request (see `monodon/hooks/exchange.py`). Without such hooks nothing of this is there.

use monodon_http1::{Version, target};
use pyo3::{
    prelude::*,
    types::{PyList, PyString, PyTuple},
};

use super::text;
use crate::process::request::Request;

/// Makes an exchange for each request.
pub struct Hooks(Py<PyAny>);

/// One request's.
pub struct Exchange(Py<PyAny>);

impl Hooks {
    pub fn new(exchanges: Py<PyAny>) -> Self {
        Self(exchanges)
    }

    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        Self(self.0.clone_ref(py))
    }

    /// What is called instead of the application.
    pub fn begin(&self, py: Python<'_>, request: &Request) -> Exchange {
        // Only a lack of memory can make this fail; then what stands in its place fails as the application would.
        Exchange(self.exchange(py, request).unwrap_or_else(|error| error.into_value(py).into_any()))
    }

    fn exchange(&self, py: Python<'_>, request: &Request) -> PyResult<Py<PyAny>> {
        let raw = request.target();
        let (path, query) = target::split(raw).map_or((raw, None), |parts| (parts.path, parts.query));
        let version = if matches!(request.head.version, Version::Http10) { (1, 0) } else { (1, 1) };
        let headers = PyList::empty(py);
        for field in &request.head.fields {
            let name = request.of(field.name).to_ascii_uppercase();
            headers.append((text::latin1(py, &name)?, text::latin1(py, request.of(field.value))?))?;
        }
        let peer = match request.peer.remote {
            Some(remote) => (remote.ip().to_canonical().to_string(), remote.port()).into_pyobject(py)?.into_any(),
            // As for a socket without a name.
            None => PyString::new(py, "").into_any(),
        };
        let parts = [
            text::latin1(py, request.method())?.into_any(),
            text::latin1(py, raw)?.into_any(),
            text::latin1(py, path)?.into_any(),
            text::latin1(py, query.unwrap_or_default())?.into_any(),
            version.into_pyobject(py)?.into_any(),
            headers.into_any(),
            peer,
        ];
        Ok(self.0.bind(py).call1(PyTuple::new(py, parts)?)?.unbind())
    }
}

impl Exchange {
    pub fn callable(&self) -> &Py<PyAny> {
        &self.0
    }

    /// The response is over: `sent` bytes of its body have gone.
    pub fn finish(&self, py: Python<'_>, sent: u64, started: bool) {
        if let Err(error) = self.0.bind(py).call_method1("finish", (sent, started)) {
            // What an exception becomes is decided in Python; this is an interruption of it.
            error.display(py);
        }
    }
}

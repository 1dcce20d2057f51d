//! WSGI (PEP 3333): from a complete request to the application and back.

mod call;
mod environ;
mod file;
mod hints;
pub mod hooks;
mod inline;
mod input;
mod lend;
mod names;
mod pool;
mod start;
mod text;
mod told;

use std::{io, sync::Arc};

use pyo3::prelude::*;

use self::{call::Caller, environ::Environs, lend::Lender};
pub use self::{hooks::Hooks, inline::Inline, pool::Pool};
use super::{logger::Label, request::Request, trust::Trust};
use crate::config::Config;

/// The application, and what its environs are made from.
pub struct App {
    pub callable: Py<PyAny>,
    pub hooks: Option<Hooks>,
    config: Arc<Config>,
    trust: Arc<Trust>,
}

impl App {
    pub fn new(
        py: Python<'_>,
        callable: Py<PyAny>,
        hooks: Option<Hooks>,
        config: &Arc<Config>,
        trust: Arc<Trust>,
    ) -> io::Result<Self> {
        if !callable.bind(py).is_callable() {
            return Err(io::Error::other("the application is not callable"));
        }
        Ok(Self { callable, hooks, config: Arc::clone(config), trust })
    }

    /// What calls it, for one thread.
    fn caller(&self) -> Caller {
        Caller { lender: Lender::leak(), sendfile: self.config.http.sendfile }
    }

    fn environs(&self, py: Python<'_>, lender: &'static Lender) -> io::Result<Environs> {
        Environs::new(py, &self.config, Arc::clone(&self.trust), lender)
            .map_err(|error| io::Error::other(error.to_string()))
    }
}

/// What the log calls a request.
fn label(request: &Request) -> Label {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    Label { method: text(request.method()), path: text(request.target()), id: text(request.id()) }
}

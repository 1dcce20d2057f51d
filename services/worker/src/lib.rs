//! The worker: the extension module `monodon._monodon`. Python starts it, and it supervises processes that run Python.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod config;
pub mod process;
pub mod scoreboard;

#[pyo3::pymodule]
mod _monodon {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::process::single::serve_single;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

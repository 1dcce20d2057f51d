//! Python's cyclic collector, as it is seen from `gc.callbacks`: how often, and how long it stops the thread.

use std::cell::Cell;
use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyString, PyTuple};

use crate::scoreboard::{self, Own};

thread_local! {
    static BEGAN: Cell<u64> = const { Cell::new(0) };
}

static ENTRY: OnceLock<Own> = OnceLock::new();

/// Counts this process's collections from now on.
pub fn watch(py: Python<'_>, entry: &Own) -> PyResult<()> {
    let _ = ENTRY.set(entry.clone());
    let seen =
        PyCFunction::new_closure(py, None, None, |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
            let (phase, about) = arguments.extract::<(Bound<'_, PyString>, Bound<'_, PyDict>)>()?;
            if phase.to_str()? == "start" {
                BEGAN.set(scoreboard::now());
            } else if let Some(entry) = ENTRY.get() {
                let generation = about.get_item("generation")?.and_then(|value| value.extract::<usize>().ok());
                entry.count_collection(generation.unwrap_or(0), scoreboard::now().saturating_sub(BEGAN.get()));
            }
            PyResult::Ok(())
        })?;
    py.import("gc")?.getattr("callbacks")?.call_method1("append", (seen,)).map(drop)
}

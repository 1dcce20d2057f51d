//! A worker's first steps after the fork: takes its entry, maps what it inherited, then serves.

use std::sync::Arc;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::process::{self, ExitReason, Handover, Hooks};
use crate::scoreboard::{Own, Scoreboard, State, now};
use crate::supervisor::zygote::Setup;
use crate::sys;

/// Exit code: anything that has no code of its own.
const EXIT_FAILURE: u8 = 1;

/// The entry is the new process's from now on.
pub fn begin(scoreboard: i32, entry: usize, generation: u32) -> PyResult<()> {
    let board = open(scoreboard)?;
    let own = board.own(entry).ok_or_else(|| PyValueError::new_err("the scoreboard has no such entry"))?;
    own.begin(std::process::id(), generation, now());
    Ok(())
}

/// A worker's entry in the scoreboard, for the object that its hooks get.
#[pyclass(module = "monodon", frozen)]
pub struct Slot(Own);

#[pymethods]
impl Slot {
    #[new]
    fn new(scoreboard: i32, entry: usize) -> PyResult<Self> {
        let own = open(scoreboard)?.own(entry);
        own.map(Self).ok_or_else(|| PyValueError::new_err("the scoreboard has no such entry"))
    }

    /// Requests so far.
    fn served(&self) -> u64 {
        self.0.served()
    }

    /// Has the process replaced once it has finished what it is working on.
    fn retire(&self) {
        if self.0.state().accepts() {
            self.0.set_state(State::Retiring);
        }
    }
}

fn open(scoreboard: i32) -> PyResult<Scoreboard> {
    let wrong = |error: std::io::Error| PyOSError::new_err(format!("scoreboard: {error}"));
    // A copy, so that the number itself stays good for whoever asks next.
    let fd = sys::borrowed(scoreboard).and_then(|fd| fd.try_clone_to_owned()).map_err(wrong)?;
    Scoreboard::open(fd).map_err(wrong)
}

/// Serves until told to leave; the exit code comes back.
pub fn serve(py: Python<'_>, setup: &str, entry: usize, app: Py<PyAny>, hooks: Hooks) -> PyResult<u8> {
    let setup: Setup = serde_json::from_str(setup).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let guard = setup.config.logs.begin(&setup.config)?;
    let [rx, tx] = setup.handover;
    let inherited = process::Setup {
        listeners: setup.listeners,
        handover: Handover { rx, tx },
        scoreboard: open(setup.scoreboard)?,
        entry,
        alive: setup.alive,
        config: Arc::new(setup.config),
    };
    let reason = process::run(py, app, hooks, inherited);
    let code = match &reason {
        ExitReason::Drained | ExitReason::Quit => 0,
        ExitReason::Aborted => EXIT_FAILURE,
        ExitReason::Cut => {
            tracing::warn!("graceful_timeout is over: requests that were still running are cut off");
            0
        }
        ExitReason::Orphaned => {
            tracing::error!("the supervisor is gone, and so is this process");
            EXIT_FAILURE
        }
        ExitReason::Failed(error) => {
            tracing::error!("the process cannot serve: {error}");
            EXIT_FAILURE
        }
    };
    py.detach(|| drop(guard));
    Ok(code)
}

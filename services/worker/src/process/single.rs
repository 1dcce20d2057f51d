//! One process without a supervisor, for debugging: `python -m monodon.single module:app`.

use std::{
    net::TcpListener,
    os::fd::{AsRawFd, IntoRawFd},
    sync::Arc,
};

use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    types::{IntoPyDict, PyDict},
};

use super::{ExitReason, Handover, Setup};
use crate::{config::Config, scoreboard::Scoreboard};

fn flush(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    [("flush", true)].into_py_dict(py)
}

#[pyfunction]
#[pyo3(signature = (app, port, threads=1, timeout=30))]
pub fn serve_single(py: Python<'_>, app: Py<PyAny>, port: u16, threads: usize, timeout: u64) -> PyResult<String> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let address = listener.local_addr()?;
    py.import("builtins")?.getattr("print")?.call((format!("listening on {address}"),), Some(&flush(py)?))?;
    let (rx, tx) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .map_err(std::io::Error::from)?;
    let (alive, _held) = rustix::pipe::pipe().map_err(std::io::Error::from)?;
    let config =
        Config { threads, accesslog: None, timeout: std::time::Duration::from_secs(timeout), ..Config::default() };
    let scoreboard = Scoreboard::create(2)?;
    scoreboard.set_slots(u32::try_from(threads).unwrap_or(1));
    let setup = Setup {
        config: Arc::new(config),
        listeners: vec![listener.as_raw_fd()],
        handover: Handover { rx: rx.into_raw_fd(), tx: tx.into_raw_fd() },
        scoreboard,
        entry: 0,
        alive: alive.into_raw_fd(),
    };
    match super::run(py, app, setup) {
        ExitReason::Failed(error) => Err(PyRuntimeError::new_err(error.to_string())),
        reason => Ok(format!("{reason:?}")),
    }
}

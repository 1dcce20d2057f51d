//! The unix socket on which the agent tells what it knows.
//!
//! Its mode is 0666: the agent is uid 0 without any capability, so it can give the socket to nobody, and the sidecar is
//! uid 65532. The folder is a volume that these two containers alone mount, and what is told there is what the status
//! page shows; nothing can be asked of the agent but to tell.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::routing::get;
use axum::{Json, Router};
use monodon_admin::{Check, Readiness, Source};
use tokio::net::UnixListener;

use super::watch::Watch;

#[derive(Clone)]
pub struct Shared(pub Arc<Mutex<Watch>>);

impl Shared {
    pub fn with<T>(&self, use_it: impl FnOnce(&mut Watch) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Source for Shared {
    /// The engine's absence is a warning: the agent's work is to say so.
    fn ready(&self) -> Readiness {
        let engine = self.with(|watch| watch.engine.clone());
        let check = match (engine.up, engine.problem) {
            (true, None) => Check::pass("agent:engine"),
            (_, problem) => Check::warn("agent:engine", problem.unwrap_or_else(|| "not connected yet".into())),
        };
        Readiness { checks: vec![check] }
    }

    fn metrics(&self) -> String {
        let mut page = String::new();
        monodon_admin::render_own("monodon_sidecar_agent", env!("CARGO_PKG_VERSION"), &mut page);
        page
    }

    fn routes(&self) -> Router {
        let shared = self.clone();
        Router::new().route("/snapshot", get(move || async move { Json(shared.with(|watch| watch.snapshot())) }))
    }

    fn service(&self) -> &'static str {
        "sidecar-agent"
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

/// Binds the socket; one that a dead agent left is replaced.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    let place = |error: io::Error| {
        let hint = "its folder must be writable for the agent (uid 0 without capabilities: owned by root)";
        io::Error::new(error.kind(), format!("cannot listen on {}: {error}; {hint}", path.display()))
    };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(place(io::Error::new(io::ErrorKind::AddrInUse, "another agent listens there")));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(place(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(place)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o666)).map_err(place)?;
    Ok(listener)
}

//! The control socket in the state folder, mode 0600: HTTP, so that `curl --unix-socket` speaks it too. It has all that the
//! admin port tells, and what changes state, which is here and nowhere on a port.

mod client;

pub use client::{ask, say};

use crate::admin::{Pages, State};
use crate::drain::{Drain, Phase};
use crate::runtime::Cause;
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::post;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

/// For the control thread's loop.
pub enum Request {
    Reload(Cause, oneshot::Sender<Result<(), String>>),
}

fn place(state: &std::path::Path) -> PathBuf {
    state.join("control.sock")
}

/// Opens the socket. The folder is the edge's own: a file that is left there is of an edge that is gone.
pub fn open(state: &std::path::Path) -> io::Result<UnixListener> {
    std::fs::create_dir_all(state)?;
    let place = place(state);
    if std::os::unix::net::UnixStream::connect(&place).is_ok() {
        return Err(io::Error::other(format!("{}: another edge is running with this state folder", place.display())));
    }
    match std::fs::remove_file(&place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Made where nobody else can reach it, and moved out when it is only ours: there is no moment at which another may connect.
    // The name is short, for a socket's path may have 108 bytes.
    let folder = state.join(".control");
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let made = folder.join("s");
    let listener = UnixListener::bind(&made)?;
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&made, &place)?;
    std::fs::remove_dir(&folder)?;
    Ok(listener)
}

/// Serves until the process ends.
pub async fn serve(listener: UnixListener, state: Arc<State>, requests: mpsc::Sender<Request>, mut drain: Drain) {
    let router = monodon_admin::router(&Arc::new(Pages(state.clone()))).merge(changes(&state, requests));
    tokio::select! {
        _ = std::future::IntoFuture::into_future(axum::serve(listener, router)) => {}
        () = drain.reached(Phase::Over) => {}
    }
}

type Said = (StatusCode, String);

/// What changes the edge's state.
fn changes(state: &Arc<State>, requests: mpsc::Sender<Request>) -> Router {
    let reload = move || {
        let requests = requests.clone();
        async move { reload(&requests).await }
    };
    let lines = state.lines.clone();
    let reopen = move || async move {
        lines.reopen();
        done("the logs were opened again")
    };
    let drain = |drained: bool| {
        let state = state.clone();
        post(
            move |Path(name): Path<String>, address: String| async move { drain(&state, &name, address.trim(), drained) },
        )
    };
    Router::new()
        .route("/reload", post(reload))
        .route("/reopen", post(reopen))
        .route("/upstreams/{name}/drain", drain(true))
        .route("/upstreams/{name}/resume", drain(false))
}

async fn reload(requests: &mpsc::Sender<Request>) -> Said {
    let (answer, outcome) = oneshot::channel();
    let _ = requests.send(Request::Reload(Cause::Socket, answer)).await;
    match outcome.await {
        Ok(Ok(())) => done("the configuration was read again"),
        Ok(Err(problems)) => {
            (StatusCode::UNPROCESSABLE_ENTITY, format!("the configuration in force stays:\n{problems}\n"))
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the edge is stopping\n".into()),
    }
}

/// Empties an address of an upstream, or puts it back.
fn drain(state: &State, name: &str, address: &str, drained: bool) -> Said {
    let snapshot = state.snapshot.load();
    let missing = |words: String| (StatusCode::NOT_FOUND, words);
    let Some(shared) = snapshot.upstreams.iter().find(|shared| shared.name() == name) else {
        let known: Vec<&str> = snapshot.upstreams.iter().map(|shared| shared.name()).collect();
        return missing(format!("no upstream {name:?}; there is {}\n", known.join(", ")));
    };
    match shared.drain(address, drained) {
        Ok(()) if drained => {
            let rest = if shared.is_drained() { "; no other takes requests: everybody else gets 503" } else { "" };
            done(&format!(
                "{address} is drained: from now on it gets only clients whose sticky cookie leads there{rest}"
            ))
        }
        Ok(()) => done(&format!("{address} takes requests again")),
        Err(known) => missing(format!("upstream {name} has no address {address:?}; it has {}\n", known.join(", "))),
    }
}

fn done(words: &str) -> Said {
    (StatusCode::OK, format!("{words}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::os::unix::fs::MetadataExt;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Looked at again and again while it is made.
    #[tokio::test]
    async fn nobody_else_can_ever_connect() {
        let state = tempfile::tempdir().unwrap();
        let (place, over) = (place(state.path()), AtomicBool::new(false));
        let modes = std::thread::scope(|scope| {
            let modes = scope.spawn(|| {
                let mut modes = BTreeSet::new();
                while !over.load(Ordering::Relaxed) {
                    modes.extend(std::fs::metadata(&place).ok().map(|socket| socket.mode() & 0o777));
                }
                modes
            });
            for _ in 0..300 {
                drop(open(state.path()).unwrap());
            }
            over.store(true, Ordering::Relaxed);
            modes.join().unwrap()
        });
        assert!(modes.is_subset(&BTreeSet::from([0o600])), "{modes:?}");
        let left: Vec<_> = std::fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["control.sock"], "nothing else is left there");
    }

    #[tokio::test]
    async fn what_another_edge_left_midway_is_in_nobodys_way() {
        let state = tempfile::tempdir().unwrap();
        std::fs::create_dir(state.path().join(".control")).unwrap();
        std::fs::write(state.path().join(".control/s"), "").unwrap();
        drop(open(state.path()).unwrap());
        assert!(place(state.path()).exists() && !state.path().join(".control").exists());
    }
}

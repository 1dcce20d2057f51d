//! The control thread's loop: signals, the admin port, the control socket, watched files, certificates, upstreams.

use super::listeners::Listeners;
use super::reload::{Cause, Managers, Reloader};
use super::{changes, stop};
use crate::admin::{self, State};
use crate::control::{self, Request};
use crate::drain::{self, Drain, Phase};
use crate::snapshot::Snapshot;
use crate::tls;
use std::ffi::OsString;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// What the control thread has from the start.
pub struct Parts {
    pub args: Vec<OsString>,
    pub publish: watch::Sender<Arc<Snapshot>>,
    pub listeners: Listeners,
    pub control: drain::Control,
    pub drain: Drain,
}

/// Until a signal says stop and all is done.
pub async fn run(state: Arc<State>, parts: Parts) -> Result<(), String> {
    let Parts { args, publish, listeners, control, drain } = parts;
    let reloader = Reloader { state: &state, args, publish, listeners, managers: Managers::default(), drain: &drain };
    let result = serve(&state, reloader, &control, &drain).await;
    control.enter(Phase::Over);
    result
}

async fn serve(
    state: &Arc<State>,
    mut reloader: Reloader<'_>,
    control: &drain::Control,
    drain: &Drain,
) -> Result<(), String> {
    let signals = |kind| -> Result<Signal, String> { signal(kind).map_err(|error| format!("no signals: {error}")) };
    let (mut terminate, mut interrupt) = (signals(SignalKind::terminate())?, signals(SignalKind::interrupt())?);
    let (mut hangup, mut reopen) = (signals(SignalKind::hangup())?, signals(SignalKind::user_defined1())?);
    let snapshot = state.snapshot.load_full();
    let socket = monodon_admin::bind(snapshot.config.listen.admin).await.map_err(|error| error.to_string())?;
    let mut over = drain.clone();
    let pages = admin::guarded(state);
    tokio::spawn(monodon_admin::serve_router(socket, pages, async move { over.reached(Phase::Over).await }));
    tokio::spawn(tls::manage(state.certificates.clone(), drain.clone()));
    let (requests, mut asked) = mpsc::channel(4);
    match control::open(&snapshot.config.tls.state) {
        Ok(listener) => drop(tokio::spawn(control::serve(listener, state.clone(), requests.clone(), drain.clone()))),
        // Signals still work.
        Err(error) => tracing::warn!(%error, "no control socket; `monodon-edge reload` will not work, SIGHUP will"),
    }
    tokio::spawn(changes::watch(state.clone(), requests));
    reloader.managers.run(&snapshot, drain);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), threads = snapshot.config.listen.threads, "serving");
    drop(snapshot);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => drop(reloader.reload(Cause::Signal)),
            _ = reopen.recv() => state.lines.reopen(),
            Some(Request::Reload(cause, answer)) = asked.recv() => {
                // Who asked may have left.
                let _ = answer.send(reloader.reload(cause));
            }
        }
    }
    stop::stop(state, control, (&mut terminate, &mut interrupt)).await;
    Ok(())
}

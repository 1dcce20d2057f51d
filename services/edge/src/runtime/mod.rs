//! Threads and signals: N data threads, each with a runtime of its own, and this one for control.

mod changes;
mod control;
mod listeners;
mod reload;
mod resources;
mod stop;

pub use reload::{Cause, Reloads};

use crate::access_log::{self, Log};
use crate::admin::State;
use crate::buffer::Spool;
use crate::config::effective;
use crate::config::load::Loaded;
use crate::drain::{self, Phase};
use crate::listener::{self, Total};
use crate::service::Thread;
use crate::snapshot::Snapshot;
use crate::tls::{self, Certificates};
use arc_swap::ArcSwap;
use control::Parts;
use listeners::{Door, Kind, Listeners};
use monodon_logging::Lines;
use std::ffi::OsString;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

/// Serves until a signal says stop. `args` are read again at a reload.
pub fn run(loaded: Loaded, args: Vec<OsString>) -> ExitCode {
    let config = &loaded.config;
    let level = config.log.level.parse().unwrap_or_default();
    let format = config.log.format.parse().unwrap_or_default();
    let _guard = monodon_logging::init(level, format, "edge");
    match start(loaded, args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            tracing::error!("{problem}");
            eprintln!("monodon-edge: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn start(loaded: Loaded, args: Vec<OsString>) -> Result<(), String> {
    // It was read a moment ago; whatever is younger than that is read again.
    let loaded_at = micros().saturating_sub(Duration::from_secs(1).as_micros() as u64);
    let Loaded { config, values } = loaded;
    resources::leave_no_core();
    resources::raise_descriptor_limit(2 * config.limits.connections as u64);
    let threads = config.listen.threads;
    let (mut listeners, doors) = Listeners::new(threads);
    let bound = listeners.bind(&config.listen)?;
    listeners.open(bound, &config.listen);
    let unwritten = |error: std::io::Error| {
        values.problem("access_log", format!("{} cannot be written: {error}", config.log.access)).to_string()
    };
    let lines = Lines::open(&config.log.access).map_err(unwritten)?;
    let certificates = Certificates::open(&config.tls)?;
    let spool = Arc::new(Spool::open(&config.spool).map_err(|error| format!("spool: {error}"))?);
    let (control, drain) = drain::channel();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_name("control")
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    let snapshot = {
        let _entered = runtime.enter();
        Arc::new(Snapshot::build(config, spool, None))
    };
    let state = Arc::new(State {
        snapshot: ArcSwap::new(snapshot.clone()),
        reloads: Reloads::new(effective::hash(&values), loaded_at),
        values: ArcSwap::from_pointee(values),
        shards: (0..threads).map(|_| Arc::default()).collect(),
        certificates: certificates.clone(),
        drain: drain.clone(),
        lines: lines.clone(),
        listening: AtomicU64::new(0),
        started: Instant::now(),
    });
    let (publish, snapshots) = watch::channel(snapshot);
    let total = Arc::new(Total::default());
    let mut handles = Vec::new();
    for (index, (doors, shard)) in doors.into_iter().zip(state.shards.clone()).enumerate() {
        let (snapshots, certificates, log, drain) =
            (snapshots.clone(), certificates.clone(), Log::new(lines.clone()), drain.clone());
        let (state, total) = (state.clone(), total.clone());
        let data = move || {
            // A runtime whose tasks are all this thread's: a `LocalSet` on one would be a second queue and a second round of polling.
            let runtime =
                Builder::new_current_thread().enable_all().max_blocking_threads(8).build_local(LocalOptions::default());
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return tracing::error!(%error, "a data thread has no runtime"),
            };
            runtime.block_on(async move {
                let snapshot = snapshots.borrow().clone();
                let thread = Thread::new(index, snapshot, certificates, shard, log, drain);
                data_thread(thread, doors, snapshots, &state, &total).await;
            });
            // A blocking read that hangs must not keep the process.
            runtime.shutdown_background();
        };
        let name = format!("data-{index}");
        let handle =
            std::thread::Builder::new().name(name).spawn(data).map_err(|error| format!("no thread: {error}"))?;
        handles.push(handle);
    }
    let result = runtime.block_on(control::run(state, Parts { args, publish, listeners, control, drain }));
    for handle in handles {
        let _ = handle.join();
    }
    lines.flush(Duration::from_secs(1));
    runtime.shutdown_background();
    result
}

async fn data_thread(
    thread: Rc<Thread>,
    mut doors: mpsc::UnboundedReceiver<Door>,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    state: &State,
    total: &Arc<Total>,
) {
    let open = |door: Door| {
        let tls = (door.kind == Kind::Https).then(|| TlsAcceptor::from(tls::server_config(&thread.certificates)));
        tokio::task::spawn_local(listener::accept(door.socket, tls, door.closed, thread.clone(), total.clone()));
    };
    while let Ok(door) = doors.try_recv() {
        open(door);
    }
    state.listening.fetch_add(1, Ordering::Relaxed);
    let mut drain = thread.drain.clone();
    let mut over = std::pin::pin!(drain.reached(Phase::Over));
    let mut flush = tokio::time::interval(access_log::FLUSH_EVERY);
    loop {
        tokio::select! {
            () = &mut over => break,
            _ = flush.tick() => thread.log.flush(),
            Some(door) = doors.recv() => open(door),
            changed = snapshots.changed() => {
                if changed.is_err() { break }
                let snapshot = snapshots.borrow_and_update().clone();
                thread.replace(snapshot);
            }
        }
    }
    thread.log.flush();
}

/// Unix microseconds.
fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Unix seconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

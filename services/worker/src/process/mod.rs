//! A worker process after the fork: accepts connections and has the application answer their requests.
//!
//! One thread runs one current-thread runtime. With one thread for the application that same thread calls it; with
//! more there is a pool (see `wsgi::pool`). In the order a request meets them: `accept`, `connection`, `upload`,
//! `retry`, an interface (`wsgi`), `output` (`framing` and `transport`), `log`. Beside them stand `watch` (timeouts,
//! leaving), `retire`, `watchdog`, and `relief`, which gives connections away while the application keeps this thread.

mod accept;
mod body;
mod connection;
mod fds;
mod framing;
mod gc;
mod gil;
mod handover;
mod introduction;
mod log;
pub mod logger;
mod output;
mod relief;
mod request;
mod response;
mod retire;
mod retry;
mod shared;
mod start;
mod stream;
mod transport;
mod trust;
mod upload;
mod watch;
mod watchdog;
mod wsgi;

use std::{
    io,
    os::fd::{OwnedFd, RawFd},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use pyo3::prelude::*;
use tokio::{
    io::unix::AsyncFd,
    runtime::{Builder, LocalOptions, LocalRuntime},
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};

use self::{connection::Interface, relief::Relief, shared::Shared, watchdog::Lane};
use crate::{
    config::Config,
    scoreboard::{self, Scoreboard, State},
};

pub use self::trust::Trust;

/// What the process inherits.
pub struct Setup {
    pub config: Arc<Config>,
    pub listeners: Vec<RawFd>,
    pub handover: Handover,
    pub scoreboard: Scoreboard,
    /// Its entry in the scoreboard.
    pub entry: usize,
    /// The reading end of a pipe whose other end the parent holds.
    pub alive: RawFd,
}

/// The pair of sockets through which processes give each other connections.
#[derive(Clone, Copy)]
pub struct Handover {
    pub rx: RawFd,
    pub tx: RawFd,
}

/// gunicorn's hooks, as far as the process needs to know of them.
#[derive(Default)]
pub struct Hooks {
    /// Makes what is called in the application's place, for `pre_request` and `post_request`.
    pub requests: Option<Py<PyAny>>,
    /// Ends the process after its last hook. There if one of `worker_abort` and `worker_exit` is: then Python hears
    /// SIGABRT.
    pub abandon: Option<Py<PyAny>>,
}

#[derive(Debug)]
pub enum ExitReason {
    /// Told to leave, and left with nothing unfinished.
    Drained,
    /// Told to leave, but the time for it was over before everything was finished.
    Cut,
    /// Told to stop at once.
    Quit,
    /// By SIGABRT, which a hook hears.
    Aborted,
    /// The parent is gone.
    Orphaned,
    /// Could not serve at all.
    Failed(io::Error),
}

/// Serves until told to leave. To be called in the process's main thread.
#[allow(clippy::needless_pass_by_value)] // It is the process's own from here on.
pub fn run(py: Python<'_>, app: Py<PyAny>, hooks: Hooks, setup: Setup) -> ExitReason {
    match start(py, app, hooks, &setup) {
        Ok(reason) => reason,
        Err(error) => ExitReason::Failed(error),
    }
}

fn start(py: Python<'_>, app: Py<PyAny>, hooks: Hooks, setup: &Setup) -> io::Result<ExitReason> {
    if let Some(folder) = &setup.config.mechanics.tmp_upload_dir {
        // Of everything here that needs a temporary file: the bodies of requests alone.
        let _ = tempfile::env::override_temp_dir(folder);
    }
    let threads = setup.config.threads.max(1);
    let hears_abort = hooks.abandon.is_some();
    let entry = setup.scoreboard.own(setup.entry).ok_or_else(|| io::Error::other("no such entry in the scoreboard"))?;
    logger::begin(&entry);
    gc::watch(py, &entry).map_err(|error| io::Error::other(error.to_string()))?;
    let trust = Arc::new(Trust::parse(&setup.config.forwarded_allow_ips).map_err(io::Error::other)?);
    let lanes: Vec<_> = (0..threads).map(|_| Arc::new(Lane::new(setup.config.timeout))).collect();
    let app = wsgi::App::new(py, app, hooks.requests.map(wsgi::Hooks::new), &setup.config, Arc::clone(&trust))?;
    let shared = |relief| Shared::new(setup, entry.clone(), Arc::clone(&trust), relief).map(Rc::new);
    watchdog::start(lanes.clone(), entry.clone(), setup.config.graceful_timeout)?;
    if let [lane] = lanes.as_slice() {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .on_thread_park(gil::release)
            .on_thread_unpark(gil::acquire)
            .build_local(LocalOptions::default())?;
        let handover = fds::duplicate(setup.handover.tx)?;
        let relief = Relief::start(entry.clone(), handover, setup.config.workers > 1)?;
        let shared = shared(Some(Rc::clone(&relief)))?;
        let interface = wsgi::Inline::new(py, app, Arc::clone(lane), entry.clone(), relief, hooks.abandon)?;
        serve(&runtime, setup, &shared, hears_abort, interface)
    } else {
        let pool = wsgi::Pool::start(py, &app, lanes, &entry)?;
        // The pool's threads need the lock, this one never does.
        py.detach(|| {
            let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
            let shared = shared(None)?;
            serve(&runtime, setup, &shared, hears_abort, pool)
        })
    }
}

fn serve<I: Interface>(
    runtime: &LocalRuntime,
    setup: &Setup,
    shared: &Rc<Shared>,
    hears_abort: bool,
    interface: I,
) -> io::Result<ExitReason> {
    let reason = runtime.block_on(async {
        let mut signals = Signals::new(hears_abort)?;
        let interface = Rc::new(interface);
        let mut accepting = Vec::new();
        for listener in &setup.listeners {
            let listener = Rc::new(fds::readable(*listener)?);
            let run = accept::run(Rc::clone(shared), Rc::clone(&interface), Rc::clone(&listener));
            accepting.push((tokio::task::spawn_local(run), listener));
        }
        let handover = Rc::new(fds::readable(setup.handover.rx)?);
        let adopting =
            tokio::task::spawn_local(accept::adopt(Rc::clone(shared), Rc::clone(&interface), Rc::clone(&handover)));
        let alive = fds::readable(setup.alive)?;
        let _told = shared.relief.clone().map(|relief| AbortOnDrop(tokio::task::spawn_local(relief.tell())));
        let _ticker = AbortOnDrop(tokio::task::spawn_local(tick(Rc::clone(shared))));
        shared.entry.set_ready(u32::try_from(setup.config.threads.max(1)).unwrap_or(1), scoreboard::now());
        let first = tokio::select! {
            reason = signals.next(shared) => reason,
            _ = alive.readable() => ExitReason::Orphaned,
        };
        if matches!(first, ExitReason::Quit | ExitReason::Aborted) {
            return Ok(first);
        }
        shared.entry.set_state(State::Draining);
        shared.begin_leaving();
        for (task, listener) in accepting {
            task.abort();
            if !shared.has_siblings() {
                accept::the_rest(Rc::clone(shared), Rc::clone(&interface), listener).await;
            }
        }
        Ok(drain(shared, &adopting, &handover, first, &mut signals).await)
    });
    shared.finish_telling();
    reason
}

/// Looks after everything that depends on the time.
async fn tick(shared: Rc<Shared>) {
    let mut ticks = tokio::time::interval(watch::TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        shared.tick();
    }
}

/// Finishes what runs and gives away what is idle.
async fn drain(
    shared: &Shared,
    adopting: &JoinHandle<()>,
    handover: &AsyncFd<OwnedFd>,
    first: ExitReason,
    signals: &mut Signals,
) -> ExitReason {
    if shared.has_siblings() {
        adopting.abort();
    }
    // Without a sibling this process stays the one that takes what others have given away a moment ago.
    shared.watches.leave();
    let limit = tokio::time::sleep(shared.config.graceful_timeout);
    let reason = tokio::select! {
        () = all_left(shared, adopting, handover) => first,
        () = limit => ExitReason::Cut,
        reason = signals.quit() => reason,
    };
    adopting.abort();
    reason
}

/// Waits until no connection is left, here or given away to nobody.
async fn all_left(shared: &Shared, adopting: &JoinHandle<()>, handover: &AsyncFd<OwnedFd>) {
    loop {
        shared.empty().await;
        if adopting.is_finished() || shared.has_siblings() || !handover::waits(handover.get_ref()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The log files, after a rotation. What is captured comes first: other files may be copies of that.
fn reopen(shared: &Shared) {
    logger::reopen();
    monodon_logging::reopen();
    if let Some(log) = &shared.log {
        log.reopen();
    }
}

struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
    reopen: Signal,
    abort: Option<Signal>,
}

impl Signals {
    fn new(hears_abort: bool) -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            reopen: signal(SignalKind::user_defined1())?,
            abort: hears_abort.then(|| signal(SignalKind::from_raw(libc::SIGABRT))).transpose()?,
        })
    }

    /// The first signal that ends the process.
    async fn next(&mut self, shared: &Shared) -> ExitReason {
        loop {
            tokio::select! {
                _ = self.term.recv() => return ExitReason::Drained,
                _ = self.int.recv() => return ExitReason::Quit,
                _ = self.quit.recv() => return ExitReason::Quit,
                () = heard(self.abort.as_mut()) => return ExitReason::Aborted,
                _ = self.reopen.recv() => reopen(shared),
            }
        }
    }

    async fn quit(&mut self) -> ExitReason {
        tokio::select! {
            _ = self.int.recv() => ExitReason::Quit,
            _ = self.quit.recv() => ExitReason::Quit,
            () = heard(self.abort.as_mut()) => ExitReason::Aborted,
        }
    }
}

async fn heard(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

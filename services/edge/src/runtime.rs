//! Threads and signals: N data threads, each with a runtime of its own, and this one for control.

use crate::access_log::{self, Log};
use crate::admin::{Pages, Reloads, State};
use crate::buffer::Spool;
use crate::config::Config;
use crate::drain::{self, Drain, Phase};
use crate::listener::{self, Total};
use crate::service::Thread;
use crate::snapshot::Snapshot;
use crate::tls::{self, Certificates};
use crate::{cli, control};
use arc_swap::ArcSwap;
use monodon_logging::Lines;
use std::ffi::OsString;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The listening sockets of one data thread.
#[derive(Default)]
struct Sockets {
    http: Vec<TcpListener>,
    https: Vec<TcpListener>,
}

/// Serves until a signal says stop. `args` are read again at a reload.
pub fn run(config: Config, args: Vec<OsString>) -> ExitCode {
    let level = config.log.level.parse().unwrap_or_default();
    let format = config.log.format.parse().unwrap_or_default();
    let _guard = monodon_logging::init(level, format, "edge");
    match start(config, args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            tracing::error!("{problem}");
            eprintln!("monodon-edge: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// A request behind a proxy holds two descriptors, and the usual soft limit of 1,024 is there for programs that use `select`. The hard limit is
/// what the operator means (as nginx's `worker_rlimit_nofile`, but without having to be told).
fn raise_descriptor_limit(wanted: u64) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let (soft, hard) = (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX));
    if soft < hard {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, soft, "the limit of open files cannot be raised");
        }
    }
    if hard < wanted {
        tracing::warn!(
            limit = hard,
            wanted,
            "fewer files may be open than connections_limit would need: raise `nofile`"
        );
    }
}

fn start(config: Config, args: Vec<OsString>) -> Result<(), String> {
    raise_descriptor_limit(2 * config.limits.connections as u64);
    let sockets = bind(&config)?;
    let lines =
        Lines::open(&config.log.access).map_err(|error| format!("access_log {}: {error}", config.log.access))?;
    let certificates = Certificates::open(&config.tls)?;
    let spool = Arc::new(Spool::open(&config.spool).map_err(|error| format!("spool: {error}"))?);
    let (control, drain) = drain::channel();
    let threads = config.listen.threads;
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
        shards: (0..threads).map(|_| Arc::default()).collect(),
        certificates: certificates.clone(),
        drain: drain.clone(),
        reloads: Reloads { successful: AtomicBool::new(true), timestamp: AtomicU64::new(now()) },
        lines: lines.clone(),
        listening: AtomicU64::new(0),
    });
    let (publish, snapshots) = watch::channel(snapshot);
    let total = Arc::new(Total::default());
    let mut handles = Vec::new();
    for (index, (sockets, shard)) in sockets.into_iter().zip(state.shards.clone()).enumerate() {
        let (snapshots, certificates, log, drain) =
            (snapshots.clone(), certificates.clone(), Log::new(lines.clone()), drain.clone());
        let (state, total) = (state.clone(), total.clone());
        let data = move || {
            let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(8).build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return tracing::error!(%error, "a data thread has no runtime"),
            };
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                let snapshot = snapshots.borrow().clone();
                let thread = Thread::new(index, snapshot, certificates, shard, log, drain);
                data_thread(thread, sockets, snapshots, &state, &total).await;
            });
            // A blocking read that hangs must not keep the process.
            runtime.shutdown_background();
        };
        let name = format!("data-{index}");
        let handle =
            std::thread::Builder::new().name(name).spawn(data).map_err(|error| format!("no thread: {error}"))?;
        handles.push(handle);
    }
    let result = runtime.block_on(control_thread(state, args, publish, control, drain));
    for handle in handles {
        let _ = handle.join();
    }
    lines.flush(Duration::from_secs(1));
    runtime.shutdown_background();
    result
}

/// One set of sockets a thread; everything that cannot be bound is told at once.
fn bind(config: &Config) -> Result<Vec<Sockets>, String> {
    let threads = config.listen.threads;
    let mut sets: Vec<Sockets> = (0..threads).map(|_| Sockets::default()).collect();
    let mut problems = Vec::new();
    let listeners = config.listen.http.iter().map(|address| ("http", address));
    for (kind, address) in listeners.chain(config.listen.https.iter().map(|address| ("https", address))) {
        match listener::bind(*address, threads) {
            Ok(sockets) => {
                if let Some(bound) = sockets.first().and_then(|socket| socket.local_addr().ok()) {
                    tracing::info!(%kind, address = %bound, "listening");
                }
                for (set, socket) in sets.iter_mut().zip(sockets) {
                    if kind == "http" { set.http.push(socket) } else { set.https.push(socket) }
                }
            }
            Err(error) => problems.push(format!("{kind}: cannot listen on {address}: {error}")),
        }
    }
    if problems.is_empty() { Ok(sets) } else { Err(problems.join("\n")) }
}

async fn data_thread(
    thread: std::rc::Rc<Thread>,
    sockets: Sockets,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    state: &State,
    total: &Arc<Total>,
) {
    let acceptor = (!sockets.https.is_empty()).then(|| TlsAcceptor::from(tls::server_config(&thread.certificates)));
    for socket in sockets.http {
        tokio::task::spawn_local(listener::accept(socket, None, thread.clone(), total.clone()));
    }
    for socket in sockets.https {
        tokio::task::spawn_local(listener::accept(socket, acceptor.clone(), thread.clone(), total.clone()));
    }
    state.listening.fetch_add(1, Ordering::Relaxed);
    let mut drain = thread.drain.clone();
    let mut over = std::pin::pin!(drain.reached(Phase::Over));
    let mut flush = tokio::time::interval(access_log::FLUSH_EVERY);
    loop {
        tokio::select! {
            () = &mut over => break,
            _ = flush.tick() => thread.log.flush(),
            changed = snapshots.changed() => {
                if changed.is_err() { break }
                let snapshot = snapshots.borrow_and_update().clone();
                thread.replace(snapshot);
            }
        }
    }
    thread.log.flush();
}

async fn control_thread(
    state: Arc<State>,
    args: Vec<OsString>,
    publish: watch::Sender<Arc<Snapshot>>,
    control: drain::Control,
    drain: Drain,
) -> Result<(), String> {
    let result = serve_control(&state, args, &publish, &control, &drain).await;
    control.enter(Phase::Over);
    result
}

async fn serve_control(
    state: &Arc<State>,
    args: Vec<OsString>,
    publish: &watch::Sender<Arc<Snapshot>>,
    control: &drain::Control,
    drain: &Drain,
) -> Result<(), String> {
    let signals = |kind| signal(kind).map_err(|error| format!("no signals: {error}"));
    let (mut terminate, mut interrupt, mut hangup) =
        (signals(SignalKind::terminate())?, signals(SignalKind::interrupt())?, signals(SignalKind::hangup())?);
    let config = state.snapshot.load().config.clone();
    let admin = monodon_admin::bind(config.listen.admin).await.map_err(|error| error.to_string())?;
    let mut over = drain.clone();
    let pages = Pages(state.clone());
    tokio::spawn(monodon_admin::serve_on(admin, pages, async move { over.reached(Phase::Over).await }));
    tokio::spawn(tls::manage(state.certificates.clone(), drain.clone()));
    let (requests, mut asked) = mpsc::channel(4);
    match control::open(&config.tls.state) {
        Ok(listener) => drop(tokio::spawn(control::serve(listener, requests.clone()))),
        // Signals still work.
        Err(error) => tracing::warn!(%error, "no control socket; `monodon-edge reload` will not work, SIGHUP will"),
    }
    let mut managers = manage(&state.snapshot.load(), Vec::new(), drain);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), threads = config.listen.threads, "serving");
    loop {
        let answer = tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => None,
            Some(answer) = asked.recv() => Some(answer),
        };
        state.lines.reopen();
        let outcome = reload(state, &args);
        match &outcome {
            Ok(snapshot) => {
                state.snapshot.store(snapshot.clone());
                managers = manage(snapshot, managers, drain);
                state.certificates.reconfigure(&snapshot.config.tls);
                let _ = publish.send(snapshot.clone());
                state.reloads.timestamp.store(now(), Ordering::Relaxed);
                tracing::info!("the configuration was read again");
            }
            Err(problems) => tracing::error!(problems, "reload refused; the configuration before it stays in force"),
        }
        state.reloads.successful.store(outcome.is_ok(), Ordering::Relaxed);
        if let Some(answer) = answer {
            let _ = answer.send(outcome.map(drop));
        }
    }
    stop(state, control, (&mut terminate, &mut interrupt)).await;
    Ok(())
}

/// SIGTERM to the end (DESIGN "stop"). A second signal ends the wait.
async fn stop(
    state: &State,
    control: &drain::Control,
    (terminate, interrupt): (&mut tokio::signal::unix::Signal, &mut tokio::signal::unix::Signal),
) {
    let timeouts = state.snapshot.load().config.timeouts.clone();
    tracing::info!(connections = control.working(), "stopping");
    control.enter(Phase::Announced);
    let finish = async {
        tokio::time::sleep(timeouts.shutdown_delay).await;
        control.enter(Phase::Closing);
        if tokio::time::timeout(timeouts.graceful, control.finished()).await.is_err() {
            tracing::warn!(connections = control.working(), "the grace period is over; what is left is cut off");
        }
    };
    tokio::select! {
        () = finish => {}
        _ = terminate.recv() => tracing::warn!("asked again; not waiting any longer"),
        _ = interrupt.recv() => tracing::warn!("asked again; not waiting any longer"),
    }
    tracing::info!("stopped");
}

/// Reads the configuration as at the start. What is bound or opened once must not change.
fn reload(state: &State, args: &[OsString]) -> Result<Arc<Snapshot>, String> {
    let config = cli::read(args).map_err(|problems| problems.to_string())?;
    let old = state.snapshot.load();
    let (then, now) = (&old.config, &config);
    let fixed = [
        ("http", then.listen.http == now.listen.http),
        ("https", then.listen.https == now.listen.https),
        ("admin", then.listen.admin == now.listen.admin),
        ("threads", then.listen.threads == now.listen.threads),
        ("state", then.tls.state == now.tls.state),
        ("spool", then.spool.dir == now.spool.dir),
        ("access_log", then.log.access == now.log.access),
        ("log_level", then.log.level == now.log.level),
        ("log_format", then.log.format == now.log.format),
    ];
    let changed: Vec<String> = fixed
        .iter()
        .filter(|(_, same)| !same)
        .map(|(key, _)| format!("{key}: cannot change while the edge runs; restart it"))
        .collect();
    if !changed.is_empty() {
        return Err(changed.join("\n"));
    }
    Ok(Arc::new(Snapshot::build(config, old.spool.clone(), Some(&old))))
}

type Manager = (usize, JoinHandle<()>);

/// Runs the upstreams' control tasks; those of upstreams that a reload replaced end.
fn manage(snapshot: &Snapshot, running: Vec<Manager>, drain: &Drain) -> Vec<Manager> {
    let wanted: Vec<_> = snapshot.upstreams.iter().chain(&snapshot.status).cloned().collect();
    let key = |shared: &Arc<crate::upstream::Shared>| Arc::as_ptr(shared) as usize;
    let (mut kept, gone): (Vec<Manager>, Vec<Manager>) =
        running.into_iter().partition(|(id, _)| wanted.iter().any(|shared| key(shared) == *id));
    gone.iter().for_each(|(_, task)| task.abort());
    for shared in wanted {
        let id = key(&shared);
        if !kept.iter().any(|(known, _)| *known == id) {
            kept.push((id, tokio::spawn(shared.manage(drain.clone()))));
        }
    }
    kept
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

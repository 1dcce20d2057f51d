//! The supervisor: owns the sockets and the scoreboard, has the zygote fork workers, replaces those that end, reloads,
//! drains, and never runs the application. Everything happens on one thread, the main one: the zygote is bound to it.

mod admin;
mod background;
pub mod capacity;
mod control;
mod develop;
mod doors;
mod herd;
mod mechanics;
mod metrics;
mod oom;
mod pidfile;
mod plan;
mod process;
mod reload;
mod shared;
mod signals;
mod sockets;
pub mod stacks;
mod statsd;
mod status;
mod stop;
mod systemd;
mod upgrade;
mod usage;
pub mod zygote;

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::app_metrics::AppMetrics;
use crate::gunicorn::check;
use crate::load::{Loaded, load, prepare_control};
use crate::scoreboard::Scoreboard;
use herd::Herd;
use shared::Shared;

pub use shared::EXIT_IMPORT;

/// What the supervisor's loop wakes up for.
pub enum Event {
    Zygote(u64, zygote::Message),
    ZygoteGone(u64),
    Signal(i32),
    Control(control::Command),
    /// With `--reload`: these files have.
    Changed(Vec<PathBuf>),
    /// The supervisor that was started by SIGUSR2.
    SuccessorServes(u32),
    /// A process has written its Python stacks.
    Stacks {
        writer: stacks::Writer,
        name: String,
        text: String,
    },
}

/// Runs until the worker has stopped.
pub fn run(arguments: &[OsString], python: Vec<OsString>) -> ExitCode {
    let folder = std::env::current_dir().unwrap_or_default();
    let Loaded { config, exports, values, warnings } = match load(arguments, &python, &folder) {
        Ok(loaded) => loaded,
        Err(problems) => return problems.exit("monodon-worker"),
    };
    if values.bool("print_config") {
        check::print(&values);
    }
    if values.bool("print_config") || values.bool("check_config") {
        for warning in warnings {
            eprintln!("monodon-worker: {warning}");
        }
        return check::import(&config, &python, &exports);
    }
    if let Some(code) = background::detach(&config, arguments, &python) {
        return code;
    }
    // What is relative in the settings begins there, as under gunicorn.
    if let Some(folder) = &config.chdir
        && let Err(error) = std::env::set_current_dir(folder)
    {
        let problem = values.problem("chdir", format!("{}: {error}", folder.display()));
        return monodon_settings::Problems::from(problem).exit("monodon-worker");
    }
    let guard = match config.logs.begin(&config) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("monodon-worker: errorlog {}: {error}", config.logs.errorlog);
            return ExitCode::from(2);
        }
    };
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("the runtime cannot be made: {error}");
            return ExitCode::FAILURE;
        }
    };
    let start = Start { arguments: arguments.to_vec(), python, folder, exports };
    let local = tokio::task::LocalSet::new();
    let code = local.block_on(&runtime, supervise(config, start));
    drop(guard);
    code
}

/// What a reload needs to begin anew.
pub struct Start {
    pub arguments: Vec<OsString>,
    pub python: Vec<OsString>,
    /// Where the worker was started.
    pub folder: PathBuf,
    pub exports: Vec<(String, String)>,
}

async fn supervise(config: crate::config::Config, start: Start) -> ExitCode {
    let (events, mut inbox) = mpsc::unbounded_channel();
    let mut herd = match prepare(config, start, events) {
        Ok(herd) => herd,
        Err((code, message)) => {
            eprintln!("monodon-worker: {message}");
            return ExitCode::from(code);
        }
    };
    let mut doors = match doors::Doors::open(&herd).await {
        Ok(doors) => doors,
        Err(message) => {
            eprintln!("monodon-worker: {message}");
            return ExitCode::from(2);
        }
    };
    tracing::info!(
        processes = herd.wanted,
        threads = herd.config.threads,
        listen = herd.listeners.addresses().join(", "),
        admin = doors.address(),
        "serving {} (up to {} requests at a time)",
        herd.config.app,
        herd.wanted * herd.config.threads
    );
    herd.watch_files();
    herd.start_zygote();
    if let Some(settings) = herd.config.logs.statsd.clone() {
        tokio::task::spawn_local(statsd::tell(herd.shared.clone(), settings));
    }
    let sweeping = tokio::task::spawn_local(sweep_app_metrics(herd.shared.clone()));
    let code = loop {
        herd.step();
        if let Some(code) = herd.finished() {
            break code;
        }
        doors.step(&herd).await;
        tokio::select! {
            event = inbox.recv() => {
                if let Some(event) = event {
                    herd.handle(event);
                }
                // Whatever else is there, before the next step.
                while let Ok(event) = inbox.try_recv() {
                    herd.handle(event);
                }
            }
            () = tokio::time::sleep(herd.pause()) => {}
        }
    };
    doors.close().await;
    sweeping.abort();
    if let Some(metrics) = herd.shared.app_metrics.get() {
        metrics.end();
    }
    ExitCode::from(code)
}

fn prepare(
    config: crate::config::Config,
    start: Start,
    events: mpsc::UnboundedSender<Event>,
) -> Result<Herd, (u8, String)> {
    let broken = |what: &str, error: std::io::Error| (1, format!("{what}: {error}"));
    // Whatever outlives a zygote is ours to reap.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|error| broken("cannot become the subreaper", error.into()))?;
    let passed = upgrade::passed().map_err(|message| (1, message))?;
    let upgrade = passed.as_ref().map(upgrade::Upgrade::of).transpose();
    let upgrade = upgrade.map_err(|error| broken("descriptors", error))?.unwrap_or_default();
    let pidfile = mechanics::begin(&config, &upgrade).map_err(|message| (1, message))?;
    let open = || sockets::Listeners::open(&config, &systemd::listen_fds()?, passed.as_ref(), sockets::PATIENCE);
    let listeners = open().map_err(|message| (2, message))?;
    let handover = sockets::handover(passed.as_ref()).map_err(|error| broken("hand-over sockets", error))?;
    // Twice as many as processes, and room for a few more by SIGTTIN.
    let entries = 2 * config.workers.max(4);
    let board = Scoreboard::create(entries).map_err(|error| broken("scoreboard", error))?;
    let (alive, hold) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| broken("a pipe", error.into()))?;
    // Nothing but zygotes is ever executed here, so these may be inheritable for good.
    for fd in [handover.0.as_fd(), handover.1.as_fd(), board.fd(), alive.as_fd()] {
        zygote::inheritable(fd, true).map_err(|error| broken("descriptors", error))?;
    }
    listeners.share().map_err(|error| broken("descriptors", error))?;
    prepare_control(&config.control).unwrap_or_else(|error| tracing::warn!("control socket: {error}"));
    signals::listen(&events).map_err(|error| broken("signals", error))?;
    let shared = Arc::new(Shared::new(board, &config));
    if config.app_metrics {
        begin_app_metrics(&shared, &config, &start);
    }
    let mut herd = Herd::new(config, start, events, shared, listeners, handover, alive, hold);
    herd.pidfile = pidfile;
    herd.upgrade = upgrade;
    herd.notifier = systemd::Notifier::new(passed.as_ref().map(|passed| passed.pid));
    Ok(herd)
}

/// Without a folder for them the application's metrics are missing; nothing else is.
fn begin_app_metrics(shared: &Arc<Shared>, config: &crate::config::Config, start: &Start) {
    let exported = |name: &str| start.exports.iter().find(|(key, _)| key == name).map(|(_, value)| value.into());
    let variable = |name: &str| exported(name).or_else(|| std::env::var_os(name));
    let metrics = AppMetrics::begin(variable, config.chdir.as_deref()).and_then(|metrics| {
        // The processes write there.
        if let Some(owner) = &config.mechanics.owner {
            std::os::unix::fs::chown(metrics.folder(), Some(owner.uid), Some(owner.gid))?;
        }
        Ok(metrics)
    });
    match metrics {
        Ok(metrics) => drop(shared.app_metrics.set(metrics)),
        Err(error) => tracing::warn!("no folder for the application's own metrics: {error}"),
    }
}

/// Clears up now and then what processes have left that we do not know.
async fn sweep_app_metrics(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let shared = shared.clone();
        let _ = tokio::task::spawn_blocking(move || shared.app_metrics.get().map(AppMetrics::sweep)).await;
    }
}

/// How often the scoreboard is looked at: often while somebody is about to become ready or to leave.
const BRISK: Duration = Duration::from_millis(10);
const CALM: Duration = Duration::from_millis(200);

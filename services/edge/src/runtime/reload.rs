//! Another configuration while the edge runs: taken as a whole or not at all.

use super::listeners::Listeners;
use super::{micros, now};
use crate::admin::State;
use crate::config::Config;
use crate::config::load::{self, Loaded};
use crate::snapshot::Snapshot;
use crate::{drain::Drain, upstream, watched};
use arc_swap::ArcSwapOption;
use monodon_admin::text::Family;
use monodon_settings::{Problems, Values};
use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Who wanted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Signal,
    Socket,
    Change,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signal => "SIGHUP",
            Self::Socket => "the control socket",
            Self::Change => "a changed file",
        })
    }
}

/// How reloads went; under Caddy's names in the metrics, where it has them.
pub struct Reloads {
    /// The last was not refused.
    pub successful: AtomicBool,
    /// When the configuration in force was read. Unix seconds.
    pub timestamp: AtomicU64,
    /// The same to the microsecond, and of the last attempt: what was written later was not read.
    pub begun: AtomicU64,
    pub taken: AtomicU64,
    pub refused: AtomicU64,
    /// Of the configuration in force, see [`crate::config::effective::hash`].
    pub hash: AtomicU64,
    /// What was wrong with the last, if it was refused.
    pub problems: ArcSwapOption<String>,
    /// What it wanted, as far as that could be read.
    pub refused_values: ArcSwapOption<Values>,
}

impl Reloads {
    pub fn new(hash: u64, begun: u64) -> Self {
        Self {
            successful: AtomicBool::new(true),
            timestamp: AtomicU64::new(now()),
            begun: AtomicU64::new(begun),
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            hash: AtomicU64::new(hash),
            problems: ArcSwapOption::empty(),
            refused_values: ArcSwapOption::empty(),
        }
    }

    fn note(&self, outcome: &Result<u64, String>) {
        match outcome {
            Ok(hash) => {
                self.timestamp.store(now(), Ordering::Relaxed);
                self.hash.store(*hash, Ordering::Relaxed);
                self.taken.fetch_add(1, Ordering::Relaxed);
                self.problems.store(None);
            }
            Err(problems) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                self.problems.store(Some(Arc::new(problems.clone())));
            }
        }
        self.successful.store(outcome.is_ok(), Ordering::Relaxed);
    }

    pub fn render(&self, out: &mut String) {
        let help = "Of the settings in force, without the secrets: the same on edges that are configured alike.";
        Family::gauge(out, "monodon_edge_config_hash", help).sample(&[], self.hash.load(Ordering::Relaxed));
        let mut family = Family::counter(out, "monodon_edge_config_reloads_total", "Reloads by how they ended.");
        family.sample(&[("result", "taken")], self.taken.load(Ordering::Relaxed));
        family.sample(&[("result", "refused")], self.refused.load(Ordering::Relaxed));
    }
}

/// What a reload changes beside the state that everybody sees.
pub struct Reloader<'a> {
    pub state: &'a State,
    pub args: Vec<OsString>,
    pub publish: watch::Sender<Arc<Snapshot>>,
    pub listeners: Listeners,
    pub managers: Managers,
    pub drain: &'a Drain,
}

impl Reloader<'_> {
    /// Reads the configuration again; `Err` has all that is wrong with it, and nothing has changed.
    pub fn reload(&mut self, cause: Cause) -> Result<(), String> {
        self.state.lines.reopen();
        self.state.reloads.begun.store(micros(), Ordering::Relaxed);
        let outcome = self.take();
        self.state.reloads.note(&outcome);
        match outcome {
            Ok(_) => {
                tracing::info!(%cause, "the configuration was read again");
                Ok(())
            }
            Err(problems) => {
                tracing::error!(%cause, problems, "reload refused; the configuration before it stays in force");
                Err(problems)
            }
        }
    }

    fn take(&mut self) -> Result<u64, String> {
        let (loaded, problems) =
            load::examine(&self.args, std::env::vars_os()).map_err(|problems| problems.to_string())?;
        if !problems.is_empty() {
            self.state.reloads.refused_values.store(Some(Arc::new(loaded.values)));
            return Err(problems.to_string());
        }
        let old = self.state.snapshot.load_full();
        stays(&old.config, &loaded)?;
        let bound = self.listeners.bind(&loaded.config.listen)?;
        // From here on nothing can fail.
        self.state.reloads.refused_values.store(None);
        let hash = crate::config::effective::hash(&loaded.values);
        old.spool.resize(&loaded.config.spool);
        let snapshot = Arc::new(Snapshot::build(loaded.config, old.spool.clone(), Some(&old)));
        self.state.snapshot.store(snapshot.clone());
        self.state.values.store(Arc::new(loaded.values));
        self.managers.run(&snapshot, self.drain);
        self.state.certificates.reconfigure(&snapshot.config.tls);
        let _ = self.publish.send(snapshot.clone());
        self.listeners.open(bound, &snapshot.config.listen);
        Ok(hash)
    }
}

/// What is opened once must not change.
fn stays(then: &Config, Loaded { config: now, values }: &Loaded) -> Result<(), String> {
    let fixed = [
        ("admin", then.listen.admin == now.listen.admin),
        ("threads", then.listen.threads == now.listen.threads),
        ("state", then.tls.state == now.tls.state),
        ("spool", then.spool.dir == now.spool.dir),
        ("access_log", then.log.access == now.log.access),
        ("log_level", then.log.level == now.log.level),
        ("log_format", then.log.format == now.log.format),
    ];
    let changed = fixed.iter().filter(|(_, same)| !same);
    let problems = changed.map(|(key, _)| values.problem(key, "cannot change while the edge runs; restart it"));
    Problems(problems.collect()).or(()).map_err(|problems| problems.to_string())
}

/// The upstreams' control tasks, and the one that looks at watched files.
#[derive(Default)]
pub struct Managers {
    upstreams: Vec<(Arc<upstream::Shared>, JoinHandle<()>)>,
    files: Option<JoinHandle<()>>,
}

impl Managers {
    /// Those of upstreams that a reload replaced end, for there is another; of one that is configured no more, when no request
    /// has it any longer.
    pub fn run(&mut self, snapshot: &Snapshot, drain: &Drain) {
        let files = tokio::spawn(watched::Files::of(&snapshot.config).watch());
        if let Some(former) = self.files.replace(files) {
            former.abort();
        }
        let wanted: Vec<_> = snapshot.upstreams.iter().chain(&snapshot.status).cloned().collect();
        self.upstreams.retain(|(shared, task)| {
            let stays = wanted.iter().any(|one| Arc::ptr_eq(one, shared));
            if !stays {
                task.abort();
                if !wanted.iter().any(|one| one.is_one_with(shared)) {
                    tokio::spawn(shared.clone().manage_the_rest(drain.clone()));
                }
            }
            stays
        });
        for shared in wanted {
            if !self.upstreams.iter().any(|(known, _)| Arc::ptr_eq(known, &shared)) {
                self.upstreams.push((shared.clone(), tokio::spawn(shared.manage(drain.clone()))));
            }
        }
    }
}

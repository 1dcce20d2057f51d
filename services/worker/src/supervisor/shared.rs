//! What the supervisor's loop writes and the admin port reads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::app_metrics::AppMetrics;
use crate::config::Config;
use crate::scoreboard::{Histogram, Reason, Scoreboard};

/// Exit code: the application cannot be imported.
pub const EXIT_IMPORT: u8 = 3;

pub struct Shared {
    pub board: Scoreboard,
    pub draining: AtomicBool,
    pub boot: Histogram,
    pub reloads: AtomicU64,
    pub reload_failures: AtomicU64,
    pub generation: AtomicU64,
    pub wanted: AtomicU64,
    /// When the last reload that worked ended, in seconds since the epoch.
    pub reloaded: AtomicU64,
    /// What the application sets with prometheus_client, where that is wanted.
    pub app_metrics: OnceLock<AppMetrics>,
    ends: [AtomicU64; Reason::ALL.len()],
    trouble: Mutex<Option<String>>,
    backlogs: Mutex<Vec<Backlog>>,
}

/// Connections of a listening socket that nobody has accepted yet.
#[derive(Debug, Clone)]
pub struct Backlog {
    pub listener: String,
    pub waiting: u32,
    pub most: u32,
}

impl Shared {
    pub fn new(board: Scoreboard, config: &Config) -> Self {
        Self {
            board,
            draining: AtomicBool::new(false),
            boot: Histogram::default(),
            reloads: AtomicU64::new(0),
            reload_failures: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            wanted: AtomicU64::new(config.workers as u64),
            reloaded: AtomicU64::new(0),
            app_metrics: OnceLock::new(),
            ends: Default::default(),
            trouble: Mutex::new(None),
            backlogs: Mutex::default(),
        }
    }

    pub fn count_end(&self, reason: Reason) {
        if let Some(counter) = self.ends.get(reason as usize - 1) {
            counter.fetch_add(1, Relaxed);
        }
    }

    pub fn ends(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.into_iter().zip(self.ends.iter().map(|counter| counter.load(Relaxed)))
    }

    /// Messages of the log by level: the supervisor's and those of all processes.
    pub fn log_messages(&self) -> [u64; monodon_logging::LEVELS.len()] {
        let mut sums = [0; monodon_logging::LEVELS.len()];
        sums.iter_mut().zip(monodon_logging::counts()).for_each(|(sum, (_, count))| *sum += count);
        for entry in self.board.entries() {
            sums.iter_mut().zip(entry.log_messages()).for_each(|(sum, count)| *sum += count);
        }
        sums
    }

    pub fn backlogs(&self) -> Vec<Backlog> {
        self.backlogs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_backlogs(&self, backlogs: Vec<Backlog>) {
        *self.backlogs.lock().unwrap_or_else(PoisonError::into_inner) = backlogs;
    }

    /// What `/readyz` warns of: the last reload or restart that did not work.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

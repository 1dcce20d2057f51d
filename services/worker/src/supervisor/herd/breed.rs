//! Forks processes and lets them go, as the plan says, within what back-off allows.

use std::os::fd::AsFd;
use std::time::Duration;

use super::{Herd, SECOND};
use crate::scoreboard::{Reason, State, now};
use crate::supervisor::plan::{Action, Seen, plan};
use crate::supervisor::process::{Phase, Process};
use crate::supervisor::zygote::Zygote;

const LONGEST_BACK_OFF: u64 = 30 * SECOND;

impl Herd {
    /// Forks and drains as the plan says.
    pub(super) fn breed(&mut self, now: u64) {
        if self.exit.is_some() {
            return;
        }
        if self.breeder.is_none() {
            if now >= self.hold_until {
                self.start_zygote();
            }
            return;
        }
        let seen: Vec<Seen> = self.processes.iter().filter_map(|(entry, process)| self.seen(*entry, process)).collect();
        // Those that leave at a change of a file hold up nobody.
        let leaving = seen.iter().filter(|one| one.leaving).count();
        let surge = self.config.reload_surge + if self.changes.is_some() { leaving } else { 0 };
        for action in plan(&seen, self.wanted, surge) {
            match action {
                Action::Fork if now >= self.hold_until => self.fork(),
                Action::Fork => {}
                Action::Drain(entry, reason) => self.drain(entry, reason),
            }
        }
    }

    pub(super) fn seen(&self, index: usize, process: &Process) -> Option<Seen> {
        let entry = self.shared.board.entry(index)?;
        let state = entry.state();
        Some(Seen {
            entry: index,
            age: now().saturating_sub(process.forked),
            current: process.generation == self.generation,
            ready: process.phase == Phase::Serving,
            retiring: (state == State::Retiring).then(|| entry.retiring_for().unwrap_or(Reason::MaxRequests)),
            leaving: process.leaving(),
        })
    }

    pub(super) fn fork(&mut self) {
        let ready = |zygote: &&Zygote| Some(zygote.id) == self.breeder && zygote.up && !zygote.taking_over;
        if !self.zygotes.iter().any(|zygote| ready(&zygote)) {
            return;
        }
        let Some(index) = self.free.pop_front() else { return };
        let (stacks, pipe) = match self.stacks_pipe(format!("a process (worker {index}) that is gone")) {
            Ok(pipe) => pipe,
            Err(error) => {
                tracing::error!("no pipe for a process: {error}");
                self.free.push_front(index);
                return self.back_off();
            }
        };
        let Some(zygote) = self.zygotes.iter().find(|zygote| Some(zygote.id) == self.breeder) else { return };
        // Before the zygote is told: the new process may be ready before this one runs on, and says so in its entry.
        let entry = self.shared.board.entry(index);
        if let Some(entry) = entry {
            entry.begin(0, self.generation, now());
        }
        if let Err(error) = zygote.fork(index, self.age + 1, pipe.as_fd()) {
            tracing::error!("the zygote cannot be told to fork: {error}");
            if let Some(entry) = entry {
                entry.release();
            }
            self.free.push_front(index);
            return self.back_off();
        }
        self.age += 1;
        let process = Process {
            pid: None,
            generation: self.generation,
            age: self.age,
            parent: zygote.id,
            forked: now(),
            phase: Phase::Booting,
            reason: None,
            stacks,
            killed: false.into(),
            traceback: None,
            hook: None,
            notes: None,
        };
        self.processes.insert(index, process);
    }

    pub(super) fn forget(&mut self, index: usize) -> Option<Process> {
        let process = self.processes.remove(&index)?;
        if let Some(entry) = self.shared.board.entry(index) {
            entry.release();
        }
        if let Some(metrics) = self.shared.app_metrics.get() {
            metrics.left(&format!("w{index}"));
        }
        self.free.push_back(index);
        Some(process)
    }

    pub(super) fn back_off(&mut self) {
        let wait = (SECOND / 2).saturating_mul(1 << self.failures.min(8)).min(LONGEST_BACK_OFF);
        self.failures += 1;
        self.hold_until = now() + wait;
        tracing::warn!("the next process is started in {:?}", Duration::from_micros(wait));
    }
}

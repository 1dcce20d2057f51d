//! Looks at each process: is it ready, is it hung, does it leave when told, does it die when killed.

use super::{Herd, SECOND};
use crate::scoreboard::{Reason, State, now};
use crate::supervisor::process::{Phase, Step, hung, in_hand};
use crate::supervisor::stacks;

/// Between SIGABRT and SIGKILL.
const LAST_WORDS: u64 = 2 * SECOND;

impl Herd {
    pub(super) fn look_at(&mut self, index: usize, now: u64) {
        let Some(process) = self.processes.get_mut(&index) else { return };
        let Some(entry) = self.shared.board.entry(index) else { return };
        let timeout = self.config.timeout.as_micros() as u64;
        match process.phase {
            Phase::Booting => {
                let age = now.saturating_sub(process.forked);
                if entry.ready_at() > 0 && Some(entry.pid()) == process.pid {
                    process.phase = Phase::Serving;
                    let took = entry.ready_at().saturating_sub(process.forked);
                    self.shared.boot.observe(took);
                    tracing::info!(worker = index, pid = entry.pid(), boot_ms = took / 1000, "process is ready");
                    self.became_ready(index);
                } else if !self.config.boot_timeout.is_zero() && age > self.config.boot_timeout.as_micros() as u64 {
                    process.traceback = Some(super::zygotes::too_slow(&self.config));
                    self.kill(index, Reason::BootError, now);
                }
            }
            Phase::Serving | Phase::Leaving(_) if now >= self.amnesty && hung(entry, timeout, now) => {
                self.kill(index, Reason::Timeout, now);
            }
            Phase::Leaving(since) => {
                // The process cuts by itself what takes longer; this is for one that cannot any more.
                let limit = self.config.graceful_timeout.as_micros() as u64 + 2 * SECOND;
                if now.saturating_sub(since) > limit {
                    tracing::warn!(
                        worker = index,
                        in_hand = in_hand(entry),
                        "did not leave in graceful_timeout: killed"
                    );
                    process.phase = Phase::Killing { since: now, step: Step::Stacks };
                    process.signal(stacks::signal());
                }
            }
            Phase::Killing { since, step: Step::Stacks } if now.saturating_sub(since) > stacks::TIME => {
                process.phase = Phase::Killing { since: now, step: Step::Abort };
                process.signal(libc::SIGABRT);
            }
            Phase::Killing { since, step: Step::Abort } if now.saturating_sub(since) > LAST_WORDS => {
                process.phase = Phase::Killing { since: now, step: Step::Kill };
                process.signal(libc::SIGKILL);
            }
            Phase::Serving | Phase::Killing { .. } => {}
        }
    }

    pub(super) fn became_ready(&mut self, index: usize) {
        self.failures = 0;
        self.hold_until = 0;
        if self.broken == Some(self.generation) {
            // What it serves is the traceback.
            return self.proven = true;
        }
        self.printed = None;
        if let Some(changes) = &self.changes {
            changes.broken(false);
        }
        if self.processes.get(&index).is_some_and(|process| process.generation == self.generation) {
            self.proven = true;
            if self.reload.is_none() {
                self.shared.set_trouble(None);
            }
        }
    }

    /// Its Python stacks first, then SIGABRT, then SIGKILL. The mark is written first, so that whoever sees the connection break finds it.
    pub(super) fn kill(&mut self, index: usize, reason: Reason, now: u64) {
        let (Some(process), Some(entry)) = (self.processes.get_mut(&index), self.shared.board.entry(index)) else {
            return;
        };
        entry.mark_death(reason, process.pid.unwrap_or(0), now);
        if reason == Reason::Timeout {
            entry.set_state(State::Hung);
            tracing::error!(
                worker = index,
                pid = process.pid,
                in_hand = in_hand(entry),
                "hung: past its timeout; its Python stacks follow, then it is killed"
            );
        }
        process.reason = Some(reason);
        process.phase = Phase::Killing { since: now, step: Step::Stacks };
        process.signal(stacks::signal());
    }

    /// Tells a process to leave: it hands its idle connections over and finishes what it has.
    pub fn drain(&mut self, index: usize, reason: Reason) {
        let Some(process) = self.processes.get_mut(&index) else { return };
        if process.leaving() {
            return;
        }
        process.reason = Some(reason);
        let booting = process.phase == Phase::Booting;
        process.phase = Phase::Leaving(now());
        process.signal(if booting { libc::SIGKILL } else { libc::SIGTERM });
    }
}

//! What happens when a process has ended, or could not begin.

use super::{Herd, SECOND};
use crate::scoreboard::{Reason, State, now};
use crate::supervisor::EXIT_IMPORT;
use crate::supervisor::process::{End, Phase, in_hand};

impl Herd {
    /// What the kernel wants us to wait for: zygotes, and whatever outlived one.
    pub(super) fn reap(&mut self) {
        use rustix::process::{WaitOptions, wait};
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_pid() as u32;
            let entry = self.processes.iter().find(|(_, process)| process.pid == Some(pid)).map(|(entry, _)| *entry);
            if let Some(entry) = entry {
                self.ended(entry, Some(pid), End::of(status.as_raw()));
            }
        }
    }

    pub(super) fn ended(&mut self, index: usize, pid: Option<u32>, end: End) {
        if self.processes.get(&index).is_none_or(|process| process.pid.is_some() && process.pid != pid) {
            return;
        }
        let Some(entry) = self.shared.board.entry(index) else { return };
        let was = in_hand(entry);
        let uptime = now().saturating_sub(entry.ready_at());
        let kills = monodon_admin::cgroup::read().oom_kills;
        let oom = kills > self.oom_kills;
        self.oom_kills = kills;
        // Its own watchdog may have marked it before it ended itself.
        let marked = entry.death().filter(|death| Some(death.pid) == pid).map(|death| death.reason);
        let retired = entry.state() == State::Retiring;
        let asked = self.processes.get(&index).and_then(|process| process.reason);
        let booting = self.processes.get(&index).is_some_and(|process| process.phase == Phase::Booting);
        let reason = match (marked.or(asked), end) {
            (Some(reason), _) => reason,
            (None, End::Code(0)) if retired => Reason::MaxRequests,
            (None, _) if booting => Reason::BootError,
            (None, end) => end.reason(oom),
        };
        if marked.is_none() {
            entry.mark_death(reason, pid.unwrap_or(0), now());
        }
        let Some(process) = self.forget(index) else { return };
        self.shared.count_end(reason);
        let asked_for = matches!(reason, Reason::Stop | Reason::Reload | Reason::MaxRequests);
        let reason_name = reason.name();
        if asked_for && matches!(end, End::Code(0) | End::Signal(libc::SIGKILL | libc::SIGTERM)) {
            tracing::info!(worker = index, pid, reason = reason_name, "process has left");
        } else if reason != Reason::BootError {
            let memory = if reason == Reason::Oom { ": out of memory, killed by the kernel" } else { "" };
            tracing::error!(worker = index, pid, reason = reason_name, in_hand = was, "process ended by {end}{memory}");
        }
        if reason == Reason::BootError {
            let words = process.traceback.unwrap_or_else(|| format!("the process ended by {end} while it started"));
            self.boot_failed(&words, process.generation);
        } else if !asked_for && uptime < SECOND {
            // The first is replaced at once; one that dies again and again is given more and more time.
            self.failures += 1;
            if self.failures > 1 {
                self.back_off();
            }
        }
    }

    /// The application could not be imported, or died of it.
    pub(super) fn boot_failed(&mut self, words: &str, generation: u32) {
        if self.printed.as_deref() != Some(words) && self.exit.is_none() {
            eprintln!("{words}");
            self.printed = Some(words.to_owned());
        }
        if generation != self.generation || self.stop.is_some() {
            return;
        }
        let summary = words.lines().last().unwrap_or_default().to_owned();
        if self.reload.is_some() && !self.proven {
            self.reload_failed(&summary);
        } else if self.proven {
            self.failures += 1;
            self.back_off();
            self.shared.set_trouble(Some(format!("a process cannot start: {summary}")));
        } else if self.exit.is_none() {
            eprintln!("monodon-worker: the application {:?} cannot be imported", self.config.app);
            self.exit = Some(EXIT_IMPORT);
            self.stop_now();
        }
    }
}

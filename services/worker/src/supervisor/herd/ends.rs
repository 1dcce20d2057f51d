//! What happens when a process has ended, or could not begin.

use super::{Herd, SECOND};
use crate::scoreboard::{Reason, State, now};
use crate::supervisor::process::{End, Phase, in_hand};
use crate::supervisor::status::{Obituary, REMEMBERED};
use crate::supervisor::{EXIT_IMPORT, oom};
use crate::sys;

impl Herd {
    /// What the kernel wants us to wait for: zygotes, and whatever outlived one.
    pub(super) fn reap(&mut self) {
        while let Some((pid, status, peak)) = sys::reap() {
            let end = End::of(status);
            if self.successor_ended(pid, end) {
                continue;
            }
            let entry = self.processes.iter().find(|(_, process)| process.pid == Some(pid)).map(|(entry, _)| *entry);
            if let Some(entry) = entry {
                self.unhear(entry);
                self.ended(entry, Some(pid), end, peak);
            }
            let lost = self.lost_zygotes.iter().position(|zygote| *zygote == pid);
            let lives = self.zygotes.iter().find(|zygote| zygote.pid == pid);
            if (lost.is_some() || lives.is_some_and(|zygote| zygote.late.is_none())) && end != End::Code(0) {
                let oom = end == End::Signal(libc::SIGKILL) && self.oom.explain();
                let why = if oom { format!(": {}", out_of_memory(peak)) } else { String::new() };
                tracing::error!(pid, "the zygote ended by {end}{why}");
            }
            if let Some(place) = lost {
                self.lost_zygotes.swap_remove(place);
            }
        }
    }

    /// Kills for memory that were not of a process of ours.
    pub(super) fn tell_of_kills(&mut self, now: u64) {
        let others = self.oom.others(now);
        if others > 0 {
            tracing::warn!(
                "the kernel has killed {others} more of this container for memory, started by the application"
            );
        }
    }

    pub(super) fn ended(&mut self, index: usize, pid: Option<u32>, end: End, peak: u64) {
        let Some(process) = self.processes.get(&index).filter(|one| one.pid.is_none() || one.pid == pid) else {
            return;
        };
        let Some(entry) = self.shared.board.entry(index) else { return };
        let was = in_hand(entry);
        let uptime = now().saturating_sub(entry.ready_at());
        // Its own watchdog may have marked it before it ended itself.
        let marked = entry.death().filter(|death| Some(death.pid) == pid).map(|death| death.reason);
        let retired = entry.retiring_for().filter(|_| entry.state() == State::Retiring);
        let (asked, booting) = (process.reason, process.phase == Phase::Booting);
        let foreign = end == End::Signal(libc::SIGKILL) && marked.is_none() && !process.killed.get();
        let oom = foreign && self.oom.explain();
        let reason = match (marked.or(asked), retired) {
            _ if oom => Reason::Oom,
            (Some(reason), _) => reason,
            (None, Some(reason)) if end == End::Code(0) => reason,
            _ if booting => Reason::BootError,
            _ => end.reason(),
        };
        if marked.is_none() {
            entry.mark_death(reason, pid.unwrap_or(0), now());
        }
        let Some(process) = self.forget(index) else { return };
        self.shared.count_end(reason);
        let words = was.clone().unwrap_or_else(|| end.to_string());
        self.remember(Obituary { worker: index, pid, reason: reason.name(), at: now(), words });
        let why = if oom { format!(": {}", out_of_memory(peak)) } else { String::new() };
        let reason_name = reason.name();
        if reason.is_orderly() && matches!(end, End::Code(0) | End::Signal(libc::SIGKILL | libc::SIGTERM)) {
            tracing::info!(worker = index, pid, reason = reason_name, "process has left");
        } else if reason != Reason::BootError {
            tracing::error!(
                worker = index,
                pid,
                reason = reason_name,
                in_hand = was,
                peak_rss = peak,
                "process ended by {end}{why}"
            );
        }
        if reason == Reason::BootError || booting && reason == Reason::Oom {
            let died = || format!("the process ended by {end} while it started{why}");
            self.boot_failed(&process.traceback.unwrap_or_else(died), process.hook, process.generation);
        } else if !reason.is_orderly() && uptime < SECOND {
            // The first is replaced at once; one that dies again and again is given more and more time.
            self.failures += 1;
            if self.failures > 1 {
                self.back_off();
            }
        }
    }

    fn remember(&mut self, one: Obituary) {
        if self.ended.len() >= REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back(one);
    }

    /// A traceback that many processes have.
    pub fn print_once(&mut self, words: &str) {
        if self.printed.as_deref() != Some(words) && self.exit.is_none() {
            eprintln!("{words}");
            self.printed = Some(words.to_owned());
        }
    }

    /// Nothing that was is held against what comes.
    pub fn begin_anew(&mut self) {
        self.failures = 0;
        self.hold_until = 0;
        self.printed = None;
        self.broken = None;
    }

    /// The application could not be imported, or died of it; or a hook has failed, which may ask for an exit code.
    pub(super) fn boot_failed(&mut self, words: &str, hook: Option<u8>, generation: u32) {
        self.print_once(words);
        if generation != self.generation || self.stop.is_some() {
            return;
        }
        let summary = words.lines().last().unwrap_or_default().to_owned();
        if self.reload.is_some() && !self.proven {
            self.reload_failed(&summary);
        } else if self.proven || self.changes.is_some() && hook.is_none() {
            self.failures += 1;
            self.back_off();
            self.shared.set_trouble(Some(format!("a process cannot start: {summary}")));
        } else if self.exit.is_none() {
            if hook.is_none() {
                eprintln!("monodon-worker: the application {:?} cannot be imported", self.config.app);
            }
            self.exit = Some(hook.unwrap_or(EXIT_IMPORT));
            self.stop_now();
        }
    }
}

fn out_of_memory(peak: u64) -> String {
    oom::words(peak, monodon_admin::cgroup::read().memory_limit)
}

//! Stopping: `/readyz` fails at once, for `shutdown_delay` everything goes on, then the sockets close and what runs is
//! finished; a second signal, or SIGINT and SIGQUIT, are quick.

use std::sync::atomic::Ordering::Relaxed;

use super::herd::Herd;
use super::process::Phase;
use super::zygote::Order;
use crate::scoreboard::{Reason, now};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Draining begins at this time.
    Announced(u64),
    Draining,
    /// Killed at this time.
    Quick(u64),
}

/// What a quick stop leaves a process.
const QUICK: u64 = 1_000_000;
/// What the zygote has for `on_exit`, and for what the application has registered by `atexit` under `--preload`.
const LAST_HOOKS: u64 = 10_000_000;

impl Herd {
    pub fn stop_gracefully(&mut self) {
        match self.stop {
            None => {
                let delay = self.config.shutdown_delay;
                tracing::info!("stopping: no longer ready, draining in {} s", delay.as_secs_f32());
                self.stop = Some(Stop::Announced(now() + delay.as_micros() as u64));
                self.shared.draining.store(true, Relaxed);
                self.shared.board.set_draining(true);
            }
            Some(_) => self.stop_now(),
        }
    }

    pub fn stop_now(&mut self) {
        if matches!(self.stop, Some(Stop::Quick(_))) {
            return;
        }
        self.shared.draining.store(true, Relaxed);
        self.shared.board.set_draining(true);
        self.stop = Some(Stop::Quick(now() + QUICK));
        self.close();
        for process in self.processes.values_mut() {
            let booting = process.phase == Phase::Booting;
            process.reason.get_or_insert(Reason::Stop);
            process.phase = Phase::Leaving(now());
            process.signal(if booting { libc::SIGKILL } else { libc::SIGQUIT });
        }
    }

    fn close(&mut self) {
        let alone = self.upgrade.alone();
        self.listeners.close(alone);
        if let Some(reload) = &mut self.reload {
            reload.close(alone);
        }
        for zygote in &self.zygotes {
            zygote.tell(&Order::Close { close: true });
        }
        self.shared.board.set_serving(0);
    }

    /// Nobody is left to hand a connection to.
    pub fn leaving_all(&self) -> bool {
        matches!(self.stop, Some(Stop::Draining | Stop::Quick(_)))
    }

    /// True while processes are still to be kept in number.
    pub fn stop_step(&mut self, now: u64) -> bool {
        match self.stop {
            None => true,
            Some(Stop::Announced(at)) if now < at => true,
            Some(Stop::Announced(_)) => {
                self.stop = Some(Stop::Draining);
                self.close();
                for index in self.processes.keys().copied().collect::<Vec<_>>() {
                    self.drain(index, Reason::Stop);
                }
                false
            }
            Some(Stop::Draining) => false,
            Some(Stop::Quick(at)) => {
                if now >= at {
                    self.processes.values().for_each(|process| process.signal(libc::SIGKILL));
                }
                false
            }
        }
    }

    /// The exit code, once nobody is left: the zygotes go last, with `on_exit`.
    pub fn finished(&mut self) -> Option<u8> {
        if !self.leaving_all() || !self.processes.is_empty() {
            return None;
        }
        let now = now();
        let since = *self.last_hooks.get_or_insert(now);
        for zygote in &mut self.zygotes {
            if !zygote.ending {
                let in_charge = zygote.in_charge;
                zygote.end(in_charge);
            } else if now.saturating_sub(since) > LAST_HOOKS {
                tracing::error!(pid = zygote.pid, "on_exit, or what is to run at Python's end, takes too long: killed");
                zygote.signal(libc::SIGKILL);
            }
        }
        if !self.zygotes.is_empty() {
            return None;
        }
        if self.exit.is_none() {
            tracing::info!("stopped");
        }
        Some(self.exit.unwrap_or(0))
    }
}

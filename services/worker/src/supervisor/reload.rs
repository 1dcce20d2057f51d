//! Reload: a new zygote of the next generation; its processes must be ready before old ones leave, and when it cannot
//! import the application, everything stays as it was.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use tokio::sync::oneshot;

use super::control::{self, Command};
use super::herd::Herd;
use super::sockets::Listeners;
use super::{Event, Start};
use crate::config::Config;
use crate::load::{Loaded, load};
use crate::scoreboard::Reason;

/// What to return to when the new generation fails.
pub struct Reload {
    generation: u32,
    breeder: Option<u64>,
    config: Arc<Config>,
    wanted: usize,
    exports: Vec<(String, String)>,
    listeners: Listeners,
    waiting: Vec<oneshot::Sender<Result<String, String>>>,
}

impl Reload {
    /// The worker stops in the midst of it.
    pub fn close(&mut self, alone: bool) {
        self.listeners.close(alone);
    }

    /// How many processes there were.
    pub fn wanted(&self) -> usize {
        self.wanted
    }
}

impl Herd {
    pub fn reload(&mut self, waiter: Option<oneshot::Sender<Result<String, String>>>) {
        if self.stop.is_some() {
            return control::answer(waiter, Err("the worker is stopping".to_owned()));
        }
        if let Some(reload) = &mut self.reload {
            // What changed after the running one began must not be missed: another follows.
            self.reload_again = true;
            reload.waiting.extend(waiter);
            return;
        }
        if !self.proven {
            return control::answer(waiter, Err("the worker has not finished starting".to_owned()));
        }
        let Start { arguments, python, folder, .. } = &self.start;
        let Loaded { config, exports, warnings, .. } = match load(arguments, python, folder) {
            Ok(loaded) => loaded,
            Err(problems) => {
                tracing::error!("not reloaded, the configuration is wrong: {problems}");
                self.shared.reload_failures.fetch_add(1, Relaxed);
                self.shared.set_trouble(Some(format!("the last reload was refused: {problems}")));
                return control::answer(waiter, Err(problems.to_string()));
            }
        };
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let config = self.acceptable(config);
        let listeners = match self.listeners.renewed(&config) {
            Ok(listeners) => listeners,
            Err(message) => {
                tracing::error!("not reloaded: {message}");
                self.shared.reload_failures.fetch_add(1, Relaxed);
                self.shared.set_trouble(Some(format!("the last reload was refused: {message}")));
                return control::answer(waiter, Err(message));
            }
        };
        self.reload = Some(Reload {
            generation: self.generation,
            breeder: self.breeder.take(),
            config: std::mem::replace(&mut self.config, Arc::new(config)),
            wanted: self.wanted,
            exports: std::mem::replace(&mut self.start.exports, exports),
            listeners: std::mem::replace(&mut self.listeners, listeners),
            waiting: waiter.into_iter().collect(),
        });
        if self.config.workers != self.reload.as_ref().map_or(0, |before| before.config.workers) {
            self.wanted = self.config.workers;
        }
        if self.wanted == 0 {
            // SIGWINCH has sent all of them away.
            self.wanted = self.config.workers;
        }
        self.generation = self.next_generation();
        self.proven = false;
        tracing::info!(generation = self.generation, "reloading");
        self.start_zygote();
    }

    pub fn next_generation(&self) -> u32 {
        let latest = self.processes.values().map(|process| process.generation).max().unwrap_or(0);
        let zygotes = self.zygotes.iter().map(|zygote| zygote.generation).max().unwrap_or(0);
        latest.max(zygotes).max(self.generation) + 1
    }

    /// Shared memory and what the supervisor is asked by stay as they are; what would need others is said and left.
    pub fn acceptable(&self, mut config: Config) -> Config {
        let before = &self.config;
        let kept = [("admin", config.admin != before.admin), ("control", config.control != before.control)];
        for (name, _) in kept.iter().filter(|(_, changed)| *changed) {
            tracing::warn!("{name} has changed: that needs a restart, the old value stays");
        }
        config.admin = before.admin;
        config.control.clone_from(&before.control);
        let most = self.most();
        if config.workers > most {
            tracing::warn!("more than {most} processes need a restart; {most} it is");
            config.workers = most;
        }
        config
    }

    /// As many as the scoreboard holds with room for a reload.
    pub fn most(&self) -> usize {
        (self.shared.board.entries().len() / 2).max(1)
    }

    pub fn reload_step(&mut self) {
        let Some(reload) = &self.reload else { return };
        if self.proven {
            if let Some(old) = reload.breeder {
                self.dismiss(old);
                if let Some(reload) = &mut self.reload {
                    reload.breeder = None;
                }
            }
            let fresh = self.processes.values().filter(|one| one.generation == self.generation);
            let ready = fresh.filter(|one| one.phase == super::process::Phase::Serving).count();
            let old = self.processes.values().any(|one| one.generation != self.generation);
            if ready >= self.wanted && !old {
                self.reload_done();
            }
        }
    }

    fn reload_done(&mut self) {
        let Some(mut reload) = self.reload.take() else { return };
        if reload.config.bind != self.config.bind {
            tracing::info!("listening on {}", self.listeners.addresses().join(", "));
        }
        reload.listeners.close_but(&self.listeners, self.upgrade.alone());
        self.renew_mechanics();
        self.shared.reloads.fetch_add(1, Relaxed);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.shared.reloaded.store(since.as_secs(), Relaxed);
        self.shared.set_trouble(None);
        // Not before it is so.
        tracing::info!(generation = self.generation, "reloaded");
        if std::mem::take(&mut self.reload_again) {
            self.reload(None);
            if let Some(next) = &mut self.reload {
                next.waiting = reload.waiting;
                return;
            }
        }
        for waiter in reload.waiting {
            control::answer(Some(waiter), Ok(format!("reloaded: generation {}", self.generation)));
        }
    }

    /// Back to the generation that serves.
    pub fn reload_failed(&mut self, why: &str) {
        let Some(reload) = self.reload.take() else { return };
        tracing::error!("not reloaded, the processes that serve go on: {why}");
        let failed = self.generation;
        if let Some(id) = self.breeder {
            self.dismiss(id);
        }
        self.generation = reload.generation;
        self.breeder = reload.breeder.filter(|id| self.zygotes.iter().any(|zygote| zygote.id == *id));
        self.config = reload.config;
        self.wanted = reload.wanted;
        self.start.exports = reload.exports;
        std::mem::replace(&mut self.listeners, reload.listeners).close_but(&self.listeners, self.upgrade.alone());
        self.proven = true;
        self.reload_again = false;
        let broken = self.processes.iter().filter(|(_, process)| process.generation == failed);
        for index in broken.map(|(index, _)| *index).collect::<Vec<_>>() {
            self.drain(index, Reason::BootError);
        }
        self.shared.reload_failures.fetch_add(1, Relaxed);
        self.shared.set_trouble(Some(format!("the last reload failed, the generation before it serves: {why}")));
        for waiter in reload.waiting {
            control::answer(Some(waiter), Err(format!("not reloaded: {why}")));
        }
    }

    pub fn command(&mut self, command: Command) {
        match command {
            Command::Reload(waiter) => self.reload(Some(waiter)),
            Command::Dump(pid, waiter) => self.dump(pid, waiter),
            Command::Status(pss, waiter) => {
                let _ = waiter.send(self.status(pss));
            }
        }
    }
}

impl From<Command> for Event {
    fn from(command: Command) -> Self {
        Event::Control(command)
    }
}

//! The zygotes of the herd: started, heard, dismissed, given up on.

use std::io::ErrorKind;
use std::os::fd::AsFd;

use super::Herd;
use crate::supervisor::Event;
use crate::supervisor::process::End;
use crate::supervisor::stacks;
use crate::supervisor::zygote::{AppMetricsNames, Inherited, Message, Zygote};

impl Herd {
    /// Starts a zygote of the wanted generation, with the configuration as it is now.
    pub fn start_zygote(&mut self) {
        let (writer, stacks) = match self.stacks_pipe(format!("the zygote of generation {}", self.generation)) {
            Ok(pipe) => pipe,
            Err(error) => {
                tracing::error!("no pipe for a zygote: {error}");
                return self.back_off();
            }
        };
        let place = (0..).find(|place| self.zygotes.iter().all(|zygote| zygote.place != *place)).unwrap_or_default();
        let inherited = Inherited {
            stacks: stacks.as_fd(),
            listeners: self.listeners.fds(),
            handover: [self.handover.0.as_fd(), self.handover.1.as_fd()],
            scoreboard: self.shared.board.fd(),
            alive: self.alive.as_fd(),
            app_metrics: self.shared.app_metrics.get().map(|metrics| AppMetricsNames {
                folder: metrics.folder().to_owned(),
                zygote: format!("z{place}{}", metrics.tag()),
                tag: metrics.tag().to_owned(),
            }),
        };
        let id = self.next_zygote;
        self.next_zygote += 1;
        let role = self.role(place);
        match Zygote::start(id, role, writer, &self.config, &self.start, &inherited) {
            Ok(zygote) => {
                let (ear, events) = (zygote.ear(), self.events.clone());
                tokio::task::spawn_local(async move {
                    while let Some(message) = ear.hear().await {
                        if events.send(Event::Zygote(id, message)).is_err() {
                            return;
                        }
                    }
                    let _ = events.send(Event::ZygoteGone(id));
                });
                tracing::debug!(pid = zygote.pid, generation = self.generation, "zygote started");
                self.zygotes.push(zygote);
                self.breeder = Some(id);
            }
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) => {
                let python = self.start.python.first().map(|program| program.display().to_string()).unwrap_or_default();
                let who = self.config.mechanics.owner.as_ref().map_or(String::new(), |owner| {
                    format!("; user {} has to be able to execute it, and this process to become that user", owner.uid)
                });
                self.boot_failed(&format!("{python} cannot be started: {error}{who}"), Some(1), self.generation);
            }
            Err(error) => {
                tracing::error!("the zygote cannot be started: {error}");
                self.back_off();
            }
        }
    }

    pub(super) fn told(&mut self, id: u64, message: Message) {
        match message {
            Message::Up { threads, hooks, python, .. } => {
                self.python = Some(python);
                if let Some(zygote) = self.zygotes.iter_mut().find(|zygote| zygote.id == id) {
                    zygote.up = true;
                    zygote.hooks = hooks;
                }
                if !threads.is_empty() {
                    tracing::warn!(
                        threads = threads.join(", "),
                        "importing the application has started threads, which no forked process has; start them in the \
                         processes instead, or do without --preload"
                    );
                }
            }
            Message::Failed { failed, hook } => {
                self.boot_failed(&failed, hook, self.generation_of(id));
                self.dismiss(id);
            }
            Message::AppMetrics { app_metrics } => {
                if let Some(metrics) = self.shared.app_metrics.get() {
                    metrics.also(app_metrics);
                }
            }
            Message::ForkFailed { fork_failed, error, hook: Some(code) } => {
                self.forget(fork_failed);
                self.boot_failed(&error, Some(code), self.generation_of(id));
            }
            Message::ForkFailed { fork_failed, error, .. } => {
                tracing::error!(entry = fork_failed, "a process cannot be forked: {error}");
                self.forget(fork_failed);
                self.back_off();
            }
            Message::BootFailed { boot_failed, pid, traceback, hook } => {
                if let Some(process) = self.processes.get_mut(&boot_failed) {
                    process.pid = Some(pid);
                    process.traceback = Some(traceback);
                    process.hook = hook;
                }
            }
            Message::Files { files } => self.imported(files),
            Message::Broken { broken } => self.broken(&broken, self.generation_of(id)),
            Message::Forked { forked, pid, notes } => {
                if let Some(process) = self.processes.get_mut(&forked) {
                    process.pid = Some(pid);
                    process.notes = notes;
                    // It was told to go before it was known by its number.
                    if process.leaving() {
                        process.signal(libc::SIGKILL);
                    }
                }
            }
            Message::TookOver { .. } => {
                if let Some(zygote) = self.zygotes.iter_mut().find(|zygote| zygote.id == id) {
                    zygote.taking_over = false;
                }
            }
            Message::PreExecuted { pre_executed: true } => self.start_successor(),
            Message::PreExecuted { .. } => tracing::error!("no new supervisor is started: pre_exec has failed"),
            Message::Scale { scale } => self.scale(scale),
            Message::Signal { signal } => self.signal_of_a_hook(signal),
            Message::Exited { exited, entry, status, peak_kb } => {
                self.ended(entry, Some(exited), End::of(status), peak_kb << 10);
            }
        }
    }

    pub(super) fn generation_of(&self, id: u64) -> u32 {
        self.zygotes.iter().find(|zygote| zygote.id == id).map_or(0, |zygote| zygote.generation)
    }

    /// A zygote ends, for another is there; its processes are adopted.
    pub fn dismiss(&mut self, id: u64) {
        if let Some(zygote) = self.zygotes.iter_mut().find(|zygote| zygote.id == id) {
            zygote.end(false);
        }
        if self.breeder == Some(id) {
            self.breeder = None;
        }
    }

    pub(super) fn zygote_gone(&mut self, id: u64) {
        let Some(place) = self.zygotes.iter().position(|zygote| zygote.id == id) else { return };
        let zygote = self.zygotes.remove(place);
        if let Some(metrics) = self.shared.app_metrics.get() {
            metrics.left(&format!("z{}", zygote.place));
        }
        if zygote.late.is_none() {
            self.lost_zygotes.push(zygote.pid);
        }
        if self.breeder == Some(id) {
            self.breeder = None;
            if self.stop.is_none() {
                tracing::error!(pid = zygote.pid, "the zygote has ended unasked; processes that serve go on");
                if !zygote.up {
                    let died = || "the process that imports the application (the zygote) has died of it".to_owned();
                    self.boot_failed(&zygote.late.unwrap_or_else(died), None, zygote.generation);
                }
            }
        }
    }

    /// With `--preload` it is the zygote that may take too long to import the application.
    pub(super) fn watch_zygotes(&mut self, now: u64) {
        let limit = self.config.boot_timeout.as_micros() as u64;
        let slow = |zygote: &&mut Zygote| !zygote.up && now.saturating_sub(zygote.started) > limit;
        for zygote in self.zygotes.iter_mut().filter(|zygote| limit > 0 && zygote.late.is_none()).filter(slow) {
            zygote.late = Some(too_slow(&self.config));
            zygote.late_at = now;
            zygote.signal(stacks::signal());
        }
        let dumped = |zygote: &&mut Zygote| zygote.late.is_some() && now.saturating_sub(zygote.late_at) > stacks::TIME;
        for zygote in self.zygotes.iter_mut().filter(dumped) {
            zygote.signal(libc::SIGKILL);
        }
    }
}

pub fn too_slow(config: &crate::config::Config) -> String {
    let limit = config.boot_timeout.as_secs_f64();
    format!("importing the application took longer than boot_timeout ({limit} s)")
}

//! The processes and their zygotes: what is there, what happens to it, and what to do next.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::plan::{Action, Seen, plan};
use super::process::{End, Phase, Process, hung, in_hand};
use super::reload::Reload;
use super::shared::Shared;
use super::sockets::Listeners;
use super::stop::Stop;
use super::zygote::{Inherited, Message, Zygote};
use super::{BRISK, CALM, Event, Start};
use crate::config::Config;
use crate::scoreboard::{Reason, State, now};

const SECOND: u64 = 1_000_000;
/// Between SIGABRT and SIGKILL.
const LAST_WORDS: u64 = 2 * SECOND;
const LONGEST_BACK_OFF: u64 = 30 * SECOND;

pub struct Herd {
    pub config: Arc<Config>,
    pub start: Start,
    pub events: UnboundedSender<Event>,
    pub shared: Arc<Shared>,
    pub listeners: Listeners,
    pub wanted: usize,
    pub zygotes: Vec<Zygote>,
    /// The zygote that forks now; none while one is awaited.
    pub breeder: Option<u64>,
    pub generation: u32,
    /// A process of this generation has become ready: from then on, failures are waited out instead of given up on.
    pub proven: bool,
    pub reload: Option<Reload>,
    pub reload_again: bool,
    pub stop: Option<Stop>,
    pub processes: BTreeMap<usize, Process>,
    /// Entries that no process holds; the one that has been free longest is taken first.
    free: VecDeque<usize>,
    handover: (OwnedFd, OwnedFd),
    alive: OwnedFd,
    /// Held open as long as we live.
    _hold: OwnedFd,
    next_zygote: u64,
    /// No process and no zygote is started before this.
    hold_until: u64,
    failures: u32,
    oom_kills: Option<u64>,
    /// When everything was looked at last, and until when nobody is called hung.
    stepped: u64,
    amnesty: u64,
    pub exit: Option<u8>,
    /// The last traceback that was printed, so that many processes print it once.
    printed: Option<String>,
}

impl Herd {
    #[allow(clippy::too_many_arguments, reason = "one call, where all of it is made")]
    pub fn new(
        config: Config,
        start: Start,
        events: UnboundedSender<Event>,
        shared: Arc<Shared>,
        listeners: Listeners,
        handover: (OwnedFd, OwnedFd),
        alive: OwnedFd,
        hold: OwnedFd,
    ) -> Self {
        let entries = shared.board.entries().len();
        Self {
            wanted: config.workers,
            config: Arc::new(config),
            start,
            events,
            shared,
            listeners,
            zygotes: Vec::new(),
            breeder: None,
            generation: 1,
            proven: false,
            reload: None,
            reload_again: false,
            stop: None,
            processes: BTreeMap::new(),
            free: (0..entries).collect(),
            handover,
            alive,
            _hold: hold,
            next_zygote: 1,
            hold_until: 0,
            failures: 0,
            oom_kills: monodon_admin::cgroup::read().oom_kills,
            stepped: now(),
            amnesty: 0,
            exit: None,
            printed: None,
        }
    }

    /// Starts a zygote of the wanted generation, with the configuration as it is now.
    pub fn start_zygote(&mut self) {
        let inherited = Inherited {
            listeners: self.listeners.fds(),
            handover: [self.handover.0.as_fd(), self.handover.1.as_fd()],
            scoreboard: self.shared.board.fd(),
            alive: self.alive.as_fd(),
        };
        let id = self.next_zygote;
        self.next_zygote += 1;
        let (python, exports) = (&self.start.python, &self.start.exports);
        match Zygote::start(id, self.generation, &self.config, python, exports, &inherited) {
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
            Err(error) => {
                tracing::error!("the zygote cannot be started: {error}");
                self.back_off();
            }
        }
    }

    pub fn handle(&mut self, event: Event) {
        match event {
            Event::Zygote(id, message) => self.told(id, message),
            Event::ZygoteGone(id) => self.zygote_gone(id),
            Event::Signal(signal) => self.signal(signal),
            Event::Control(command) => self.command(command),
        }
    }

    fn told(&mut self, id: u64, message: Message) {
        match message {
            Message::Up { threads, .. } => {
                if let Some(zygote) = self.zygotes.iter_mut().find(|zygote| zygote.id == id) {
                    zygote.up = true;
                }
                if !threads.is_empty() {
                    tracing::warn!(
                        threads = threads.join(", "),
                        "importing the application has started threads, which no forked process has; start them in the \
                         processes instead, or do without --preload"
                    );
                }
            }
            Message::Failed { failed } => {
                self.boot_failed(&failed, self.generation_of(id));
                self.dismiss(id);
            }
            Message::ForkFailed { fork_failed, error } => {
                tracing::error!(entry = fork_failed, "a process cannot be forked: {error}");
                self.forget(fork_failed);
                self.back_off();
            }
            Message::BootFailed { boot_failed, pid, traceback } => {
                if let Some(process) = self.processes.get_mut(&boot_failed) {
                    process.pid = Some(pid);
                    process.traceback = Some(traceback);
                }
            }
            Message::Forked { forked, pid } => {
                if let Some(process) = self.processes.get_mut(&forked) {
                    process.pid = Some(pid);
                    // It was told to go before it was known by its number.
                    if process.leaving() {
                        process.signal(libc::SIGKILL);
                    }
                }
            }
            Message::Exited { exited, entry, status } => self.ended(entry, Some(exited), End::of(status)),
        }
    }

    fn generation_of(&self, id: u64) -> u32 {
        self.zygotes.iter().find(|zygote| zygote.id == id).map_or(0, |zygote| zygote.generation)
    }

    /// A zygote forks no more.
    pub fn dismiss(&mut self, id: u64) {
        if let Some(zygote) = self.zygotes.iter().find(|zygote| zygote.id == id) {
            zygote.leave();
        }
        if self.breeder == Some(id) {
            self.breeder = None;
        }
    }

    fn zygote_gone(&mut self, id: u64) {
        let Some(place) = self.zygotes.iter().position(|zygote| zygote.id == id) else { return };
        let zygote = self.zygotes.remove(place);
        if self.breeder == Some(id) {
            self.breeder = None;
            if self.stop.is_none() {
                tracing::error!(pid = zygote.pid, "the zygote has ended unasked; processes that serve go on");
                if !zygote.up {
                    let words =
                        zygote.late.unwrap_or("the process that imports the application (the zygote) has died of it");
                    self.boot_failed(words, zygote.generation);
                }
            }
        }
    }

    /// What the kernel wants us to wait for: zygotes, and whatever outlived one.
    fn reap(&mut self) {
        use rustix::process::{WaitOptions, wait};
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_pid() as u32;
            let entry = self.processes.iter().find(|(_, process)| process.pid == Some(pid)).map(|(entry, _)| *entry);
            if let Some(entry) = entry {
                self.ended(entry, Some(pid), End::of(status.as_raw()));
            }
        }
    }

    /// Looks at everything once, and does what has to be done.
    pub fn step(&mut self) {
        self.reap();
        let now = now();
        // If we were not running ourselves (a paused container), nobody was: they get time to catch up.
        if now.saturating_sub(self.stepped) > SECOND {
            self.amnesty = now + 2 * SECOND;
        }
        self.stepped = now;
        for entry in self.processes.keys().copied().collect::<Vec<_>>() {
            self.look_at(entry, now);
        }
        self.watch_zygotes(now);
        self.reload_step();
        if self.stop_step(now) {
            self.breed(now);
        }
        self.publish();
    }

    /// With `--preload` it is the zygote that may take too long to import the application.
    fn watch_zygotes(&mut self, now: u64) {
        let limit = self.config.boot_timeout.as_micros() as u64;
        let slow = |zygote: &&mut Zygote| !zygote.up && now.saturating_sub(zygote.started) > limit;
        for zygote in self.zygotes.iter_mut().filter(|zygote| limit > 0 && zygote.late.is_none()).filter(slow) {
            zygote.late = Some("importing the application took longer than boot_timeout");
            zygote.kill();
        }
    }

    fn look_at(&mut self, index: usize, now: u64) {
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
                    let limit = self.config.boot_timeout.as_secs();
                    process.traceback =
                        Some(format!("importing the application took longer than boot_timeout ({limit} s)"));
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
                    process.phase = Phase::Killing { since: now, last: true };
                    process.signal(libc::SIGKILL);
                }
            }
            Phase::Killing { since, last: false } if now.saturating_sub(since) > LAST_WORDS => {
                process.phase = Phase::Killing { since, last: true };
                process.signal(libc::SIGKILL);
            }
            Phase::Serving | Phase::Killing { .. } => {}
        }
    }

    fn became_ready(&mut self, index: usize) {
        self.failures = 0;
        self.hold_until = 0;
        self.printed = None;
        if self.processes.get(&index).is_some_and(|process| process.generation == self.generation) {
            self.proven = true;
            if self.reload.is_none() {
                self.shared.set_trouble(None);
            }
        }
    }

    /// The mark is written first, so that whoever sees the connection break finds it.
    fn kill(&mut self, index: usize, reason: Reason, now: u64) {
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
                "hung: past its timeout, killed"
            );
        }
        process.reason = Some(reason);
        process.phase = Phase::Killing { since: now, last: false };
        process.signal(libc::SIGABRT);
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

    /// Forks and drains as the plan says.
    fn breed(&mut self, now: u64) {
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
        for action in plan(&seen, self.wanted, self.config.reload_surge) {
            match action {
                Action::Fork if now >= self.hold_until => self.fork(),
                Action::Fork => {}
                Action::Drain(entry, reason) => self.drain(entry, reason),
            }
        }
    }

    fn seen(&self, index: usize, process: &Process) -> Option<Seen> {
        let state = self.shared.board.entry(index)?.state();
        Some(Seen {
            entry: index,
            age: now().saturating_sub(process.forked),
            current: process.generation == self.generation,
            ready: process.phase == Phase::Serving,
            retiring: state == State::Retiring,
            leaving: process.leaving(),
        })
    }

    fn fork(&mut self) {
        let Some(zygote) = self.zygotes.iter().find(|zygote| Some(zygote.id) == self.breeder && zygote.up) else {
            return;
        };
        let Some(index) = self.free.pop_front() else { return };
        // Before the zygote is told: the new process may be ready before this one runs on, and says so in its entry.
        let entry = self.shared.board.entry(index);
        if let Some(entry) = entry {
            entry.begin(0, self.generation, now());
        }
        if let Err(error) = zygote.fork(index) {
            tracing::error!("the zygote cannot be told to fork: {error}");
            if let Some(entry) = entry {
                entry.release();
            }
            self.free.push_front(index);
            return self.back_off();
        }
        let process = Process {
            pid: None,
            generation: self.generation,
            forked: now(),
            phase: Phase::Booting,
            reason: None,
            traceback: None,
        };
        self.processes.insert(index, process);
    }

    fn forget(&mut self, index: usize) -> Option<Process> {
        let process = self.processes.remove(&index)?;
        if let Some(entry) = self.shared.board.entry(index) {
            entry.release();
        }
        self.free.push_back(index);
        Some(process)
    }

    fn ended(&mut self, index: usize, pid: Option<u32>, end: End) {
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
    fn boot_failed(&mut self, words: &str, generation: u32) {
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
            self.exit = Some(super::EXIT_IMPORT);
            self.stop_now();
        }
    }

    fn back_off(&mut self) {
        let wait = (SECOND / 2).saturating_mul(1 << self.failures.min(8)).min(LONGEST_BACK_OFF);
        self.failures += 1;
        self.hold_until = now() + wait;
        tracing::warn!("the next process is started in {:?}", Duration::from_micros(wait));
    }

    /// What the workers and the admin port read.
    fn publish(&self) {
        let board = &self.shared.board;
        let serving = self.processes.iter().filter(|(_, process)| process.phase == Phase::Serving);
        let (count, slots) = serving.fold((0, 0), |(count, slots), (index, _)| {
            (count + 1, slots + board.entry(*index).map_or(0, crate::scoreboard::Entry::slots))
        });
        board.set_serving(if self.leaving_all() { 0 } else { count });
        board.set_slots(slots);
        self.shared.generation.store(u64::from(self.generation), Relaxed);
        self.shared.wanted.store(self.wanted as u64, Relaxed);
    }

    pub fn pause(&self) -> Duration {
        let settled = self.processes.values().all(|process| process.phase == Phase::Serving)
            && self.reload.is_none()
            && self.stop.is_none()
            && self.breeder.is_some()
            && self.processes.len() >= self.wanted;
        if settled { CALM } else { BRISK }
    }
}

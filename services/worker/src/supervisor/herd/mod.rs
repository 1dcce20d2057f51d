//! The processes and their zygotes: what is there, what happens to it, and what to do next.

mod breed;
mod ends;
mod hooks;
mod watch;
mod zygotes;

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::develop::Changes;
use super::oom::Kills;
use super::pidfile::Pidfile;
use super::process::{Phase, Process};
use super::reload::Reload;
use super::shared::Shared;
use super::sockets::Listeners;
use super::stacks::{self, Dump, Writer};
use super::status::Obituary;
use super::stop::Stop;
use super::systemd::Notifier;
use super::upgrade::Upgrade;
use super::zygote::{Adopted, Zygote};
use super::{BRISK, CALM, Event, Start};
use crate::config::Config;
use crate::scoreboard::now;

const SECOND: u64 = 1_000_000;

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
    /// A hook has asked for the end: the signal that may come beside it is not a second one.
    pub stopped_by_hook: bool,
    /// Since when only zygotes are left.
    pub last_hooks: Option<u64>,
    pub processes: BTreeMap<usize, Process>,
    /// Entries that no process holds; the one that has been free longest is taken first.
    free: VecDeque<usize>,
    pub handover: (OwnedFd, OwnedFd),
    pub alive: OwnedFd,
    /// Held open as long as we live.
    _hold: OwnedFd,
    next_zygote: u64,
    next_writer: Writer,
    pub dumps: Vec<Dump>,
    /// The last ends, for `status`.
    pub ended: VecDeque<Obituary>,
    /// The interpreter's version.
    pub python: Option<String>,
    pub since: u64,
    /// Processes forked so far.
    age: u64,
    /// Processes whose end no zygote has heard of.
    unheard: Vec<Adopted>,
    /// With `--reload`.
    pub changes: Option<Changes>,
    /// The generation that shows a traceback instead of the application.
    pub broken: Option<u32>,
    /// No process and no zygote is started before this.
    hold_until: u64,
    failures: u32,
    oom: Kills,
    /// Zygotes that are gone and not reaped yet.
    lost_zygotes: Vec<u32>,
    /// When everything was looked at last, and until when nobody is called hung.
    stepped: u64,
    amnesty: u64,
    pub exit: Option<u8>,
    /// The last traceback that was printed, so that many processes print it once.
    printed: Option<String>,
    pub pidfile: Option<Pidfile>,
    pub upgrade: Upgrade,
    pub notifier: Notifier,
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
            stopped_by_hook: false,
            last_hooks: None,
            processes: BTreeMap::new(),
            free: (0..entries).collect(),
            handover,
            alive,
            _hold: hold,
            next_zygote: 1,
            next_writer: 1,
            dumps: Vec::new(),
            ended: VecDeque::new(),
            python: None,
            since: now(),
            age: 0,
            unheard: Vec::new(),
            changes: None,
            broken: None,
            hold_until: 0,
            failures: 0,
            oom: Kills::new(),
            lost_zygotes: Vec::new(),
            stepped: now(),
            amnesty: 0,
            exit: None,
            printed: None,
            pidfile: None,
            upgrade: Upgrade::default(),
            notifier: Notifier::new(None),
        }
    }

    /// A pipe for the Python stacks of a new process.
    fn stacks_pipe(&mut self, name: String) -> std::io::Result<(Writer, OwnedFd)> {
        let writer = self.next_writer;
        self.next_writer += 1;
        Ok((writer, stacks::listen(writer, name, &self.events)?))
    }

    pub fn handle(&mut self, event: Event) {
        match event {
            Event::Zygote(id, message) => self.told(id, message),
            Event::ZygoteGone(id) => self.zygote_gone(id),
            Event::Signal(signal) => self.signal(signal),
            Event::Changed(files) => self.changed(&files),
            Event::Control(command) => self.command(command),
            Event::SuccessorServes(pid) => self.successor_serves(pid),
            Event::Stacks { writer, name, text } => self.stacks(writer, &name, &text),
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
        self.watch_dumps(now);
        self.tell_of_kills(now);
        self.hand_over();
        self.upgrade_step();
        self.reload_step();
        if self.stop_step(now) {
            self.breed(now);
        }
        self.publish();
        self.notify();
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
        self.shared.set_backlogs(self.listeners.backlogs());
        self.shared.generation.store(u64::from(self.generation), Relaxed);
        self.shared.wanted.store(self.wanted as u64, Relaxed);
    }

    pub fn pause(&self) -> Duration {
        let settled = self.processes.values().all(|process| process.phase == Phase::Serving)
            && self.reload.is_none()
            && self.stop.is_none()
            && self.breeder.is_some()
            && self.processes.len() >= self.wanted;
        let pause = if settled { CALM } else { BRISK };
        self.notifier.longest_pause().map_or(pause, |longest| pause.min(Duration::from_micros(longest)))
    }
}

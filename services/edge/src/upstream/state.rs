//! What is told of an upstream's addresses: by `/readyz`, the metrics, and whoever prints them.

use super::Shared;
use super::address::{Address, Kind};
use super::health::{DRAINING, EJECTED, FULL};

/// One address for `/readyz`.
#[derive(Clone, Debug)]
pub struct AddressStatus {
    pub address: String,
    pub up: bool,
    pub reason: Option<String>,
}

/// All that is known of one address.
#[derive(Clone, Debug, serde::Serialize)]
pub struct AddressState {
    pub address: String,
    pub state: State,
    /// Why, where it gets no requests.
    pub reason: Option<String>,
    pub backup: bool,
    pub weight: u32,
    /// Percent of its weight, while a slow start is under way.
    pub slow_start: Option<u32>,
    /// What it announces; none where it says nothing of slots, or nothing yet.
    pub slots: Option<u32>,
    /// Requests at once.
    pub limit: u32,
    pub busy: u32,
    /// Failures in a row.
    pub fails: u32,
    /// How often it was left out for failures, not yet forgiven.
    pub ejections: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Up,
    /// Connections fail.
    Down,
    /// Its check says no.
    NotReady,
    /// For its failures.
    Ejected,
    Draining,
    /// By its `down` in the configuration.
    Off,
}

impl State {
    pub const ALL: [&'static str; 6] = ["up", "down", "not_ready", "ejected", "draining", "off"];

    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::NotReady => "not_ready",
            Self::Ejected => "ejected",
            Self::Draining => "draining",
            Self::Off => "off",
        }
    }
}

impl AddressState {
    fn of(address: &Address, not_ready: Option<&String>) -> Self {
        let (state, reason) = if let Some(reason) = not_ready {
            (State::NotReady, Some(reason.clone()))
        } else if address.is_down() {
            (State::Down, Some("connections fail".to_owned()))
        } else if address.health.has(EJECTED) {
            (State::Ejected, Some("left out for its failures".to_owned()))
        } else if address.health.has(DRAINING) {
            (State::Draining, None)
        } else {
            (State::Up, None)
        };
        let ramp = address.health.ramp();
        Self {
            address: address.label.clone(),
            state,
            reason,
            backup: address.role.backup,
            weight: address.role.weight,
            slow_start: (ramp < FULL).then_some(ramp * 100 / FULL),
            slots: (address.kind() == Kind::Slotted).then(|| address.limit()),
            limit: address.limit(),
            busy: address.busy(),
            fails: address.health.fails(),
            ejections: address.health.ejections(),
        }
    }
}

impl Shared {
    /// Every address of the upstream as it is now.
    pub fn snapshot(&self) -> Vec<AddressState> {
        let inner = self.live.control.lock();
        let mut all: Vec<_> =
            inner.known.iter().map(|known| AddressState::of(&known.address, known.reason.as_ref())).collect();
        drop(inner);
        for server in self.settings.servers.iter().filter(|server| server.down) {
            all.push(AddressState {
                address: server.address.to_string(),
                state: State::Off,
                reason: None,
                backup: server.backup,
                weight: server.weight,
                slow_start: None,
                slots: None,
                limit: 0,
                busy: 0,
                fails: 0,
                ejections: 0,
            });
        }
        // That one is drained is no trouble while others take its requests.
        if self.live.queue.list.load().is_drained() {
            for one in all.iter_mut().filter(|one| matches!(one.state, State::Draining | State::Off)) {
                let why = "drained or `down`, and so is every other server of the upstream: requests are refused";
                one.reason = Some(why.into());
            }
        }
        all
    }

    /// For `/readyz`: what should get requests, and whether it can.
    pub fn status(&self) -> Vec<AddressStatus> {
        let states = self.snapshot().into_iter().filter(|one| one.state != State::Off || one.reason.is_some());
        let mut all: Vec<_> = states
            .map(|one| AddressStatus { address: one.address, up: one.reason.is_none(), reason: one.reason })
            .collect();
        if let Some(problem) = &self.live.control.lock().problem {
            let (name, why) = problem.split_once(": ").unwrap_or((problem, "cannot be resolved"));
            all.push(AddressStatus { address: name.to_owned(), up: false, reason: Some(format!("DNS: {why}")) });
        }
        all
    }
}

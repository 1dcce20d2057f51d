//! One address of an upstream: its permits (one a slot, decision 4) and what is known of it. All data threads share it
//! through atomics.

use super::capacity::{ANY, Capacity};
use super::health::{DOWN, DRAINING, Health, Rules};
use super::process::Process;
use super::queue::Queue;
use crate::config::{Balance, FailOn};
use http::StatusCode;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use super::capacity::Kind;
pub use super::permit::Permit;
pub use super::process::ProcessHeader;

/// Requests at once to an upstream whose first answer does not come, after the careful time (see `open_up`).
const CAREFUL_LIMIT: u32 = 16;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What became of a request, where that speaks against the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fail {
    /// The connection was refused or broke.
    Error,
    Timeout,
    InvalidHeader,
}

/// What the configuration says of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub weight: u32,
    pub backup: bool,
    pub drain: bool,
    /// Requests at once where it does not say how many slots it has.
    pub max_connections: u32,
    /// Requests at once, whatever it says.
    pub max_conns: Option<u32>,
    pub rules: Rules,
    pub fail_on: Arc<FailOn>,
    pub balance: Balance,
    /// The value of the sticky cookie that leads here.
    pub token: Option<[u8; 16]>,
}

/// A handle on a server: what it can do and how it does is one for all handles.
#[derive(Clone)]
pub struct Address {
    pub id: u64,
    pub target: Target,
    pub label: String,
    pub role: Role,
    pub health: Arc<Health>,
    /// Of its label, for consistent hashing: the same in every edge.
    pub seed: u64,
    capacity: Arc<Capacity>,
    queue: Arc<Queue>,
}

impl Address {
    pub fn new(id: u64, target: Target, role: Role, queue: Arc<Queue>) -> Self {
        let label = target.to_string();
        Self {
            id,
            target,
            health: Arc::new(Health::new(role.rules, role.drain)),
            seed: super::choice::hash(label.as_bytes()),
            label,
            role,
            capacity: Arc::default(),
            queue,
        }
    }

    /// The same server where the configuration says something else of it: requests that are there go on counting, and idle
    /// connections are good. By other rules its failures are counted anew; who is drained stays so until he is put back.
    pub fn in_role(&self, role: Role) -> Self {
        let health = if role.rules == self.role.rules {
            self.health.clone()
        } else {
            Arc::new(Health::new(role.rules, self.health.has(DRAINING)))
        };
        Self { role, health, ..self.clone() }
    }

    /// The same server, which had left the list: what it told of itself holds, and its requests that still run go on counting.
    pub fn returned(self, before: &Self) -> Self {
        Self { capacity: before.capacity.clone(), ..self }
    }

    pub fn kind(&self) -> Kind {
        self.capacity.kind()
    }

    /// Requests at once.
    pub fn limit(&self) -> u32 {
        match self.capacity.told() {
            ANY => self.max_connections(),
            told => self.bounded(told),
        }
    }

    pub fn busy(&self) -> u32 {
        self.capacity.busy()
    }

    pub fn is_free(&self) -> bool {
        self.busy() < self.limit()
    }

    pub(super) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Slots to reckon the queue's length by; generous before any are known.
    pub fn queue_share(&self) -> usize {
        let slots = if self.kind() == Kind::Unknown { self.max_connections() } else { self.limit() };
        slots as usize
    }

    /// Requests that wait for this server and no other.
    pub(super) fn line(&self) -> &AtomicUsize {
        &self.capacity.waiting
    }

    fn max_connections(&self) -> u32 {
        self.bounded(self.role.max_connections.max(1))
    }

    fn bounded(&self, limit: u32) -> u32 {
        self.role.max_conns.map_or(limit, |most| limit.min(most))
    }

    /// Slots of one process, as it last said.
    pub fn slots_of(&self, entry: u32) -> u32 {
        self.process(entry).map_or(1, Process::slots)
    }

    pub(super) fn process(&self, entry: u32) -> Option<&Process> {
        self.capacity.process(entry)
    }

    /// One of the address's permits; which process it goes to is settled by [`Permit::bind`].
    pub fn take(self: &Arc<Self>) -> Option<Permit> {
        self.capacity.take(self.limit()).then(|| Permit::new(self.clone()))
    }

    pub(super) fn give_back(&self) {
        self.capacity.give_back();
    }

    /// Answers while it was unknown.
    pub fn heads(&self) -> u64 {
        self.capacity.heads.load(Ordering::Relaxed)
    }

    /// An answer's head has come; `None` where it says nothing of processes.
    pub fn learn(&self, said: Option<ProcessHeader>, status: StatusCode) {
        if self.role.fail_on.statuses.contains(&status.as_u16()) {
            self.strike();
        } else {
            self.health.fine();
        }
        if self.kind() == Kind::Unknown {
            self.capacity.heads.fetch_add(1, Ordering::Relaxed);
        }
        let more = match said {
            Some(said) => {
                if let Some(process) = self.process(said.entry) {
                    process.learn(said.slots);
                }
                self.capacity.learn(Kind::Slotted, said.all)
            }
            // A worker's answer without the header (a watchdog's last words) takes nothing back.
            None if self.kind() == Kind::Slotted => false,
            None => self.capacity.learn(Kind::Foreign, ANY),
        };
        self.pass_if(more);
    }

    /// Control thread: the first request has been out for long without an answer. A foreign server that is asked for
    /// something slow must not stop the site.
    pub fn open_up(&self) {
        if self.kind() == Kind::Unknown {
            self.pass_if(self.capacity.learn(Kind::Unknown, CAREFUL_LIMIT.min(self.max_connections())));
        }
    }

    /// What the same server had told of itself elsewhere before a reload: a worker that is known for one is not a stranger
    /// again, to whom one request at a time is sent and whose resets tell nothing.
    pub fn remember(&self, before: &Self) {
        if self.kind() == Kind::Unknown {
            self.pass_if(self.capacity.copy(&before.capacity));
        }
    }

    fn pass_if(&self, more: bool) {
        if more {
            self.queue.pass();
        }
    }

    pub fn is_down(&self) -> bool {
        self.health.has(DOWN)
    }

    /// A connection failed. True when this is news.
    pub fn failed(&self) -> bool {
        self.health.refuse()
    }

    /// A connection or a check worked. True when this is news.
    pub fn works(&self) -> bool {
        let news = self.health.works();
        if news {
            self.queue.pass();
        }
        news
    }

    /// A request failed here.
    pub fn fail(&self, fail: Fail) {
        let fail_on = &self.role.fail_on;
        let counts = match fail {
            Fail::Error => fail_on.error,
            Fail::Timeout => fail_on.timeout,
            Fail::InvalidHeader => fail_on.invalid_header,
        };
        if counts {
            self.strike();
        }
    }

    fn strike(&self) {
        if self.health.fail(super::health::now()) {
            let panics = self.queue.list.load().weigh();
            tracing::warn!(upstream = %self.label, panics, "upstream address is left out for its failures");
        }
    }

    /// What its share of the requests is measured by, with the slow start in it.
    pub fn weight(&self) -> u64 {
        u64::from(self.role.weight) * u64::from(self.health.ramp())
    }

    /// How busy it is, to compare addresses by: by its slots, or by requests alone.
    pub fn load(&self) -> u64 {
        let slots = if self.role.balance == Balance::LeastConn { 1 } else { u64::from(self.limit().max(1)) };
        (u64::from(self.busy()) << 30) / (slots * self.weight()).max(1)
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
pub(super) mod tests;

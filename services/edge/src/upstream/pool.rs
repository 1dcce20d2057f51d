//! One data thread's connections. Each thread has its own and covers every process with them: a connection's I/O
//! belongs to the runtime that opened it, so lending it to another core would cost two wake-ups across cores for each
//! request, where opening one more costs once.

use super::address::{Address, Fail, Kind, Permit};
use super::choice::Turns;
use super::connect::{Connection, Ends, Link};
use super::http1::Wire;
use super::http2;
use super::inflight::{self, InFlight};
use super::list::Own;
use super::queue::Queue;
use super::{Shared, UpstreamError};
use crate::drain::Drain;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};

/// Idle connections kept to an upstream that says nothing of slots.
const FOREIGN_IDLE: usize = 64;
/// Connections that one thread opens at the same time; small servers have backlogs of five or ten.
const CONNECTING: usize = 8;
/// Budget of second sendings: what one costs, how many may come at once at the start, the most that are saved up. What
/// a request adds is the setting's percentage.
const CREDIT_RETRY: u32 = 100;
const CREDIT_START: u32 = 10 * CREDIT_RETRY;
const CREDIT_MOST: u32 = 100 * CREDIT_RETRY;

pub struct Pool {
    pub shared: Arc<Shared>,
    pub shard: Arc<super::metrics::Shard>,
    pub drain: Drain,
    pub(super) list: RefCell<Own>,
    idle: RefCell<Vec<(u64, Vec<Connection>)>>,
    /// Of HTTP/2: the address, when a request was last put on it, the connection.
    sessions: RefCell<Vec<(u64, Instant, http2::Session)>>,
    pub(super) turns: Turns,
    credit: Cell<u32>,
    sweeping: Cell<bool>,
    connecting: Semaphore,
    /// To the second, which is all that idle connections need.
    now: Cell<Instant>,
    /// Requests whose clients have left, to be taken over by the sweeper's task: a drop may happen where no task can
    /// be started.
    orphans: RefCell<Vec<InFlight>>,
    nudge: Rc<Notify>,
}

/// A permit, and the connection to use it with where one was idle.
pub struct Lease {
    pub permit: Permit,
    pub connection: Option<Connection>,
    /// In the queue.
    pub waited: Duration,
}

impl Pool {
    pub fn new(shared: Arc<Shared>, drain: Drain) -> Rc<Self> {
        let shard = shared.live.metrics.shard();
        let list = RefCell::new(Own::new(&shared.live.queue.list));
        let budget = shared.settings.balancing.retry_budget;
        Rc::new(Self {
            shared,
            shard,
            drain,
            list,
            idle: RefCell::default(),
            sessions: RefCell::default(),
            turns: Turns::default(),
            credit: Cell::new(if budget == 0 { 0 } else { CREDIT_START }),
            sweeping: Cell::new(false),
            connecting: Semaphore::new(CONNECTING),
            now: Cell::new(Instant::now()),
            orphans: RefCell::default(),
            nudge: Rc::default(),
        })
    }

    pub(super) fn queue(&self) -> &Arc<Queue> {
        &self.shared.live.queue
    }

    /// A request begins: it adds to the budget of second sendings.
    pub fn begin(self: &Rc<Self>) {
        let budget = self.shared.settings.balancing.retry_budget;
        self.credit.set((self.credit.get() + budget).min(CREDIT_MOST));
        self.keep_sweeping();
    }

    fn keep_sweeping(self: &Rc<Self>) {
        if !self.sweeping.replace(true) {
            tokio::task::spawn_local(sweep(Rc::downgrade(self), self.nudge.clone()));
        }
    }

    /// The idle connections of the pool that a reload has replaced: the addresses are the same.
    pub fn take_over(self: &Rc<Self>, before: &Self) {
        self.idle.replace(before.idle.take());
        self.sessions.replace(before.sessions.take());
        self.keep_sweeping();
    }

    /// May a request be sent a second time?
    pub fn spend_retry(&self) -> bool {
        let credit = self.credit.get();
        if credit >= CREDIT_RETRY {
            self.credit.set(credit - CREDIT_RETRY);
        }
        credit >= CREDIT_RETRY
    }

    /// A request that was sent to this address has failed.
    pub fn failed(&self, id: u64, fail: Fail) {
        if let Some(address) = self.list.borrow_mut().load().all.iter().find(|address| address.id == id) {
            address.fail(fail);
        }
    }

    pub(super) fn with_connection(&self, mut permit: Permit, ends: Option<Ends>) -> Lease {
        let connection = self.idle_for(&mut permit, ends);
        Lease { permit, connection, waited: Duration::ZERO }
    }

    /// The idle connection used last whose process has a free slot. Without one a new connection is the answer: the
    /// worker's idle process is the one that accepts it.
    fn idle_for(&self, permit: &mut Permit, ends: Option<Ends>) -> Option<Connection> {
        let id = permit.address().id;
        if self.shared.transport.http2 {
            return self.place_on_session(id);
        }
        let mut idle = self.idle.borrow_mut();
        let (_, connections) = idle.iter_mut().find(|(of, _)| *of == id)?;
        let mut at = connections.len();
        while at > 0 {
            at -= 1;
            let candidate = connections.get_mut(at)?;
            if !candidate.is_open(self.now.get()) {
                connections.remove(at);
            } else if candidate.client == ends && candidate.entry.is_none_or(|entry| permit.try_bind(entry)) {
                return Some(connections.remove(at));
            }
        }
        None
    }

    fn place_on_session(&self, id: u64) -> Option<Connection> {
        let mut sessions = self.sessions.borrow_mut();
        let at = sessions.iter().position(|(of, _, session)| *of == id && session.is_open())?;
        let (_, used, session) = sessions.get_mut(at)?;
        *used = self.now.get();
        Some(Connection::new(Link::Two(Box::new(http2::Exchange::new(session.clone())))))
    }

    /// A new connection for this permit, or one that has become idle while others were being opened: a crowd that
    /// comes at once must not overflow the application's backlog.
    pub async fn connect(&self, permit: &mut Permit, ends: Option<Ends>) -> Result<Connection, UpstreamError> {
        let _turn = match self.connecting.try_acquire() {
            Ok(turn) => turn,
            Err(_) => {
                let turn = self.connecting.acquire().await;
                if let Some(connection) = self.idle_for(permit, ends) {
                    return Ok(connection);
                }
                // Those before have found out that nobody is there: who can go elsewhere does not find it out again.
                let down = permit.address().is_down();
                if down && self.list.borrow_mut().load().candidates().any(|other| other.id != permit.address().id) {
                    return Err(UpstreamError::Connect(std::io::Error::other(
                        "the address went down while others were being connected",
                    )));
                }
                turn.map_err(|_| UpstreamError::Reset)?
            }
        };
        let address = permit.address();
        match self.open(address, ends).await {
            Ok(connection) => {
                if address.works() {
                    tracing::info!(upstream = %address.label, "upstream answers again");
                }
                Ok(connection)
            }
            Err(error) => {
                if address.failed() {
                    tracing::warn!(upstream = %address.label, %error, "upstream cannot be reached");
                }
                Err(UpstreamError::Connect(error))
            }
        }
    }

    async fn open(&self, address: &Arc<Address>, ends: Option<Ends>) -> std::io::Result<Connection> {
        let transport = &self.shared.transport;
        let stream = transport.open(&address.target, self.shared.settings.connect, ends).await?;
        if transport.http2 {
            let session = http2::Session::open(stream, self.shared.live.metrics.opened()).await?;
            self.sessions.borrow_mut().push((address.id, self.now.get(), session.clone()));
            return Ok(Connection::new(Link::Two(Box::new(http2::Exchange::new(session)))));
        }
        let mut connection = Connection::new(Link::One(Box::new(Wire::new(stream))));
        connection.client = ends;
        connection.open = Some(self.shared.live.metrics.opened());
        Ok(connection)
    }

    /// Keep a connection whose answer has been read. Call it before the permit goes back, so that whoever waits for
    /// the permit finds the connection.
    pub fn put(&self, address: &Arc<Address>, mut connection: Connection) {
        connection.timer.clear();
        // One whose request was answered before all of it was sent is closed: what the rest would be taken for, nobody knows.
        if connection.is_reusable() {
            connection.rest();
            connection.used = self.now.get();
            self.keep(address, connection);
        }
    }

    fn keep(&self, address: &Arc<Address>, connection: Connection) {
        if !self.list.borrow_mut().load().is_ready(address.id) {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let at = idle.iter().position(|(id, _)| *id == address.id).unwrap_or_else(|| {
            idle.push((address.id, Vec::new()));
            idle.len() - 1
        });
        let Some((_, connections)) = idle.get_mut(at) else { return };
        let (alike, most) = match (address.kind(), connection.entry) {
            (Kind::Slotted, Some(entry)) => (
                connections.iter().filter(|other| other.entry == Some(entry)).count(),
                address.slots_of(entry) as usize,
            ),
            _ => (connections.len(), FOREIGN_IDLE),
        };
        // More connections to one process than it has slots would only be in the way of the others.
        if alike < most {
            connections.push(connection);
        }
    }

    /// A process has died: none of its connections is of any use.
    pub fn forget(&self, address: &Arc<Address>, entry: u32) {
        if let Some((_, connections)) = self.idle.borrow_mut().iter_mut().find(|(id, _)| *id == address.id) {
            connections.retain(|one| one.entry != Some(entry));
        }
    }

    fn let_go(&self) {
        self.now.set(Instant::now());
        let mut own = self.list.borrow_mut();
        let list = own.load();
        let idle = self.shared.settings.idle;
        self.idle.borrow_mut().retain_mut(|(id, connections)| {
            if list.is_ready(*id) {
                connections.retain_mut(|one| one.used.elapsed() < idle && one.is_open(one.used));
            } else {
                connections.clear();
            }
            !connections.is_empty()
        });
        // Requests that are on one keep it as long as they last.
        self.sessions
            .borrow_mut()
            .retain(|(id, used, session)| list.is_ready(*id) && session.is_open() && used.elapsed() < idle);
    }

    /// A request whose client has left runs on.
    pub fn adopt(&self, orphan: InFlight) {
        self.orphans.borrow_mut().push(orphan);
        self.nudge.notify_one();
    }

    pub fn idle_count(&self) -> usize {
        let kept: usize = self.idle.borrow().iter().map(|(_, connections)| connections.len()).sum();
        kept + self.sessions.borrow().len()
    }
}

/// Takes over what clients have left behind, and lets go, every second, of connections that are old, closed, or lead to
/// an address that is leaving.
async fn sweep(pool: Weak<Pool>, nudge: Rc<Notify>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let tick = tokio::select! {
            _ = ticks.tick() => true,
            () = nudge.notified() => false,
        };
        let Some(pool) = pool.upgrade() else { return };
        for orphan in pool.orphans.take() {
            tokio::task::spawn_local(inflight::outlive(orphan));
        }
        if tick {
            pool.let_go();
        }
    }
}

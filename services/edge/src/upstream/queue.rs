//! The queue of an upstream (decision 4): bounded, first come first served over all data threads. Who waits for one
//! certain address, or has come out of a bulkhead, stands in nobody's way, and takes nobody's place.
//!
//! Nobody touches its lock while permits are free: a thread looks at one atomic counter.

use super::address::{Address, Permit};
use super::choice;
use super::list::List;
use arc_swap::ArcSwap;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

pub struct Queue {
    pub list: Arc<ArcSwap<List>>,
    /// Those that take any address.
    plain: AtomicUsize,
    /// Those that want one certain address; each address counts its own, too.
    choosy: AtomicUsize,
    /// Only the first is always there: of those that take any address at all.
    lines: Mutex<Vec<Line>>,
    /// Numbers in the order of arrival.
    next: AtomicU64,
    /// How many may wait for each slot; a reload may change it.
    per_slot: AtomicUsize,
}

/// Whose permit will do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Only this address's, for as long as it can be used; then any.
    pub address: Option<u64>,
    /// The request belongs there: also while that is emptied.
    pub own: bool,
    /// Of these only where there is no other.
    pub avoid: Vec<u64>,
}

impl Wish {
    /// The one address, if it can be used.
    pub fn of<'l>(&self, list: &'l List) -> Option<&'l Arc<Address>> {
        list.usable(self.address?, self.own)
    }
}

struct Line {
    wish: Wish,
    /// By their numbers.
    waiters: VecDeque<Waiter>,
}

struct Waiter {
    number: u64,
    sender: oneshot::Sender<Permit>,
}

/// Why there was no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Full,
    Timeout,
    /// Nobody is left who could serve it.
    Drained,
}

impl Queue {
    pub fn new(per_slot: usize) -> Self {
        Self {
            list: Arc::default(),
            plain: AtomicUsize::new(0),
            choosy: AtomicUsize::new(0),
            lines: Mutex::new(vec![Line { wish: Wish::default(), waiters: VecDeque::new() }]),
            next: AtomicU64::new(0),
            per_slot: AtomicUsize::new(per_slot),
        }
    }

    pub fn per_slot(&self) -> usize {
        self.per_slot.load(Ordering::Relaxed)
    }

    pub fn set_per_slot(&self, per_slot: usize) {
        self.per_slot.store(per_slot, Ordering::Relaxed);
    }

    /// Those that wait for a slot; who waits for his route's bulkhead is not among them.
    pub fn waiting(&self) -> usize {
        self.plain() + self.choosy.load(Ordering::SeqCst)
    }

    /// Of them, those that take any address.
    pub fn plain(&self) -> usize {
        self.plain.load(Ordering::SeqCst)
    }

    /// Slots of all addresses that are in use now.
    pub fn slots(&self) -> u32 {
        self.list.load().candidates().map(|address| address.limit()).fold(0, u32::saturating_add)
    }

    /// A place in the order of arrival.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Wait for a permit. Who is dropped while waiting leaves the queue.
    pub async fn wait(&self, timeout: Duration, wish: Wish, number: Option<u64>) -> Result<Permit, Refused> {
        let _place = self.place(&wish).ok_or(Refused::Full)?;
        let (sender, receiver) = oneshot::channel();
        self.enter(wish, number, sender);
        // A permit may have come back between our last look and our entry, or the last address been drained.
        self.pass();
        match tokio::time::timeout(timeout, receiver).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(Refused::Drained),
            Err(_) => Err(Refused::Timeout),
        }
    }

    /// So many may wait for each slot. Who waits for one address is counted there: one that hangs fills a line of its own.
    fn place(&self, wish: &Wish) -> Option<Place<'_>> {
        let list = self.list.load();
        let only = wish.address.and_then(|id| list.all.iter().find(|address| address.id == id)).cloned();
        let (line, slots) = match &only {
            Some(address) => (address.line(), address.queue_share()),
            None => (&self.plain, list.candidates().map(|address| address.queue_share()).sum()),
        };
        let most = slots.max(1).saturating_mul(self.per_slot());
        let enter = |waiting| (waiting < most).then_some(waiting + 1);
        line.fetch_update(Ordering::SeqCst, Ordering::SeqCst, enter).ok()?;
        self.choosy.fetch_add(usize::from(only.is_some()), Ordering::SeqCst);
        Some(Place { queue: self, only })
    }

    fn enter(&self, wish: Wish, number: Option<u64>, sender: oneshot::Sender<Permit>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let at = lines.iter().position(|line| line.wish == wish).unwrap_or_else(|| {
            lines.push(Line { wish, waiters: VecDeque::new() });
            lines.len() - 1
        });
        let Some(Line { waiters, .. }) = lines.get_mut(at) else { return };
        // Places of clients that left are swept when they are the majority, so a stuck upstream costs no memory.
        if waiters.len() > 64 && waiters.len() > self.waiting() * 2 {
            waiters.retain(|waiter| !waiter.sender.is_closed());
        }
        let waiter = Waiter { number: number.unwrap_or_else(|| self.number()), sender };
        // Who comes out of a bulkhead keeps the place of his arrival.
        let place = match waiters.back() {
            Some(last) if last.number > waiter.number => waiters.partition_point(|other| other.number < waiter.number),
            _ => waiters.len(),
        };
        waiters.insert(place, waiter);
    }

    /// Give free permits to those who wait longest; refuse those for whom there will be none.
    pub fn pass(&self) {
        if self.waiting() == 0 {
            return;
        }
        let list = self.list.load();
        if list.is_drained() {
            self.refuse(&list);
        }
        // While all is busy, which is when there is a queue, no lock is taken for finding that out. (Who is drained is no
        // candidate, but may be wanted.)
        while self.choosy.load(Ordering::SeqCst) > 0 || list.candidates().any(|address| address.is_free()) {
            let served = {
                let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
                serve(&mut lines, &list)
            };
            match served {
                // Outside the lock: a permit that nobody takes any more comes back here by its drop.
                Some((sender, permit)) => drop(sender.send(permit)),
                None => return,
            }
        }
    }

    /// Nobody is served any more but who belongs to an address that can still be used.
    fn refuse(&self, list: &List) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let hopeless = lines.iter_mut().filter(|line| line.wish.of(list).is_none());
        // That their senders are dropped is what they are told by.
        hopeless.for_each(|line| line.waiters.clear());
    }
}

/// Whoever came first of those for whom there is a permit.
fn serve(lines: &mut Vec<Line>, list: &List) -> Option<(oneshot::Sender<Permit>, Permit)> {
    for line in lines.iter_mut() {
        while line.waiters.front().is_some_and(|waiter| waiter.sender.is_closed()) {
            line.waiters.pop_front();
        }
    }
    lines.retain(|line| line.wish == Wish::default() || !line.waiters.is_empty());
    let mut after = None;
    loop {
        // The line whose first has waited longest of those not tried yet.
        let numbered = lines.iter_mut().filter_map(|line| Some((line.waiters.front()?.number, line)));
        let (number, line) = numbered
            .filter(|(number, _)| after.is_none_or(|after| *number > after))
            .min_by_key(|(number, _)| *number)?;
        // An address that cannot be used any more is wanted no more.
        let permit = match line.wish.of(list) {
            Some(address) => address.take(),
            None => choice::least_loaded(list, &line.wish.avoid),
        };
        if let Some(permit) = permit {
            return line.waiters.pop_front().map(|waiter| (waiter.sender, permit));
        }
        after = Some(number);
    }
}

struct Place<'a> {
    queue: &'a Queue,
    only: Option<Arc<Address>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        match &self.only {
            Some(address) => {
                address.line().fetch_sub(1, Ordering::SeqCst);
                self.queue.choosy.fetch_sub(1, Ordering::SeqCst);
            }
            None => {
                self.queue.plain.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
pub(super) mod tests;

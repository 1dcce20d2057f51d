//! Bulkheads: a route may be held to some of its upstream's slots, so that slow pages never take all of them.
//!
//! A request of such a route first takes a place in its bulkhead, then a permit of an address. Who waits for a place is
//! not in the upstream's queue yet, so he stands in nobody's way; when he gets one he queues where he would stand had he
//! queued at once. A route without `max_slots` comes here only to be measured, where another's is `auto`.

use super::learn::Learned;
use super::queue::{Queue, Refused};
use crate::config::MaxSlots;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// One route's way to an upstream.
pub struct Lane {
    pub site: String,
    /// None: what no route takes.
    pub route: Option<String>,
    pub max: MaxSlots,
    queue: Arc<Queue>,
    /// Its own; or the one that all slow routes share.
    bulkhead: Option<Arc<Bulkhead>>,
    pub meter: Meter,
    pub learned: Learned,
}

/// What a route does; written by all threads.
#[derive(Default)]
pub struct Meter {
    /// Requests of it that wait for a place.
    pub waiting: AtomicUsize,
    /// Requests of it that hold a slot.
    pub holding: AtomicU32,
    /// Had to wait for a place, and for how long.
    pub waited: AtomicU64,
    pub waited_micros: AtomicU64,
    pub full: AtomicU64,
    pub timeout: AtomicU64,
}

impl Lane {
    pub fn new(
        site: String,
        route: Option<String>,
        max: MaxSlots,
        bulkhead: Option<Arc<Bulkhead>>,
        queue: Arc<Queue>,
    ) -> Self {
        Self { site, route, max, queue, bulkhead, meter: Meter::default(), learned: Learned::default() }
    }

    /// The status page's requests, for example, go elsewhere.
    pub fn is_of(&self, queue: &Arc<Queue>) -> bool {
        Arc::ptr_eq(&self.queue, queue)
    }

    /// The bulkhead that holds it now.
    pub fn bulkhead(&self) -> Option<&Arc<Bulkhead>> {
        self.bulkhead.as_ref().filter(|_| self.max != MaxSlots::Auto || self.learned.is_slow())
    }

    /// A place, if one is free or none is needed.
    pub fn enter(self: &Arc<Self>) -> Option<Held> {
        let place = match self.bulkhead() {
            None => None,
            Some(bulkhead) => Some(bulkhead.take()?),
        };
        Some(self.held(place, None))
    }

    /// Wait for a place. Who is dropped while waiting leaves the line.
    pub async fn wait(self: &Arc<Self>, timeout: Duration) -> Result<Held, Refused> {
        let Some(bulkhead) = self.bulkhead() else { return Ok(self.held(None, None)) };
        let number = self.queue.number();
        let began = Instant::now();
        self.meter.waiting.fetch_add(1, Ordering::Relaxed);
        let waits = Waits(&self.meter);
        let place = bulkhead.wait(timeout).await;
        drop(waits);
        self.meter.waited.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.meter.waited_micros.fetch_add(micros, Ordering::Relaxed);
        match place {
            Ok(place) => Ok(self.held(Some(place), Some(number))),
            Err(refused) => {
                self.shed(refused);
                Err(refused)
            }
        }
    }

    /// A request of it was not served.
    pub fn shed(&self, refused: Refused) {
        let count = match refused {
            Refused::Full => &self.meter.full,
            Refused::Timeout => &self.meter.timeout,
            // No fault of its bulkhead.
            Refused::Drained => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn held(self: &Arc<Self>, place: Option<Place>, number: Option<u64>) -> Held {
        Held { lane: self.clone(), number, begun: None, _place: place }
    }
}

struct Waits<'a>(&'a Meter);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request's place, and the measuring of how long it holds its slot. Goes back when dropped.
pub struct Held {
    lane: Arc<Lane>,
    /// Where it stands in the upstream's queue, if it had to wait for its place.
    pub number: Option<u64>,
    begun: Option<Instant>,
    _place: Option<Place>,
}

impl Held {
    /// It has its slot now.
    pub fn begin(mut self) -> Self {
        self.begun = Some(Instant::now());
        self.lane.meter.holding.fetch_add(1, Ordering::Relaxed);
        self
    }

    pub fn shed(&self, refused: Refused) {
        self.lane.shed(refused);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(begun) = self.begun {
            self.lane.meter.holding.fetch_sub(1, Ordering::Relaxed);
            self.lane.learned.add(begun.elapsed());
        }
    }
}

/// So many requests at once and no more; the rest stand in line.
pub struct Bulkhead {
    max: MaxSlots,
    queue: Arc<Queue>,
    held: AtomicU32,
    waiting: AtomicUsize,
    line: Mutex<VecDeque<oneshot::Sender<Place>>>,
}

impl Bulkhead {
    pub fn new(max: MaxSlots, queue: Arc<Queue>) -> Arc<Self> {
        Arc::new(Self { max, queue, held: AtomicU32::new(0), waiting: AtomicUsize::new(0), line: Mutex::default() })
    }

    /// Requests at once, by the slots that the upstream has now.
    pub fn most(&self) -> u32 {
        let slots = self.queue.slots();
        match self.max {
            MaxSlots::Off => u32::MAX,
            MaxSlots::Number(number) => number,
            MaxSlots::Share(share) => {
                let most = u64::from(slots) * u64::from(share) / 100;
                u32::try_from(most).unwrap_or(u32::MAX)
            }
            // One in four stays free; of fewer than four, one.
            MaxSlots::Auto => slots.saturating_sub((slots / 4).max(1)),
        }
        .max(1)
    }

    pub fn held(&self) -> u32 {
        self.held.load(Ordering::Relaxed)
    }

    fn take(self: &Arc<Self>) -> Option<Place> {
        if self.waiting.load(Ordering::SeqCst) > 0 { None } else { self.take_any() }
    }

    fn take_any(self: &Arc<Self>) -> Option<Place> {
        let most = self.most();
        let take = |held| (held < most).then_some(held + 1);
        self.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).ok().map(|_| Place(self.clone()))
    }

    async fn wait(self: &Arc<Self>, timeout: Duration) -> Result<Place, Refused> {
        let capacity = (self.most() as usize).saturating_mul(self.queue.per_slot());
        let enter = |waiting| (waiting < capacity).then_some(waiting + 1);
        if self.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, enter).is_err() {
            return Err(Refused::Full);
        }
        let _stands = Stands(self);
        let (sender, receiver) = oneshot::channel();
        {
            let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
            // As in the queue: whom clients have left are swept when they are the majority.
            if line.len() > 64 && line.len() > self.waiting.load(Ordering::SeqCst) * 2 {
                line.retain(|waiter| !waiter.is_closed());
            }
            line.push_back(sender);
        }
        // A place may have come back between our last look and our entry.
        self.pass();
        match tokio::time::timeout(timeout, receiver).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(Refused::Timeout),
        }
    }

    /// Give free places to those who wait longest. The control thread calls it too: more slots are more places.
    pub fn pass(self: &Arc<Self>) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        loop {
            let (waiter, place) = {
                let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
                while line.front().is_some_and(oneshot::Sender::is_closed) {
                    line.pop_front();
                }
                if line.is_empty() {
                    return;
                }
                let Some(place) = self.take_any() else { return };
                match line.pop_front() {
                    Some(waiter) => (waiter, place),
                    None => return,
                }
            };
            // Outside the lock: a place that nobody takes any more comes back here by its drop.
            drop(waiter.send(place));
        }
    }
}

struct Stands<'a>(&'a Bulkhead);

impl Drop for Stands<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// In a bulkhead. Comes back when dropped.
struct Place(Arc<Bulkhead>);

impl Drop for Place {
    fn drop(&mut self) {
        // SeqCst: either the one who begins to wait sees this place, or we see that he waits.
        self.0.held.fetch_sub(1, Ordering::SeqCst);
        self.0.pass();
    }
}

#[cfg(test)]
#[path = "bulkhead_tests.rs"]
mod tests;

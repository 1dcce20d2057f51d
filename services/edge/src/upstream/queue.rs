//! The queue of an upstream (decision 4): bounded, first come first served over all data threads.
//!
//! Nobody touches its lock while permits are free: a thread looks at one atomic counter.

use super::address::{Address, Permit};
use arc_swap::ArcSwap;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// The addresses as the control thread last published them.
#[derive(Default)]
pub struct List {
    /// In the DNS (or configured).
    pub all: Vec<Arc<Address>>,
    /// Of these, those whose check says ready.
    pub ready: Vec<Arc<Address>>,
}

impl List {
    /// The addresses to try. Where none seems well all are tried: a connection that works is the better witness.
    pub fn candidates(&self) -> impl Iterator<Item = &Arc<Address>> {
        let well = |address: &&Arc<Address>| !address.is_down();
        let mode = if self.ready.iter().any(|address| !address.is_down()) {
            0
        } else if self.ready.is_empty() {
            2
        } else {
            1
        };
        let list = if mode == 2 { &self.all } else { &self.ready };
        list.iter().filter(move |address| mode != 0 || well(address))
    }

    pub fn is_ready(&self, id: u64) -> bool {
        self.ready.iter().any(|address| address.id == id)
    }
}

pub struct Queue {
    pub list: Arc<ArcSwap<List>>,
    waiting: AtomicUsize,
    line: Mutex<VecDeque<oneshot::Sender<Permit>>>,
    per_slot: usize,
}

/// Why there was no permit.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    Full,
    Timeout,
}

impl Queue {
    pub fn new(per_slot: usize) -> Self {
        Self { list: Arc::default(), waiting: AtomicUsize::new(0), line: Mutex::default(), per_slot }
    }

    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    fn capacity(&self) -> usize {
        let slots: usize = self.list.load().candidates().map(|address| address.queue_share()).sum();
        slots.max(1).saturating_mul(self.per_slot)
    }

    /// Wait for a permit of any address. Who is dropped while waiting leaves the queue.
    pub async fn wait(&self, timeout: Duration) -> Result<Permit, Refused> {
        let capacity = self.capacity();
        let entered = self
            .waiting
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |waiting| (waiting < capacity).then_some(waiting + 1));
        if entered.is_err() {
            return Err(Refused::Full);
        }
        let _place = Place(self);
        let (sender, receiver) = oneshot::channel();
        {
            let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
            // Places of clients that left are swept when they are the majority, so a stuck upstream costs no memory.
            if line.len() > 64 && line.len() > self.waiting() * 2 {
                line.retain(|waiter| !waiter.is_closed());
            }
            line.push_back(sender);
        }
        // A permit may have come back between our last look and our entry.
        self.pass();
        match tokio::time::timeout(timeout, receiver).await {
            Ok(Ok(permit)) => Ok(permit),
            // The sender is only dropped with the queue itself.
            Ok(Err(_)) | Err(_) => Err(Refused::Timeout),
        }
    }

    /// Give free permits to those who wait longest.
    pub fn pass(&self) {
        if self.waiting() == 0 {
            return;
        }
        let list = self.list.load();
        // While all is busy, which is when there is a queue, no lock is taken for finding that out.
        while list.candidates().any(|address| address.is_free()) {
            let (waiter, permit) = {
                let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
                while line.front().is_some_and(oneshot::Sender::is_closed) {
                    line.pop_front();
                }
                if line.is_empty() {
                    return;
                }
                let Some(permit) = least_loaded(&list) else {
                    return;
                };
                match line.pop_front() {
                    Some(waiter) => (waiter, permit),
                    None => return,
                }
            };
            // Outside the lock: a permit that nobody takes any more comes back here by its drop.
            drop(waiter.send(permit));
        }
    }
}

/// A permit of the address with the smallest share of its slots busy.
fn least_loaded(list: &List) -> Option<Permit> {
    loop {
        let best = list.candidates().filter(|address| address.is_free()).min_by_key(|address| address.load())?;
        // Another thread may have been quicker: look again.
        if let Some(permit) = best.take() {
            return Some(permit);
        }
    }
}

struct Place<'a>(&'a Queue);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

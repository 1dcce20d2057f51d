//! The addresses of an upstream as the control thread last published them, and which of them may be used.

use super::address::Address;
use super::health::{DOWN, DRAINING, EJECTED};
use arc_swap::{ArcSwap, Cache};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Default)]
pub struct List {
    /// In the DNS (or configured), but for those that are configured `down`.
    pub all: Vec<Arc<Address>>,
    /// Of these, those whose check says ready.
    pub ready: Vec<Arc<Address>>,
    /// Percent of failing addresses beyond which none is left out.
    threshold: u32,
    /// Too many fail: none is left out. One for all threads.
    panics: Arc<AtomicBool>,
    /// A name that is looked up has no address yet: where nobody is, one may come.
    pub awaits_names: bool,
    /// They do not all have the same weight at all times.
    pub weighted: bool,
}

impl List {
    pub fn new(all: Vec<Arc<Address>>, ready: Vec<Arc<Address>>, threshold: u32) -> Self {
        let mut weights = all.iter().map(|address| address.role.weight);
        let first = weights.next();
        let weighted = weights.any(|weight| Some(weight) != first)
            || all.iter().any(|address| !address.role.rules.slow_start.is_zero());
        let list = Self { all, ready, threshold, panics: Arc::default(), awaits_names: false, weighted };
        list.weigh();
        list
    }

    /// For one thread: the same servers, by [handles](Address) of its own.
    fn own(&self) -> Self {
        let all: Vec<_> = self.all.iter().map(|address| Arc::new(Address::clone(address))).collect();
        let ready = self.ready.iter().map(|ready| {
            let known = all.iter().find(|address| address.id == ready.id);
            known.cloned().unwrap_or_else(|| Arc::new(Address::clone(ready)))
        });
        let ready = ready.collect();
        Self { all, ready, panics: self.panics.clone(), ..*self }
    }

    /// Whether so many fail that none is to be left out; to be asked whenever one is, or comes back.
    pub fn weigh(&self) -> bool {
        let counts = |address: &&Arc<Address>| !address.role.backup && !address.health.has(DOWN | DRAINING);
        let (mut failing, mut total) = (0, 0);
        for address in self.ready.iter().filter(counts) {
            total += 1;
            failing += usize::from(address.health.has(EJECTED));
        }
        let panics = failing * 100 > total * self.threshold as usize;
        self.panics.store(panics, Ordering::Relaxed);
        panics
    }

    pub fn panics(&self) -> bool {
        self.panics.load(Ordering::Relaxed)
    }

    fn bad(&self) -> u8 {
        if self.panics() { DOWN | DRAINING } else { DOWN | DRAINING | EJECTED }
    }

    /// The addresses to try: those that are well; else the backups; else those that fail; and where none seems well all,
    /// for a connection that works is the better witness. None that is drained: that is the operator's word.
    pub fn candidates(&self) -> impl Iterator<Item = &Arc<Address>> {
        let bad = self.bad();
        let any = |bad: u8, backup: bool| {
            self.ready.iter().any(|address| address.role.backup == backup && !address.health.has(bad))
        };
        let (list, bad, backup) = if any(bad, false) {
            (&self.ready, bad, Some(false))
        } else if any(bad, true) {
            (&self.ready, bad, Some(true))
        } else if any(DOWN | DRAINING, false) {
            (&self.ready, DOWN | DRAINING, Some(false))
        } else if is_drained(&self.ready) {
            (&self.all, DRAINING, None)
        } else {
            (&self.ready, DRAINING, None)
        };
        list.iter().filter(move |address| {
            backup.is_none_or(|backup| address.role.backup == backup) && !address.health.has(bad)
        })
    }

    /// Nobody is served but clients that belong to an address: by the operator's word, every address is drained or `down`.
    pub fn is_drained(&self) -> bool {
        is_drained(&self.all) && !self.awaits_names
    }

    /// Nobody can be served yet, but an address may come by name.
    pub fn is_awaited(&self) -> bool {
        is_drained(&self.all) && self.awaits_names
    }

    /// A certain address, if it can be used; one that a request belongs to (`own`) even while it is emptied.
    pub fn usable(&self, id: u64, own: bool) -> Option<&Arc<Address>> {
        let bad = if own { self.bad() & !DRAINING } else { self.bad() };
        self.ready.iter().find(|address| address.id == id && !address.health.has(bad))
    }

    pub fn is_ready(&self, id: u64) -> bool {
        self.ready.iter().any(|address| address.id == id)
    }
}

/// The list as one data thread has it. Each request counts as one that holds its address: were it the published one, all threads
/// would write that count, in a line of cache that all of them read.
pub struct Own {
    published: Cache<Arc<ArcSwap<List>>, Arc<List>>,
    of: Arc<List>,
    own: List,
}

impl Own {
    pub fn new(published: &Arc<ArcSwap<List>>) -> Self {
        let of = published.load_full();
        Self { published: Cache::new(published.clone()), own: of.own(), of }
    }

    /// The list of now.
    pub fn load(&mut self) -> &List {
        let published = self.published.load();
        if !Arc::ptr_eq(published, &self.of) {
            self.of = published.clone();
            self.own = self.of.own();
        }
        &self.own
    }
}

fn is_drained(addresses: &[Arc<Address>]) -> bool {
    addresses.iter().all(|address| address.health.has(DRAINING))
}

#[cfg(test)]
mod tests {
    use super::super::address::tests::{numbered, role};
    use super::super::address::{Fail, Role};
    use super::super::queue::Queue;
    use super::*;

    fn list(roles: &[Role]) -> List {
        let queue = Arc::new(Queue::new(100));
        let all: Vec<_> = (1..).zip(roles).map(|(number, role)| numbered(number, role.clone(), &queue)).collect();
        List::new(all.clone(), all, 50)
    }

    fn ids(list: &List) -> Vec<u64> {
        list.candidates().map(|address| address.id).collect()
    }

    fn eject(list: &List, at: usize) {
        for _ in 0..2 {
            list.all[at].fail(Fail::Error);
        }
        list.weigh();
    }

    #[test]
    fn a_thread_counts_its_references_by_itself_and_requests_together_with_all() {
        let published = Arc::new(ArcSwap::from_pointee(list(&[role(), role()])));
        let (mut one, mut other) = (Own::new(&published), Own::new(&published));
        let address = published.load().all[0].clone();
        let references = Arc::strong_count(&address);
        let permit = one.load().all[0].take().unwrap();
        assert_eq!(Arc::strong_count(&address), references);
        // One at a time, of one that nobody knows.
        assert_eq!(address.busy(), 1);
        assert!(other.load().all[0].take().is_none());
        drop(permit);
        assert!(other.load().all[0].take().is_some());
        // What one finds out, all know; and a list that is published anew reaches them.
        eject(one.load(), 0);
        assert_eq!((ids(one.load()), ids(other.load())), (vec![2], vec![2]));
        eject(one.load(), 1);
        assert!(other.load().panics() && published.load().panics());
        published.store(Arc::new(list(&[role()])));
        assert_eq!(ids(other.load()), [1]);
    }

    #[test]
    fn a_backup_serves_only_where_no_other_can() {
        let list = list(&[role(), role(), Role { backup: true, ..role() }]);
        assert_eq!(ids(&list), [1, 2]);
        list.all[0].failed();
        assert_eq!(ids(&list), [2]);
        list.all[1].failed();
        assert_eq!(ids(&list), [3]);
        list.all[2].failed();
        // None seems well: all are tried.
        assert_eq!(ids(&list), [1, 2, 3]);
        list.all[1].works();
        assert_eq!(ids(&list), [2]);
    }

    #[test]
    fn who_fails_is_left_out_unless_most_do() {
        let list = list(&[role(), role(), role()]);
        eject(&list, 0);
        assert_eq!(ids(&list), [2, 3]);
        eject(&list, 1);
        assert!(list.panics());
        assert_eq!(ids(&list), [1, 2, 3]);
        // Refused connections are a fact all the same.
        list.all[2].failed();
        assert_eq!(ids(&list), [1, 2]);
    }

    #[test]
    fn who_is_drained_gets_only_his_own() {
        let list = list(&[role(), Role { drain: true, ..role() }]);
        assert_eq!(ids(&list), [1]);
        assert!(list.usable(2, true).is_some() && list.usable(2, false).is_none());
        assert!(list.usable(3, true).is_none());
        // Not even where the others fail.
        list.all[0].failed();
        assert_eq!(ids(&list), [1]);
        assert!(!list.is_drained());
        list.all[0].health.drain(true);
        assert_eq!(ids(&list), [0; 0]);
        assert!(list.is_drained() && list.usable(2, true).is_some());
        // Unless another is about to come.
        let list = List { awaits_names: true, ..list };
        assert!(list.is_awaited() && !list.is_drained());
        assert_eq!(ids(&list), [0; 0]);
    }
}

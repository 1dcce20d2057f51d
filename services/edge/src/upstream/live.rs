//! What of an upstream outlives a reload: its queue with the list of its addresses, what is known of them, what operators
//! said, its counts.
//!
//! The configuration before and the one after share it where both have an upstream of that name, spoken to in the same way.
//! So a request that began under the one before finds the addresses of the one after, whether it waits or has to be sent
//! again, and no slot is given away twice.

use super::address::{Address, Kind, Target};
use super::queue::Queue;
use super::{Shared, control, drained, lanes, metrics};
use crate::config::Named;
use crate::drain::Drain;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The upstreams of the configuration before, and what was known of them: looked up before the first of the new ones is made,
/// for those that outlive a reload are changed by that.
#[derive(Default)]
pub struct Memory {
    upstreams: Vec<Arc<Shared>>,
    /// The last good answers for names.
    answers: HashMap<String, Vec<IpAddr>>,
    addresses: Vec<Arc<Address>>,
}

impl Memory {
    pub fn of(before: &[Arc<Shared>]) -> Self {
        let mut memory = Self { upstreams: before.to_vec(), ..Self::default() };
        for one in before {
            for (name, found) in &one.live.control.lock().answers {
                memory.answers.entry(name.clone()).or_insert_with(|| found.clone());
            }
            memory.addresses.extend(one.live.queue.list.load().all.iter().cloned());
        }
        memory
    }

    pub fn answer(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.answers.get(name).cloned()
    }

    /// The same server, where it has told of itself.
    pub fn address(&self, target: &Target) -> Option<&Arc<Address>> {
        self.addresses.iter().find(|known| known.target == *target && known.kind() != Kind::Unknown)
    }
}

pub struct Live {
    pub queue: Arc<Queue>,
    pub metrics: metrics::Metrics,
    pub(super) control: control::State,
    pub drained: drained::Drained,
    pub(super) lanes: Mutex<lanes::Registry>,
}

impl Live {
    /// That of the upstream of this name `before`; a new one where it is spoken to in another way.
    pub fn of(named: &Named, before: &Memory) -> Arc<Self> {
        let Named { name, upstream, .. } = named;
        let namesake = before.upstreams.iter().find(|other| other.settings.name == *name);
        match namesake.filter(|same| same.settings.transport == upstream.transport) {
            Some(same) => {
                same.live.queue.set_per_slot(upstream.queue_per_slot);
                same.live.clone()
            }
            None => Arc::new(Self {
                queue: Arc::new(Queue::new(upstream.queue_per_slot)),
                metrics: metrics::Metrics::default(),
                control: control::State::default(),
                drained: namesake.map(|other| other.live.drained.clone()).unwrap_or_default(),
                lanes: Mutex::default(),
            }),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // The list holds addresses, each of which holds the queue that holds the list.
        self.queue.list.store(Arc::default());
    }
}

impl Shared {
    /// Whether it is what a reload has made of the other: one thing under two configurations.
    pub fn is_one_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.live, &other.live)
    }

    /// Control thread: as [`Shared::manage`], of an upstream that is no longer configured, for as long as requests have it.
    pub async fn manage_the_rest(self: Arc<Self>, drain: Drain) {
        let over = async {
            while self.live.metrics.are_written() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            () = self.clone().manage(drain) => {}
            () = over => {}
        }
    }
}

//! Servers that the operator empties while the edge runs (`monodon-edge upstream drain`): nothing new goes there but for clients
//! that belong there, and where all are emptied requests are refused. It holds over reloads and changes in the DNS, till it is
//! taken back.

use super::Shared;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// By the address's label.
#[derive(Default)]
pub struct Drained(Mutex<BTreeSet<String>>);

impl Clone for Drained {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.lock().clone()))
    }
}

impl Drained {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn has(&self, label: &str) -> bool {
        self.lock().contains(label)
    }
}

impl Shared {
    /// Nobody is served but clients that belong to an address.
    pub fn is_drained(&self) -> bool {
        self.live.queue.list.load().is_drained()
    }

    /// Empties an address, or puts it back; `Err`: there is none of that name, but these.
    pub fn drain(&self, label: &str, drained: bool) -> Result<(), Vec<String>> {
        let known = self.live.queue.list.load_full();
        if !known.all.iter().any(|address| address.label == label) {
            return Err(known.all.iter().map(|address| address.label.clone()).collect());
        }
        let changed = if drained {
            self.live.drained.lock().insert(label.to_owned())
        } else {
            self.live.drained.lock().remove(label)
        };
        for address in known.all.iter().filter(|address| address.label == label) {
            address.health.drain(drained);
        }
        known.weigh();
        // What waits may have found its slot, or nobody to wait for.
        self.live.queue.pass();
        if changed {
            tracing::info!(upstream = self.name(), address = label, drained, "an address was drained or put back");
        }
        Ok(())
    }
}

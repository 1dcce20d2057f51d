//! Servers that the operator empties while the edge runs (`monodon-edge upstream drain`): nothing new goes there as long as
//! another can take it, but for clients that belong there. It holds over reloads and changes in the DNS, till it is taken back.

use super::Shared;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// By the address's label.
#[derive(Default)]
pub struct Drained(Mutex<BTreeSet<String>>);

impl Drained {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn has(&self, label: &str) -> bool {
        self.lock().contains(label)
    }
}

impl Shared {
    /// Empties an address, or puts it back; `Err`: there is none of that name, but these.
    pub fn drain(&self, label: &str, drained: bool) -> Result<(), Vec<String>> {
        let known = self.queue.list.load_full();
        if !known.all.iter().any(|address| address.label == label) {
            return Err(known.all.iter().map(|address| address.label.clone()).collect());
        }
        let changed =
            if drained { self.drained.lock().insert(label.to_owned()) } else { self.drained.lock().remove(label) };
        for address in known.all.iter().filter(|address| address.label == label) {
            address.health.drain(drained);
        }
        known.weigh();
        // What waits may have found its slot.
        self.queue.pass();
        if changed {
            tracing::info!(upstream = self.name(), address = label, drained, "an address was drained or put back");
        }
        Ok(())
    }

    /// What was drained of the upstream of that name before a reload.
    pub fn inherit(&self, before: &Shared) {
        let labels = before.drained.lock().clone();
        for label in labels {
            // Its address may be gone, or not be resolved yet.
            let _ = self.drain(&label, true);
            self.drained.lock().insert(label);
        }
    }
}

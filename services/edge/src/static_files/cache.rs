//! One thread's memory of files, bounded in bytes: those not asked for longest go first.

use super::entity::Entity;
use crate::metrics::Shard;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

const MOST_BYTES: usize = 32 << 20;

/// One folder's, by the path within, each with its last look.
type Files = HashMap<Box<str>, (Rc<Entity>, u64)>;

pub struct Cache {
    folders: Vec<Files>,
    bytes: usize,
    /// Counts looks; the smallest is the oldest.
    clock: u64,
    metrics: Arc<Shard>,
}

impl Cache {
    pub fn new(metrics: Arc<Shard>) -> Self {
        Self { folders: Vec::new(), bytes: 0, clock: 0, metrics }
    }

    pub fn get(&mut self, folder: usize, name: &str) -> Option<Rc<Entity>> {
        self.clock += 1;
        let (entity, used) = self.folders.get_mut(folder)?.get_mut(name)?;
        *used = self.clock;
        Some(entity.clone())
    }

    pub fn put(&mut self, folder: usize, name: &str, entity: &Rc<Entity>) {
        self.remove(folder, name);
        let weight = entity.weight() + name.len();
        if weight > MOST_BYTES {
            return;
        }
        if self.folders.len() <= folder {
            self.folders.resize_with(folder + 1, HashMap::new);
        }
        if self.bytes + weight > MOST_BYTES {
            self.make_room();
        }
        self.clock += 1;
        if let Some(files) = self.folders.get_mut(folder) {
            files.insert(name.into(), (entity.clone(), self.clock));
            self.bytes += weight;
            self.metrics.static_cache_bytes.add(weight as u64);
        }
    }

    pub fn remove(&mut self, folder: usize, name: &str) {
        if let Some((entity, _)) = self.folders.get_mut(folder).and_then(|files| files.remove(name)) {
            self.forget(entity.weight() + name.len());
        }
    }

    fn forget(&mut self, weight: usize) {
        self.bytes = self.bytes.saturating_sub(weight);
        self.metrics.static_cache_bytes.subtract(weight as u64);
    }

    /// Drops the older half in one go: seldom, and without a list to keep in order at every request.
    fn make_room(&mut self) {
        let mut uses: Vec<u64> = self.folders.iter().flat_map(|files| files.values().map(|(_, used)| *used)).collect();
        let middle = uses.len() / 2;
        let (_, median, _) = uses.select_nth_unstable(middle);
        let median = *median;
        let mut weight = 0;
        for files in &mut self.folders {
            files.retain(|name, (entity, used)| {
                let stays = *used > median;
                if !stays {
                    weight += entity.weight() + name.len();
                }
                stays
            });
        }
        self.forget(weight);
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.metrics.static_cache_bytes.subtract(self.bytes as u64);
    }
}

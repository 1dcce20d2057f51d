//! One thread's memory of files, bounded in bytes: those not asked for longest go first.

use super::entity::Entity;
use crate::metrics::Shard;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

const MOST_BYTES: usize = 32 << 20;

/// One folder's, by the path within.
type Files = HashMap<Box<str>, Kept>;

struct Kept {
    entity: Rc<Entity>,
    /// Its last look.
    used: u64,
    /// As it was counted: its variants come and go.
    weight: usize,
}

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
        let kept = self.folders.get_mut(folder)?.get_mut(name)?;
        kept.used = self.clock;
        Some(kept.entity.clone())
    }

    /// Also when its weight has changed.
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
            files.insert(name.into(), Kept { entity: entity.clone(), used: self.clock, weight });
            self.bytes += weight;
            self.metrics.static_cache_bytes.add(weight as u64);
        }
    }

    /// Counts it anew, if it is still this one.
    pub fn reweigh(&mut self, folder: usize, entity: &Rc<Entity>) {
        let known = self.folders.get(folder).and_then(|files| files.get(&entity.name));
        if known.is_some_and(|kept| Rc::ptr_eq(&kept.entity, entity)) {
            self.put(folder, &entity.name, entity);
        }
    }

    pub fn remove(&mut self, folder: usize, name: &str) {
        if let Some(kept) = self.folders.get_mut(folder).and_then(|files| files.remove(name)) {
            self.forget(kept.weight);
        }
    }

    fn forget(&mut self, weight: usize) {
        self.bytes = self.bytes.saturating_sub(weight);
        self.metrics.static_cache_bytes.subtract(weight as u64);
    }

    /// Drops the older half in one go: seldom, and without a list to keep in order at every request.
    fn make_room(&mut self) {
        let mut uses: Vec<u64> = self.folders.iter().flat_map(|files| files.values().map(|kept| kept.used)).collect();
        if uses.is_empty() {
            return;
        }
        let middle = uses.len() / 2;
        let (_, median, _) = uses.select_nth_unstable(middle);
        let median = *median;
        let mut weight = 0;
        for files in &mut self.folders {
            files.retain(|_, kept| {
                let stays = kept.used > median;
                if !stays {
                    weight += kept.weight;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options::files::Files as Options;
    use crate::static_files::Folder;
    use crate::static_files::fields::About;

    #[tokio::test]
    async fn what_was_not_asked_for_longest_goes() {
        let (folder, options, metrics) = (Folder::default(), Options::default(), Arc::new(Shard::default()));
        let file = Arc::new(tempfile::tempfile().unwrap());
        file.set_len(1).unwrap();
        let metadata = file.metadata().unwrap();
        let mut cache = Cache::new(metrics.clone());
        // One that stays on the disk is counted as much as it may cost.
        let fit = MOST_BYTES / (256 << 10);
        for place in 0..fit {
            let name = place.to_string();
            let about = About { folder: &folder, options: &options, name: &name, coding: None };
            let entity = Entity::read(&about, file.clone(), &metadata, 0).await.unwrap();
            cache.put(0, &name, &Rc::new(entity));
            assert!(cache.get(0, "0").is_some(), "asked for again and again, with {name}");
        }
        assert!(cache.get(0, "1").is_none() && cache.get(0, &(fit - 1).to_string()).is_some());
        let kept: usize = cache.folders[0].values().map(|kept| kept.weight).sum();
        assert!(kept <= MOST_BYTES && kept > MOST_BYTES / 3);
        assert_eq!((cache.bytes, metrics.static_cache_bytes.get()), (kept, kept as u64));
        drop(cache);
        assert_eq!(metrics.static_cache_bytes.get(), 0);
    }
}

//! How many of each key there are at a time, in a table that all threads share without a lock.
//!
//! A word is 40 bits of the key's randomised hash and a count; one whose count is 0 is free. A set has eight. What finds no place there is
//! not counted, and passes: the table is told so large that this needs more keys at a time than the process has connections.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const COUNT_BITS: u32 = 24;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
const WAYS: usize = 8;

#[repr(align(64))]
#[derive(Default)]
struct Set([AtomicU64; WAYS]);

pub struct Counts {
    sets: Box<[Set]>,
    /// Passed without being counted.
    pub uncounted: AtomicU64,
}

/// Where one was counted; to be given back.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Place {
    set: u32,
    way: u8,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// `None`: there was no room to count it.
    Yes(Option<Place>),
    No,
}

impl Counts {
    pub fn new(keys: usize) -> Self {
        let sets = keys.div_ceil(WAYS).next_power_of_two();
        Self { sets: (0..sets).map(|_| Set::default()).collect(), uncounted: AtomicU64::new(0) }
    }

    /// One more of `key`, unless there are `limit` already.
    pub fn take(&self, key: u64, limit: u32) -> Taken {
        let index = key as usize & (self.sets.len() - 1);
        let tag = key & !COUNT;
        let Some(set) = self.sets.get(index) else { return Taken::Yes(None) };
        loop {
            let mut sum = 0;
            let mut own = None;
            let mut free = None;
            for (way, word) in set.0.iter().enumerate() {
                let known = word.load(Relaxed);
                if known & COUNT == 0 {
                    free = free.or(Some((way, word, known, tag | 1)));
                } else if known & !COUNT == tag {
                    // Two threads may have taken two places for one key: both count.
                    sum += known & COUNT;
                    own = own.or(Some((way, word, known, known + 1)));
                }
            }
            if sum >= u64::from(limit) {
                return Taken::No;
            }
            let Some((way, word, known, more)) = own.or(free) else {
                self.uncounted.fetch_add(1, Relaxed);
                return Taken::Yes(None);
            };
            if word.compare_exchange(known, more, Relaxed, Relaxed).is_ok() {
                return Taken::Yes(Some(Place { set: index as u32, way: way as u8 }));
            }
        }
    }

    pub fn give_back(&self, place: &Place) {
        let word = self.sets.get(place.set as usize).and_then(|set| set.0.get(usize::from(place.way)));
        if let Some(word) = word {
            word.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, RandomState};

    fn place(taken: Taken) -> Place {
        match taken {
            Taken::Yes(Some(place)) => place,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn so_many_at_a_time() {
        let counts = Counts::new(16);
        let key = RandomState::new().hash_one("a");
        let first = place(counts.take(key, 2));
        let second = place(counts.take(key, 2));
        assert_eq!(counts.take(key, 2), Taken::No);
        let other = place(counts.take(!key, 2));
        counts.give_back(&first);
        let third = place(counts.take(key, 2));
        assert_eq!(counts.take(key, 2), Taken::No);
        for place in [second, third, other] {
            counts.give_back(&place);
        }
        assert!(counts.sets.iter().flat_map(|set| &set.0).all(|word| word.load(Relaxed) & COUNT == 0));
    }

    #[test]
    fn full_it_lets_pass_and_says_so() {
        let counts = Counts::new(1);
        let places: Vec<_> = (1..=8u64).map(|key| place(counts.take(key << 32, 1))).collect();
        assert_eq!(counts.take(9 << 32, 1), Taken::Yes(None));
        assert_eq!(counts.uncounted.load(Relaxed), 1);
        places.iter().for_each(|place| counts.give_back(place));
        assert!(matches!(counts.take(9 << 32, 1), Taken::Yes(Some(_))));
    }

    #[test]
    fn threads_share_it() {
        let counts = Counts::new(64);
        let hasher = RandomState::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..20_000u32 {
                        if let Taken::Yes(Some(place)) = counts.take(hasher.hash_one(round % 7), 3) {
                            counts.give_back(&place);
                        }
                    }
                });
            }
        });
        assert!(counts.sets.iter().flat_map(|set| &set.0).all(|word| word.load(Relaxed) & COUNT == 0));
    }
}

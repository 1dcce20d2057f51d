//! Counts by a name that is not known beforehand, in shared memory: a table of so many names, and one count for all
//! that have no place in it. So a label has a bound, whatever an application or a client comes up with.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Longer names are cut.
const WORDS: usize = 8;

const FREE: u32 = 0;
const CLAIMED: u32 = 1;
const NAMED: u32 = 2;

#[repr(C)]
struct Place {
    state: AtomicU32,
    length: AtomicU32,
    name: [AtomicU64; WORDS],
    count: AtomicU64,
}

/// Zeroed memory is an empty one.
#[repr(C)]
pub struct Tally<const N: usize> {
    places: [Place; N],
    others: AtomicU64,
}

impl<const N: usize> Tally<N> {
    pub fn count(&self, name: &str) {
        let (words, length) = packed(name);
        for place in &self.places {
            let mut state = place.state.load(Ordering::Acquire);
            if state == FREE {
                match place.state.compare_exchange(FREE, CLAIMED, Ordering::Acquire, Ordering::Acquire) {
                    Ok(_) => {
                        for (to, word) in place.name.iter().zip(words) {
                            to.store(word, Ordering::Relaxed);
                        }
                        place.length.store(length, Ordering::Relaxed);
                        place.state.store(NAMED, Ordering::Release);
                        state = NAMED;
                    }
                    Err(now) => state = now,
                }
            }
            // One that somebody else is naming is passed over: should it be this name, whoever reads adds the two up.
            let same = || place.name.iter().zip(words).all(|(known, word)| known.load(Ordering::Relaxed) == word);
            if state == NAMED && place.length.load(Ordering::Relaxed) == length && same() {
                place.count.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        self.others.fetch_add(1, Ordering::Relaxed);
    }

    /// Each name with its count; a name may come twice. `_other` stands for all that have no place.
    pub fn each(&self, mut see: impl FnMut(&str, u64)) {
        for place in self.places.iter().filter(|place| place.state.load(Ordering::Acquire) == NAMED) {
            let mut bytes = Vec::with_capacity(WORDS * 8);
            for word in &place.name {
                bytes.extend_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
            }
            bytes.truncate(place.length.load(Ordering::Relaxed) as usize);
            see(&String::from_utf8_lossy(&bytes), place.count.load(Ordering::Relaxed));
        }
        let others = self.others.load(Ordering::Relaxed);
        if others > 0 {
            see("_other", others);
        }
    }
}

fn packed(name: &str) -> ([u64; WORDS], u32) {
    let mut words = [0; WORDS];
    let mut length = 0;
    for (word, part) in words.iter_mut().zip(name.as_bytes().chunks(8)) {
        let mut full = [0; 8];
        for (to, from) in full.iter_mut().zip(part) {
            *to = *from;
        }
        *word = u64::from_ne_bytes(full);
        length += part.len() as u32;
    }
    (words, length)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Tally;
    use crate::scoreboard::Scoreboard;

    fn counts<const N: usize>(tally: &Tally<N>) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        tally.each(|name, count| *found.entry(name.to_owned()).or_default() += count);
        found
    }

    #[test]
    fn names_are_counted_up_to_a_bound() {
        let board = Scoreboard::create(1).unwrap();
        let tally = board.exceptions();
        for number in 0..60 {
            for _ in 0..=number {
                tally.count(&format!("Error{number}"));
            }
        }
        let found = counts(tally);
        assert_eq!(found.len(), 51);
        assert_eq!((found["Error0"], found["Error49"]), (1, 50));
        assert_eq!(found["_other"], (51..=60).sum::<u64>());
        let long = "x".repeat(100);
        let board = Scoreboard::create(1).unwrap();
        board.exceptions().count(&long);
        board.exceptions().count(&long);
        assert_eq!(counts(board.exceptions()), BTreeMap::from([("x".repeat(64), 2)]));
    }

    #[test]
    fn threads_that_meet_lose_nothing() {
        let board = Scoreboard::create(1).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|number| board.exceptions().count(&format!("{}", number % 7))));
            }
        });
        assert_eq!(counts(board.exceptions()).values().sum::<u64>(), 4000);
    }
}

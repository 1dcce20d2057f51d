//! Which zones have counted a request: it may be sent on within the site, and is one request still.

/// A bit a zone; those beyond the first 64 cost only who has them.
#[derive(Debug, Default)]
pub struct Counted {
    first: u64,
    more: Vec<u64>,
}

impl Counted {
    pub fn contains(&self, zone: usize) -> bool {
        let (word, bit) = (zone / 64, 1 << (zone % 64));
        let bits = if word == 0 { self.first } else { self.more.get(word - 1).copied().unwrap_or(0) };
        bits & bit != 0
    }

    pub fn insert(&mut self, zone: usize) {
        let (word, bit) = (zone / 64, 1 << (zone % 64));
        if word == 0 {
            self.first |= bit;
            return;
        }
        if self.more.len() < word {
            self.more.resize(word, 0);
        }
        if let Some(bits) = self.more.get_mut(word - 1) {
            *bits |= bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Counted;

    #[test]
    fn any_number_of_zones() {
        let mut counted = Counted::default();
        for zone in [0, 63, 64, 127, 128, 1000] {
            assert!(!counted.contains(zone), "{zone}");
            counted.insert(zone);
            assert!(counted.contains(zone), "{zone}");
        }
        assert!(![1, 62, 65, 126, 129, 999, 5000].iter().any(|zone| counted.contains(*zone)));
    }
}

//! Kills for memory: the kernel says nothing to anybody but a counter of the own cgroup, and a SIGKILL that nobody here sent.

use crate::scoreboard::now;

/// A counted kill and the end of the process that it explains are seen at most so far apart, in microseconds.
const TOGETHER: u64 = 5_000_000;
const EVERY: u64 = 1_000_000;

/// Kills that have been counted, and not been explained by the end of a process yet.
pub struct Kills {
    /// None where the kernel does not count.
    counted: Option<u64>,
    unexplained: u64,
    since: u64,
    next_look: u64,
}

impl Kills {
    pub fn new() -> Self {
        Self { counted: monodon_admin::cgroup::read().oom_kills, unexplained: 0, since: 0, next_look: 0 }
    }

    /// A process was killed by SIGKILL: whether it was the kernel, for memory.
    pub fn explain(&mut self) -> bool {
        self.count(monodon_admin::cgroup::read().oom_kills, now());
        self.take()
    }

    /// To be called now and then: kills that no process of ours explains were of something the application has started.
    pub fn others(&mut self, now: u64) -> u64 {
        if now < self.next_look {
            return 0;
        }
        self.next_look = now + EVERY;
        self.count(monodon_admin::cgroup::read().oom_kills, now);
        self.old(now)
    }

    fn count(&mut self, counted: Option<u64>, now: u64) {
        if let (Some(before), Some(counted)) = (self.counted, counted)
            && counted > before
        {
            self.unexplained += counted - before;
            self.since = now;
        }
        self.counted = counted;
    }

    fn take(&mut self) -> bool {
        let is = self.unexplained > 0;
        self.unexplained = self.unexplained.saturating_sub(1);
        is
    }

    fn old(&mut self, now: u64) -> u64 {
        if now.saturating_sub(self.since) > TOGETHER { std::mem::take(&mut self.unexplained) } else { 0 }
    }
}

/// What a person needs to know to choose another limit. `peak` is what the process had at most, in bytes.
pub fn words(peak: u64, limit: Option<u64>) -> String {
    let had = if peak > 0 { format!("; it had {} MB at most", peak >> 20) } else { String::new() };
    let full = match limit {
        Some(limit) => format!("the container's limit is {} MB", limit >> 20),
        None => "the container has no limit, so the machine's memory was full".to_owned(),
    };
    format!("out of memory, killed by the kernel{had}, {full}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counted_kill_explains_one_end_and_only_a_late_one() {
        let mut kills = Kills { counted: Some(3), unexplained: 0, since: 0, next_look: 0 };
        kills.count(Some(3), 10);
        assert!(!kills.take());
        kills.count(Some(5), 20);
        assert!(kills.take() && kills.take() && !kills.take());
        kills.count(Some(6), 30);
        assert_eq!(kills.old(30 + TOGETHER), 0);
        assert_eq!(kills.old(31 + TOGETHER), 1, "no end of ours came with it");
        assert!(!kills.take());
        // Moved to another cgroup, or none.
        kills.count(Some(0), 40);
        kills.count(None, 50);
        kills.count(Some(9), 60);
        assert!(!kills.take());
    }

    #[test]
    fn the_words_name_what_it_had_and_what_it_may_have() {
        assert_eq!(
            words(412 << 20, Some(512 << 20)),
            "out of memory, killed by the kernel; it had 412 MB at most, the container's limit is 512 MB"
        );
        assert!(words(0, None).ends_with("the container has no limit, so the machine's memory was full"));
    }
}

//! What is told of requests.

use super::Levels;
use monodon_settings::{Kind, Setting};
use std::time::Duration;

pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "log_requests",
        kind: Kind::Bool,
        default: "true",
        words: "Whether requests are told in the access log. What fails is told all the same.",
        ..Setting::NEW
    },
    Setting {
        key: "log_sample",
        kind: Kind::Text,
        default: "100%",
        words: "How many of them, picked by chance: `10%`, `0.5%`. What fails, any 5xx, and what is slow is told always.",
        ..Setting::NEW
    },
    Setting {
        key: "slow_log",
        kind: Kind::Duration,
        default: "0s",
        words: "Requests whose answer does not begin within this time are told in the access log (`slow`) and in the edge's own log, \
                with where the time went: queue, connecting, the upstream's first byte, the whole. 0 is off. How slowly a client \
                reads does not count, nor how long a WebSocket lives.",
        ..Setting::NEW
    },
];

#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    pub requests: bool,
    /// Out of [`ALL`].
    sample: u32,
    pub slow: Option<Duration>,
}

/// A hundred per cent.
const ALL: u32 = 1_000_000;

impl Default for Log {
    fn default() -> Self {
        Self { requests: true, sample: ALL, slow: None }
    }
}

impl Log {
    /// Whether a request that nothing speaks for is told.
    pub fn takes(&self) -> bool {
        self.requests && (self.sample == ALL || fastrand::u32(..ALL) < self.sample)
    }

    pub fn read(levels: &mut Levels<'_>) -> Self {
        let text = levels.of("log_sample").text("log_sample");
        let sample = percent(text).unwrap_or_else(|| {
            levels.wrong("log_sample", format!("expected a percentage such as 10% or 0.5%, got {text:?}"));
            ALL
        });
        let slow = levels.of("slow_log").duration("slow_log");
        Self {
            requests: levels.of("log_requests").bool("log_requests"),
            sample,
            slow: (!slow.is_zero()).then_some(slow),
        }
    }
}

fn percent(text: &str) -> Option<u32> {
    let share: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
    (0.0..=100.0).contains(&share).then(|| (share * f64::from(ALL) / 100.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages() {
        for (text, share) in [
            ("10%", Some(100_000)),
            ("0.5 %", Some(5_000)),
            ("100%", Some(ALL)),
            ("0%", Some(0)),
            ("101%", None),
            ("-1%", None),
            ("NaN%", None),
            ("10", None),
            ("%", None),
        ] {
            assert_eq!(percent(text), share, "{text}");
        }
        assert!(Log::default().takes());
        assert!(!Log { sample: 0, ..Log::default() }.takes());
    }
}

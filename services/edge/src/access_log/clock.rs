//! The current second as text, so that it is formatted once a second.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::macros::format_description;

#[derive(Default)]
pub struct Clock {
    second: u64,
    /// `2026-11-21T12:00:00`
    rfc3339: String,
    /// nginx's `$time_local`; the zone is UTC: `21/Nov/2026:12:00:00 +0000`.
    local: String,
}

impl Clock {
    /// Sets it to that moment; returns what of it goes beyond the second.
    pub fn set(&mut self, at: SystemTime) -> Duration {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != since.as_secs() || self.rfc3339.is_empty() {
            self.second = since.as_secs();
            let at = UNIX_EPOCH + Duration::from_secs(self.second);
            let text = monodon_logging::rfc3339(at);
            text.get(..19).unwrap_or_default().clone_into(&mut self.rfc3339);
            let format = format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
            self.local = OffsetDateTime::from(at).format(format).unwrap_or_default();
        }
        Duration::from_nanos(u64::from(since.subsec_nanos()))
    }

    pub fn second(&self) -> u64 {
        self.second
    }

    pub fn rfc3339(&self) -> &[u8] {
        self.rfc3339.as_bytes()
    }

    pub fn local(&self) -> &[u8] {
        self.local.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let mut clock = Clock::default();
        let rest = clock.set(UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_042));
        assert_eq!(rest, Duration::from_micros(42));
        assert_eq!(clock.rfc3339(), b"2023-11-14T22:13:20");
        assert_eq!(clock.local(), b"14/Nov/2023:22:13:20 +0000");
    }
}

//! Requests that come before their turn and wait for it: nginx's `limit_req` with `delay=`.

use super::requests::Quota;
use super::{Limits, Verdict, Zone};
use crate::access_log::Record;
use crate::service::Failure;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// When a request may go on, and the zone that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub zone: usize,
    /// From when the request began.
    pub wait: Duration,
}

/// One that waits. Dropped, also because its client has left, it leaves its place to another.
struct Waiting(Arc<Zone>);

impl Waiting {
    /// `None`: there wait `most` already. A key's own burst is bounded; keys are not.
    fn among(zone: &Arc<Zone>, most: u64) -> Option<Self> {
        let one_more = |waiting: u64| Some(waiting + 1).filter(|sum| *sum <= most);
        zone.waiting.fetch_update(Relaxed, Relaxed, one_more).ok().map(|_| Self(zone.clone()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// Waits for its turn. Where too many do, or it would come after the time that the request has, there is no use in it.
pub async fn wait(limits: &Limits, turn: Turn, record: &mut Record) -> Result<(), Failure> {
    let Some(zone) = limits.zones.get(turn.zone) else { return Ok(()) };
    let late = record.options().timeouts.request.is_some_and(|limit| turn.wait > limit);
    let most = record.view.snapshot.config.limits.connections as u64;
    let Some(_waiting) = (!late).then(|| Waiting::among(zone, most)).flatten() else {
        zone.refused.fetch_add(1, Relaxed);
        record.quota = Some(Box::new(Quota::refused(turn.wait)));
        record.verdict = Verdict::Rejected;
        return Err(Failure::RATE);
    };
    zone.delayed.fetch_add(1, Relaxed);
    tokio::time::sleep_until((record.begun + turn.wait).into()).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits::{Key, Rate, Zone as Rule};

    #[test]
    fn those_that_wait_are_bounded() {
        let zone = Arc::new(Zone::new(&Rule {
            name: "a".into(),
            rate: Some(Rate { interval: Duration::from_secs(1), burst: 9, at_once: 0 }),
            at_a_time: 0,
            key: vec![Key::Client],
            keys: 64,
            dry_run: false,
        }));
        let first = Waiting::among(&zone, 2).unwrap();
        let second = Waiting::among(&zone, 2).unwrap();
        assert!(Waiting::among(&zone, 2).is_none());
        drop(first);
        drop(Waiting::among(&zone, 2).unwrap());
        drop(second);
        assert_eq!(zone.waiting.load(Relaxed), 0);
    }
}

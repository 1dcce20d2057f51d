//! What the supervisor tells StatsD: how many processes there are, how many connections wait, what was logged. (Each
//! process tells of its requests.)

use std::sync::Arc;
use std::time::Duration;

use super::shared::Shared;
use crate::scoreboard::{Entry, State};
use crate::statsd::{Settings, Statsd};

const EVERY: Duration = Duration::from_secs(1);
/// A gauge that does not change is told again, for datagrams get lost.
const AGAIN: u32 = 10;

/// Tells once a second, for ever.
pub async fn tell(shared: Arc<Shared>, settings: Settings) {
    let backlog = settings.backlog;
    let mut statsd = Statsd::new(settings);
    let (mut known, mut told) = (None, Logged::of(&shared));
    for turn in 0u32.. {
        let workers = shared.board.entries().iter().filter(|entry| entry.state() != State::Free).count() as u64;
        if known.replace(workers) != Some(workers) || turn.is_multiple_of(AGAIN) {
            statsd.gauge("gunicorn.workers", workers);
        }
        if backlog {
            let waiting = shared.backlogs().iter().map(|backlog| u64::from(backlog.waiting)).sum();
            statsd.histogram("gunicorn.backlog", waiting);
        }
        let now = Logged::of(&shared);
        for (name, before, after) in [
            ("gunicorn.log.error", told.errors, now.errors),
            ("gunicorn.log.warning", told.warnings, now.warnings),
            ("gunicorn.log.exception", told.exceptions, now.exceptions),
        ] {
            if after > before {
                statsd.count(name, after - before);
            }
        }
        told = now;
        statsd.flush();
        tokio::time::sleep(EVERY).await;
    }
}

struct Logged {
    errors: u64,
    warnings: u64,
    exceptions: u64,
}

impl Logged {
    fn of(shared: &Shared) -> Self {
        let [errors, warnings, ..] = shared.log_messages();
        let exceptions = shared.board.entries().iter().map(Entry::exceptions).sum();
        // gunicorn counts an exception as that alone.
        Self { errors: errors.saturating_sub(exceptions), warnings, exceptions }
    }
}

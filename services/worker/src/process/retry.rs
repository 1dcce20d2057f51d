//! A request that comes a second time because the process that had it died: was it killed for that request?
//!
//! Then it must not kill the next process too, and is answered here. One that had only just arrived when its process was
//! killed for time was not the one that took too long, and is served.

use std::time::Duration;

use super::{Shared, request::Request, start};
use crate::scoreboard::{self, Reason};

/// How long the supervisor may take to say why a process died.
const PATIENCE: Duration = Duration::from_millis(250);
const STEP: Duration = Duration::from_millis(10);
/// Deaths older than this have nothing to do with a request that is sent again at once.
const LATELY_MICROS: u64 = 5_000_000;

/// The status and the header line with which the request is answered instead of being served.
pub async fn verdict(shared: &Shared, request: &Request) -> Option<(u16, &'static [u8])> {
    if !request.peer.trusted {
        return None;
    }
    let entry: usize = std::str::from_utf8(request.field(b"x-monodon-retry")?).ok()?.trim().parse().ok()?;
    let board = &shared.scoreboard;
    let mut waited = Duration::ZERO;
    loop {
        if let Some(death) = board.died_lately(entry, LATELY_MICROS) {
            return match death.reason {
                Reason::Timeout if had_time(shared.config.timeout, age(request), death.at) => None,
                Reason::Timeout => Some((504, b"x-monodon-killed: timeout\r\n")),
                Reason::Oom => Some((502, b"x-monodon-killed: memory\r\n")),
                _ => None,
            };
        }
        if waited >= PATIENCE {
            return None;
        }
        tokio::time::sleep(STEP).await;
        waited += STEP;
    }
}

/// How long ago the proxy got the request.
fn age(request: &Request) -> Option<Duration> {
    start::of(request).map(|start| Duration::from_micros(start::epoch().saturating_sub(start)))
}

/// Whether a request of this age had not used up its time when its process was killed.
fn had_time(timeout: Duration, age: Option<Duration>, killed: u64) -> bool {
    let since = Duration::from_micros(scoreboard::now().saturating_sub(killed));
    age.is_some_and(|age| age.saturating_sub(since) < timeout)
}

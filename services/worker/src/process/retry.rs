//! A request that comes a second time because the process that had it died: was it killed for that request?
//!
//! Then it must not kill the next process too, and is answered here.

use std::time::Duration;

use super::{Shared, request::Request};
use crate::scoreboard::Reason;

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
        if let Some(reason) = board.died_lately(entry, LATELY_MICROS) {
            return match reason {
                Reason::Timeout => Some((504, b"x-monodon-killed: timeout\r\n")),
                Reason::Memory | Reason::Oom => Some((502, b"x-monodon-killed: memory\r\n")),
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

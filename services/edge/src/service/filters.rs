//! What stands before and behind whatever answers a request, in the order in which it is asked.

use super::Failure;
use super::dispatch::Asked;
use crate::access;
use crate::access_log::Record;
use crate::body::Body;
use crate::compress;
use crate::limits;
use http::Response;
use http::request::Parts;

/// May this request be answered, as far as its address, method and path say, and how many there are of its kind? First of all,
/// so that whom nothing is for learns nothing, not where it is either, and counts whatever the answer. Its route's options
/// hold: `record.options()`. True where somebody has still to say who he is.
///
/// Asked again wherever the request is sent on to, by `try_files` or by the application (`pointed`), as nginx runs its access
/// phase again on an internal redirect: what lets nobody in lets nobody in by a detour. Limits count it once each.
pub async fn rules(asked: &Asked<'_>, parts: &Parts, record: &mut Record, pointed: bool) -> Result<bool, Failure> {
    let checked = access::check(record.options(), asked.origin.client_ip, &parts.method, asked.path, pointed);
    if let Some(trace) = &record.thread.trace {
        trace.rules(record.options(), checked);
    }
    let unknown = checked?;
    // Before anything that costs much, such as looking at a password.
    let turn = limits::admit(asked, parts, record)?;
    if let Some(trace) = &record.thread.trace {
        limits::explain(&asked.view.snapshot.limits, &record.options().limits, trace);
    }
    if let Some(turn) = turn {
        // On the heap: few wait, and all would pay for the room.
        Box::pin(limits::wait(&asked.view.snapshot.limits, turn, record)).await?;
    }
    Ok(unknown)
}

/// What the filters behind want to know of a request, whose headers the upstream takes.
pub struct Seen {
    compress: compress::Seen,
}

impl Seen {
    pub fn of(parts: &Parts, record: &Record) -> Self {
        Self { compress: compress::Seen::of(&record.options().compress, parts) }
    }
}

/// What becomes of an answer that came from a file, an upstream or a route. (Error pages, and what all answers have, are
/// not here but in the pipeline's end.)
pub fn after(_asked: &Asked<'_>, seen: &Seen, record: &mut Record, response: Response<Body>) -> Response<Body> {
    let metrics = &record.thread.metrics;
    compress::apply(&record.options().compress, &seen.compress, &record.method, response, metrics)
}

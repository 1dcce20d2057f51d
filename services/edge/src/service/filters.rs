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

/// May this request be answered, and is it answered here already? Its route's options hold: `record.options()`.
pub async fn before(
    asked: &Asked<'_>,
    parts: &mut Parts,
    record: &mut Record,
) -> Result<Option<Response<Body>>, Failure> {
    let unknown = access::check(record.options(), asked.origin.client_ip, &parts.method, asked.path)?;
    // Before anything that costs much, such as looking at a password.
    limits::admit(asked, parts, record)?;
    if unknown && !asked.is_status_page() {
        // On the heap, and only where it is asked for.
        if let Some(answer) = Box::pin(access::identify(asked, parts, record)).await? {
            return Ok(Some(answer));
        }
    }
    Ok(None)
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

//! Where browsers tell what a content security policy has forbidden, or would have: counted by directive, a few of each
//! report logged. Anybody can send anything here, so all of it has bounds, and none of it is believed.

mod report;

use super::{Asked, Failure};
use crate::access_log::Record;
use crate::body::Body;
use crate::buffer::{self, BodyLimits};
use crate::headers::csp::DIRECTIVES;
use crate::metrics::Shard;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::BodyExt;
use report::{Report, reports};
use std::cell::Cell;
use std::time::Instant;

/// A batch of reports is not larger.
const LARGEST: u64 = 64 << 10;
/// Of one batch, so many are counted, and so many logged.
const COUNTED: usize = 20;
const LOGGED: usize = 3;
/// Batches a second on one thread, after a burst.
const RATE: f64 = 10.0;
const BURST: f64 = 50.0;

/// Index of `metrics::CSP_REJECTED`.
#[derive(Clone, Copy)]
enum Rejected {
    Rate,
    Size,
    MediaType,
    Malformed,
}

thread_local! {
    /// When it was looked at last, and what was left then.
    static BUCKET: Cell<Option<(Instant, f64)>> = const { Cell::new(None) };
}

/// One of the thread's batches, if there is one left.
fn admitted(now: Instant) -> bool {
    let (then, left) = BUCKET.get().unwrap_or((now, BURST));
    let left = (left + now.saturating_duration_since(then).as_secs_f64() * RATE).min(BURST);
    let admitted = left >= 1.0;
    BUCKET.set(Some((now, if admitted { left - 1.0 } else { left })));
    admitted
}

pub async fn receive(
    asked: &Asked<'_>,
    parts: &Parts,
    body: Body,
    record: &mut Record,
) -> Result<Response<Body>, Failure> {
    let metrics = record.thread.metrics.clone();
    let reject = |reason: Rejected, status: StatusCode| {
        if let Some(cell) = metrics.csp_rejected.get(reason as usize) {
            cell.add(1);
        }
        Ok(answer(status))
    };
    if parts.method != Method::POST {
        let mut response = answer(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return Ok(response);
    }
    if !is_report(parts.headers.get(header::CONTENT_TYPE)) {
        return reject(Rejected::MediaType, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    if !admitted(record.begun) {
        return reject(Rejected::Rate, StatusCode::TOO_MANY_REQUESTS);
    }
    let config = &asked.view.snapshot.config;
    let limits = BodyLimits {
        total: LARGEST,
        memory: record.options().buffering.memory,
        wait: config.timeouts.body,
        min_rate: config.limits.min_rate,
    };
    let buffered = match buffer::collect(body, &limits, &asked.view.snapshot.spool).await {
        Ok(buffered) => buffered,
        Err(buffer::BufferError::TooLarge) => {
            let _ = reject(Rejected::Size, StatusCode::PAYLOAD_TOO_LARGE);
            return Err(Failure::TOO_LARGE);
        }
        Err(error) => return Err(error.into()),
    };
    record.bytes_in = buffered.len();
    let Ok(bytes) = buffered.replay().collect().await else { return Err(Failure::DISK) };
    let Some(reports) = reports(&bytes.to_bytes()) else {
        return reject(Rejected::Malformed, StatusCode::BAD_REQUEST);
    };
    for (at, report) in reports.iter().take(COUNTED).enumerate() {
        count(report, &metrics);
        if at < LOGGED {
            log(report, asked.host, record.id.to_str().unwrap_or_default());
        }
    }
    Ok(answer(StatusCode::NO_CONTENT))
}

fn answer(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// `report-uri` sends the first, `report-to` the second.
fn is_report(content_type: Option<&HeaderValue>) -> bool {
    let Some(value) = content_type.and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim();
    ["application/csp-report", "application/reports+json", "application/json"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(essence))
}

fn count(report: &Report, metrics: &Shard) {
    let place = DIRECTIVES.iter().position(|known| *known == report.directive).unwrap_or(DIRECTIVES.len());
    metrics.csp_reports.add((place as u64) << 1 | u64::from(report.enforced), 1);
}

fn log(report: &Report, site: &str, request_id: &str) {
    tracing::warn!(
        directive = report.directive,
        disposition = if report.enforced { "enforce" } else { "report" },
        blocked = report.blocked,
        document = report.document,
        source = report.source,
        site,
        request_id,
        "a browser reports a violation of the content security policy"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn batches_have_a_rate() {
        let now = Instant::now();
        let admitted_of = |tries: usize, at: Instant| (0..tries).filter(|_| admitted(at)).count();
        assert_eq!(admitted_of(200, now), 50);
        assert_eq!(admitted_of(200, now + Duration::from_secs(2)), 20);
        assert_eq!(admitted_of(200, now + Duration::from_secs(1000)), 50);
    }
}

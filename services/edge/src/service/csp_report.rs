//! Where browsers tell what a content security policy has forbidden, or would have: counted by directive, a few of each
//! report logged. Anybody can send anything here, so all of it has bounds, and none of it is believed.

use super::{Asked, Failure};
use crate::access_log::Record;
use crate::body::Body;
use crate::buffer::{self, BodyLimits};
use crate::headers::csp::DIRECTIVES;
use crate::metrics::Shard;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
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
/// Characters of a field in the log.
const SHOWN: usize = 200;

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
        report.count(&metrics);
        if at < LOGGED {
            report.log(asked.host, record.id.to_str().unwrap_or_default());
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

/// What is kept of a report; all of it the browser's word.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    directive: String,
    enforced: bool,
    blocked: String,
    document: String,
    source: String,
}

/// Those on policies; `None` where it is no report at all.
fn reports(bytes: &[u8]) -> Option<Vec<Report>> {
    match serde_json::from_slice::<Value>(bytes).ok()? {
        Value::Object(report) => {
            let report = report.get("csp-report").filter(|report| report.is_object())?;
            Some(vec![Report::of(report, ["effective-directive", "blocked-uri", "document-uri", "source-file"])])
        }
        Value::Array(batch) => {
            let violations =
                batch.iter().filter(|report| report.get("type").is_some_and(|kind| kind == "csp-violation"));
            let fields = ["effectiveDirective", "blockedURL", "documentURL", "sourceFile"];
            Some(violations.filter_map(|report| Some(Report::of(report.get("body")?, fields))).collect())
        }
        _ => None,
    }
}

impl Report {
    fn of(report: &Value, [directive, blocked, document, source]: [&str; 4]) -> Self {
        let text = |key: &str| report.get(key).and_then(Value::as_str).unwrap_or_default();
        // Older browsers give the whole directive, under another name.
        let named = Some(text(directive)).filter(|name| !name.is_empty()).unwrap_or_else(|| text("violated-directive"));
        Self {
            directive: shown(named.split_ascii_whitespace().next().unwrap_or_default()),
            enforced: text("disposition") != "report",
            blocked: shown(text(blocked)),
            document: shown(text(document)),
            source: shown(text(source)),
        }
    }

    fn count(&self, metrics: &Shard) {
        let place = DIRECTIVES.iter().position(|known| *known == self.directive).unwrap_or(DIRECTIVES.len());
        metrics.csp_reports.add((place as u64) << 1 | u64::from(self.enforced), 1);
    }

    fn log(&self, site: &str, request_id: &str) {
        tracing::warn!(
            directive = self.directive,
            disposition = if self.enforced { "enforce" } else { "report" },
            blocked = self.blocked,
            document = self.document,
            source = self.source,
            site,
            request_id,
            "a browser reports a violation of the content security policy"
        );
    }
}

/// Without query and fragment, which hold secrets, and without what would turn a terminal's text around; cut.
fn shown(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let mut out = String::new();
    for c in text.chars() {
        let length = if matches!(c, ' '..='~') { 1 } else { c.escape_unicode().count() };
        if out.len() + length > SHOWN {
            break;
        }
        if length == 1 { out.push(c) } else { out.extend(c.escape_unicode()) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn both_forms() {
        let old = br#"{"csp-report":{"document-uri":"https://a.example/p?token=1","violated-directive":"img-src 'self'",
            "effective-directive":"img-src","blocked-uri":"https://evil.example/x.png#f","disposition":"report","source-file":5}}"#;
        let report = &reports(old).unwrap()[0];
        assert_eq!((report.directive.as_str(), report.enforced), ("img-src", false));
        assert_eq!(
            (report.document.as_str(), report.blocked.as_str()),
            ("https://a.example/p", "https://evil.example/x.png")
        );
        let new = br#"[{"type":"deprecation","body":{}},{"type":"csp-violation","body":{"effectiveDirective":"script-src-elem",
            "blockedURL":"inline","documentURL":"https://a.example/","disposition":"enforce","sourceFile":"https://a.example/s.js"}}]"#;
        let new = reports(new).unwrap();
        assert_eq!(new.len(), 1);
        assert_eq!(
            (new[0].directive.as_str(), new[0].enforced, new[0].source.as_str()),
            ("script-src-elem", true, "https://a.example/s.js")
        );
        let oldest = br#"{"csp-report":{"violated-directive":"script-src 'self' https:"}}"#;
        assert_eq!(reports(oldest).unwrap()[0].directive, "script-src");
    }

    #[test]
    fn what_is_no_report() {
        let deep = "[".repeat(5000);
        for text in ["", "x", "5", "null", "\"a\"", "{}", r#"{"csp-report":5}"#, r#"{"csp-report":[]}"#, &deep] {
            assert_eq!(reports(text.as_bytes()), None, "{text}");
        }
        assert_eq!(reports(b"[1, {}, {\"type\":\"csp-violation\"}]"), Some(vec![]));
        assert_eq!(reports(br#"{"csp-report":{}}"#), Some(vec![Report { enforced: true, ..Report::default() }]));
    }

    #[test]
    fn nothing_gets_into_the_log_that_acts_there() {
        assert_eq!(shown("a\u{1b}[31m\n\u{202e}b\u{e9}"), "a\\u{1b}[31m\\u{a}\\u{202e}b\\u{e9}");
        assert_eq!(shown(&"x".repeat(10_000)).len(), SHOWN);
        assert!(shown(&"\n".repeat(10_000)).len() <= SHOWN);
    }

    /// Any change of a byte gives a report within bounds, or none.
    #[test]
    fn mutations() {
        let seeds: [&[u8]; 2] = [
            br#"{"csp-report":{"violated-directive":"img-src 'self'","blocked-uri":"a","disposition":"report"}}"#,
            br#"[{"type":"csp-violation","body":{"effectiveDirective":"script-src","blockedURL":"inline"}}]"#,
        ];
        let mut random = fastrand::Rng::with_seed(11);
        for round in 0..20_000 {
            let mut bytes = seeds[round % 2].to_vec();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            for report in reports(&bytes).unwrap_or_default() {
                assert!(report.directive.len() <= SHOWN && report.directive.is_ascii());
            }
        }
    }

    #[test]
    fn batches_have_a_rate() {
        let now = Instant::now();
        let admitted_of = |tries: usize, at: Instant| (0..tries).filter(|_| admitted(at)).count();
        assert_eq!(admitted_of(200, now), 50);
        assert_eq!(admitted_of(200, now + Duration::from_secs(2)), 20);
        assert_eq!(admitted_of(200, now + Duration::from_secs(1000)), 50);
    }
}

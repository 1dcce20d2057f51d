//! Conditional requests, in the order of RFC 9110, section 13.2.2.

use super::entity::Entity;
use http::{HeaderMap, HeaderName, header};
use std::time::SystemTime;

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 412
    Failed,
    /// 304
    NotModified,
    /// Ranges count only if there are any and `If-Range` agrees.
    Send { ranges: bool },
}

/// `dateless`: the file's date is that of other bytes, too, and fits no range to them.
pub fn check(headers: &HeaderMap, entity: &Entity, dateless: bool) -> Verdict {
    verdict(headers, &entity.etag, entity.modified, dateless)
}

fn verdict(headers: &HeaderMap, etag: &str, modified: SystemTime, dateless: bool) -> Verdict {
    // Most ask for the whole, whatever they have: found by looking along the fields once, without a hash for each name.
    let asks = |name: &HeaderName| {
        matches!(
            *name,
            header::IF_MATCH
                | header::IF_UNMODIFIED_SINCE
                | header::IF_NONE_MATCH
                | header::IF_MODIFIED_SINCE
                | header::IF_RANGE
                | header::RANGE
        )
    };
    if !headers.keys().any(asks) {
        return Verdict::Send { ranges: false };
    }
    if headers.contains_key(header::IF_MATCH) {
        if !lists(headers, &header::IF_MATCH, |tag| tag == etag) {
            return Verdict::Failed;
        }
    } else if let Some(since) = date(headers, &header::IF_UNMODIFIED_SINCE)
        && modified > since
    {
        return Verdict::Failed;
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        // Compared weakly: `W/` is left out of account.
        if lists(headers, &header::IF_NONE_MATCH, |tag| tag.strip_prefix("W/").unwrap_or(tag) == etag) {
            return Verdict::NotModified;
        }
    } else if let Some(since) = date(headers, &header::IF_MODIFIED_SINCE)
        && modified <= since
    {
        return Verdict::NotModified;
    }
    let ranges = match headers.get(header::IF_RANGE).map(|value| value.to_str().unwrap_or_default().trim()) {
        None => true,
        Some(tag) if tag.starts_with('"') => tag == etag,
        Some(tag) if tag.starts_with("W/") => false,
        // A date is a validator only as it was sent.
        Some(date) => !dateless && httpdate::parse_http_date(date).is_ok_and(|date| date == modified),
    };
    Verdict::Send { ranges }
}

/// Does one of the listed tags fit, or `*`? A tag has no quote inside, so that commas need no care: a part of a tag
/// never equals a whole one.
fn lists(headers: &HeaderMap, name: &HeaderName, fits: impl Fn(&str) -> bool) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| tag == "*" || fits(tag))
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    const TAG: &str = "\"a-1\"";
    const AT: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
    const AFTER: &str = "Sun, 09 Sep 2001 01:46:41 GMT";
    const BEFORE: &str = "Sun, 09 Sep 2001 01:46:39 GMT";

    fn of(fields: &[(HeaderName, &str)]) -> Verdict {
        let headers = fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        verdict(&headers, TAG, UNIX_EPOCH + Duration::from_secs(1_000_000_000), false)
    }

    #[test]
    fn order_and_comparison() {
        use header::*;
        let send = Verdict::Send { ranges: true };
        assert_eq!(of(&[]), Verdict::Send { ranges: false }, "none asked for");
        assert_eq!(of(&[(RANGE, "bytes=0-1")]), send);
        assert_eq!(of(&[(IF_NONE_MATCH, "\"x\", W/\"a-1\"")]), Verdict::NotModified);
        assert_eq!(of(&[(IF_NONE_MATCH, "*")]), Verdict::NotModified);
        assert_eq!(of(&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, AFTER)]), send, "the tag decides");
        assert_eq!(of(&[(IF_MODIFIED_SINCE, AT)]), Verdict::NotModified);
        assert_eq!(of(&[(IF_MODIFIED_SINCE, BEFORE)]), send);
        assert_eq!(of(&[(IF_MODIFIED_SINCE, "nonsense")]), send);
        assert_eq!(of(&[(IF_MATCH, "\"x\"")]), Verdict::Failed);
        assert_eq!(of(&[(IF_MATCH, "W/\"a-1\"")]), Verdict::Failed, "compared strongly");
        assert_eq!(of(&[(IF_MATCH, TAG), (IF_UNMODIFIED_SINCE, BEFORE)]), send, "the tag decides");
        assert_eq!(of(&[(IF_UNMODIFIED_SINCE, BEFORE)]), Verdict::Failed);
        assert_eq!(of(&[(IF_UNMODIFIED_SINCE, AT)]), send);
        assert_eq!(of(&[(IF_RANGE, TAG)]), send);
        for other in ["\"x\"", "W/\"a-1\"", AFTER, "nonsense"] {
            assert_eq!(of(&[(IF_RANGE, other)]), Verdict::Send { ranges: false }, "{other}");
        }
        assert_eq!(of(&[(IF_RANGE, AT)]), send);
    }
}

//! Whether a request is within the limits that hold for it, and what its answer says of them.

use super::counts::{Place, Taken};
use super::delay::Turn;
use super::table::Standing;
use super::{HASHER, Limits, Zone};
use crate::access_log::Record;
use crate::config::limits::Key;
use crate::headers::cookie;
use crate::service::{Asked, Failure, Snapshot};
use crate::template::Scope;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Where a request is counted until its answer has ended; given back by [`release`].
pub struct Held {
    /// `None`: among the requests of its client.
    zone: Option<usize>,
    place: Place,
}

/// What an answer tells its client of the limits.
pub struct Quota {
    /// The zone that has least left, or has refused.
    zone: Option<(usize, Standing)>,
    retry: Option<Duration>,
}

impl Quota {
    /// For a request that is refused and may come again after `retry`.
    pub fn refused(retry: Duration) -> Self {
        Self { zone: None, retry: Some(retry) }
    }
}

/// What the rates said of a request; the worst of them, where several hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// No rate holds for it.
    #[default]
    Unasked,
    Passed,
    DelayedDryRun,
    RejectedDryRun,
    Delayed,
    Rejected,
}

/// What has been found out of a request.
#[derive(Default)]
struct Outcome {
    held: Vec<Held>,
    least: Option<(usize, Standing)>,
    refused: Option<(Failure, Duration)>,
    /// The longest.
    turn: Option<Turn>,
    verdict: Verdict,
}

/// Counts the request wherever it counts; `Err` where that is too much. One that has a turn is to wait for it.
pub fn admit(asked: &Asked<'_>, parts: &Parts, record: &mut Record) -> Result<Option<Turn>, Failure> {
    if record.options().limits.is_off() {
        return Ok(None);
    }
    // A request that was sent on within the site is one request still: what has counted it does not do so again.
    let (mut before, mut counted) = (std::mem::take(&mut record.held), std::mem::take(&mut record.counted));
    let options = &record.options().limits;
    let limits = &asked.view.snapshot.limits;
    let mut outcome = Outcome::default();
    let exempt = limits.is_exempt(asked.origin.client_ip);
    if options.requests_per_client > 0 && !exempt {
        // Of how many a client may have, the route that has it now decides.
        if let Some(at) = before.iter().position(|held| held.zone.is_none()) {
            release(limits, &[before.swap_remove(at)]);
        }
        let key = limits.client_key(asked.origin.client_ip);
        match limits.clients.requests.take(key, options.requests_per_client) {
            Taken::Yes(place) => outcome.held.extend(place.map(|place| Held { zone: None, place })),
            Taken::No => outcome.refused = Some((Failure::AT_A_TIME, Duration::from_secs(1))),
        }
    }
    for &place in &options.zones {
        if outcome.refused.is_some() {
            break;
        }
        if !counted.contains(place)
            && let Some(zone) = limits.zones.get(place)
            && !(exempt && zone.rule.by_client())
            && let Some(key) = zone.key(limits, asked, parts)
        {
            counted.insert(place);
            outcome.ask(zone, place, key, record.begun);
        }
    }
    let told = options.headers;
    let Outcome { mut held, least, refused, turn, verdict } = outcome;
    record.counted = counted;
    record.verdict = record.verdict.max(verdict);
    if refused.is_some() || (told && least.is_some()) {
        record.quota = Some(Box::new(Quota { zone: least, retry: refused.map(|(_, retry)| retry) }));
    }
    if let Some((failure, _)) = refused {
        release(limits, &held);
        record.held = before;
        return Err(failure);
    }
    held.append(&mut before);
    record.held = held;
    Ok(turn)
}

impl Outcome {
    fn ask(&mut self, zone: &Zone, place: usize, key: u64, now: Instant) {
        let refused = if zone.rule.dry_run { &zone.spared } else { &zone.refused };
        if let Some(counts) = &zone.counts {
            match counts.take(key, zone.rule.at_a_time) {
                Taken::Yes(place_of) => {
                    self.held.extend(place_of.map(|found| Held { zone: Some(place), place: found }));
                }
                Taken::No => {
                    refused.fetch_add(1, Relaxed);
                    if !zone.rule.dry_run {
                        self.refused = Some((Failure::AT_A_TIME, Duration::from_secs(1)));
                        return;
                    }
                }
            }
        }
        let (Some(table), Some(rate)) = (&zone.table, zone.rule.rate) else { return };
        let standing = table.ask(key, rate, now);
        if !standing.allowed {
            refused.fetch_add(1, Relaxed);
        }
        self.verdict = self.verdict.max(Verdict::of(&standing, zone.rule.dry_run));
        if zone.rule.dry_run {
            return;
        }
        if !standing.wait.is_zero() && self.turn.is_none_or(|turn| turn.wait < standing.wait) {
            self.turn = Some(Turn { zone: place, wait: standing.wait });
        }
        if !standing.allowed {
            self.refused = Some((Failure::RATE, standing.retry));
        }
        if !standing.allowed || self.least.is_none_or(|(_, least)| standing.remaining < least.remaining) {
            self.least = Some((place, standing));
        }
    }
}

impl Verdict {
    fn of(standing: &Standing, dry_run: bool) -> Self {
        match (standing.allowed, standing.wait.is_zero(), dry_run) {
            (true, true, _) => Self::Passed,
            (true, false, false) => Self::Delayed,
            (true, false, true) => Self::DelayedDryRun,
            (false, _, false) => Self::Rejected,
            (false, _, true) => Self::RejectedDryRun,
        }
    }

    /// nginx's words.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Unasked => return None,
            Self::Passed => "PASSED",
            Self::Delayed => "DELAYED",
            Self::Rejected => "REJECTED",
            Self::DelayedDryRun => "DELAYED_DRY_RUN",
            Self::RejectedDryRun => "REJECTED_DRY_RUN",
        })
    }
}

impl Zone {
    /// What the request is counted by; `None` where it has not what this zone counts.
    fn key(&self, limits: &Limits, asked: &Asked<'_>, parts: &Parts) -> Option<u64> {
        if self.rule.key == [Key::Client] {
            return Some(limits.client_key(asked.origin.client_ip));
        }
        let mut hasher = HASHER.build_hasher();
        for part in &self.rule.key {
            match part {
                Key::Client => limits.client(asked.origin.client_ip).hash(&mut hasher),
                Key::Header(name) => parts.headers.get(name)?.as_bytes().hash(&mut hasher),
                Key::Cookie(name) => cookie::of(&parts.headers, name)?.hash(&mut hasher),
                Key::Template(template) => template
                    .fill(&Scope {
                        host: asked.host,
                        scheme: asked.scheme,
                        path: asked.path,
                        target: parts.uri.path_and_query().map_or("/", |target| target.as_str()),
                        query: parts.uri.query(),
                        captures: None,
                    })
                    .hash(&mut hasher),
            }
        }
        Some(hasher.finish())
    }
}

/// What a request is counted by that has become a tunnel.
struct Kept {
    snapshot: Arc<Snapshot>,
    held: Vec<Held>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        release(&self.snapshot.limits, &self.held);
    }
}

/// A WebSocket counts until it is closed: not its answer's end is its own, but its connection's.
pub fn keep(record: &mut Record) {
    if !record.held.is_empty() {
        let held = std::mem::take(&mut record.held);
        let _ = record.conn.kept.set(Arc::new(Kept { snapshot: record.view.snapshot.clone(), held }));
    }
}

/// The answer has ended.
pub fn release(limits: &Limits, held: &[Held]) {
    for Held { zone, place } in held {
        match zone {
            None => limits.clients.requests.give_back(place),
            Some(zone) => {
                if let Some(counts) = limits.zones.get(*zone).and_then(|zone| zone.counts.as_ref()) {
                    counts.give_back(place);
                }
            }
        }
    }
}

/// Writes the fields of the IETF's draft, and Retry-After (RFC 9110, section 10.2.3) where the request was refused.
pub fn tell(limits: &Limits, quota: &Quota, status: StatusCode, headers: &mut HeaderMap) {
    if let Some((place, standing)) = quota.zone
        && let Some(zone) = limits.zones.get(place)
        && let Some(policy) = &zone.policy
    {
        let text = format!("\"{}\";r={};t={}", zone.rule.name, standing.remaining, whole_seconds(standing.reset));
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(&RATE_LIMIT, value);
            headers.insert(&RATE_LIMIT_POLICY, policy.clone());
        }
    }
    if let Some(retry) = quota.retry.filter(|_| status == StatusCode::TOO_MANY_REQUESTS) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(retry).max(1)));
    }
}

/// Rounded up: who comes back after that finds room.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(2)), 2);
    }
}

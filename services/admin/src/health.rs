//! What a service says of itself, as `application/health+json` (draft-inadarei-api-health-check): the shape of `/readyz`,
//! written by every service and read by the sidecar.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub const MEDIA_TYPE: &str = "application/health+json";

/// In the order of badness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    #[default]
    Pass,
    Warn,
    Fail,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pass => "pass",
            Status::Warn => "warn",
            Status::Fail => "fail",
        }
    }
}

/// One thing a service looks at. `name` is `component:measurement` (`edge:listener`, `edge:certificate`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Check {
    pub name: String,
    pub status: Status,
    /// For people, when it does not pass: what is wrong and what to do.
    pub reason: Option<String>,
    /// What was measured, with its unit.
    pub observed: Option<(Value, &'static str)>,
    /// Which of several: a site's name, an upstream's address.
    pub of: Option<String>,
}

impl Check {
    pub fn pass(name: impl Into<String>) -> Check {
        Check { name: name.into(), ..Check::default() }
    }

    pub fn warn(name: impl Into<String>, reason: impl Into<String>) -> Check {
        Check { name: name.into(), status: Status::Warn, reason: Some(reason.into()), ..Check::default() }
    }

    pub fn fail(name: impl Into<String>, reason: impl Into<String>) -> Check {
        Check { name: name.into(), status: Status::Fail, reason: Some(reason.into()), ..Check::default() }
    }

    #[must_use]
    pub fn observed(mut self, value: impl Into<Value>, unit: &'static str) -> Check {
        self.observed = Some((value.into(), unit));
        self
    }

    #[must_use]
    pub fn of(mut self, which: impl Into<String>) -> Check {
        self.of = Some(which.into());
        self
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Readiness {
    pub checks: Vec<Check>,
}

impl Readiness {
    /// The worst of all.
    pub fn status(&self) -> Status {
        self.checks.iter().map(|check| check.status).max().unwrap_or_default()
    }

    pub fn document(&self, service: &str, version: &str) -> Document {
        let time = seconds(SystemTime::now());
        let mut checks: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        for check in &self.checks {
            let (observed_value, observed_unit) = match &check.observed {
                Some((value, unit)) => (Some(value.clone()), Some((*unit).to_owned())),
                None => (None, None),
            };
            checks.entry(check.name.clone()).or_default().push(Entry {
                component_id: check.of.clone(),
                status: check.status,
                observed_value,
                observed_unit,
                time: Some(time.clone()),
                output: check.reason.clone().filter(|_| check.status != Status::Pass),
            });
        }
        let bad = self.checks.iter().filter(|check| check.status != Status::Pass).count();
        let count = self.checks.len();
        Document {
            status: self.status(),
            release_id: (!version.is_empty()).then(|| version.to_owned()),
            service_id: (!service.is_empty()).then(|| service.to_owned()),
            notes: if bad > 0 { vec![format!("{bad} of {count} checks {}", plural(bad))] } else { Vec::new() },
            checks,
        }
    }
}

fn plural(bad: usize) -> &'static str {
    if bad == 1 { "is not passing" } else { "are not passing" }
}

/// The document itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_id: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    #[serde(default)]
    pub checks: BTreeMap<String, Vec<Entry>>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component_id: Option<String>,
    #[serde(default)]
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

impl Document {
    /// What does not pass, one line each, for people.
    pub fn complaints(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, entries) in &self.checks {
            for entry in entries.iter().filter(|entry| entry.status != Status::Pass) {
                let which = entry.component_id.as_deref().map(|id| format!(" ({id})")).unwrap_or_default();
                let why = entry.output.as_deref().unwrap_or("no reason given");
                lines.push(format!("{}: {name}{which}: {why}", entry.status.as_str()));
            }
        }
        lines
    }
}

/// `2026-11-21T00:11:21Z`
pub fn seconds(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default();
    // Civil date from days (Howard Hinnant's algorithm), for one format is no reason for a dependency.
    let (days, rest) = ((since / 86_400) as i64, since % 86_400);
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

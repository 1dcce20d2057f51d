//! How the certificates fare, for `/readyz`, `/metrics` and whoever asks.

use super::Certificates;
use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer {
    Acme,
    Internal,
}

impl Issuer {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acme => "acme",
            Self::Internal => "internal",
        }
    }
}

/// One certificate that is served.
#[derive(Clone, Debug)]
pub struct CertificateStatus {
    /// The domain; `internal` for the internal CA's.
    pub name: String,
    pub issuer: Issuer,
    pub not_after: SystemTime,
    /// Why it is not as wanted: pending, failing, expiring.
    pub problem: Option<String>,
    pub next_attempt: Option<SystemTime>,
    pub last_success: Option<SystemTime>,
    pub consecutive_failures: u32,
}

fn time(unix: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(unix)
}

impl Certificates {
    /// The internal certificate first, then each domain by name.
    pub fn status(&self) -> Vec<CertificateStatus> {
        let settings = self.settings();
        let state = self.state();
        let internal = CertificateStatus {
            name: "internal".into(),
            issuer: Issuer::Internal,
            not_after: time(state.leaf.not_after),
            problem: state.authority_problem.clone(),
            next_attempt: None,
            last_success: None,
            consecutive_failures: 0,
        };
        let domains = settings.domains.iter().map(|name| {
            let public = state.public.get(name);
            let acme = state.names.get(name);
            let mut problem = acme.and_then(|acme| acme.problem.clone()).or_else(|| state.acme_problem.clone());
            // Without ACME the internal certificate is what was asked for.
            if settings.acme_email.is_some() && public.is_none() {
                let reason = problem.map(|problem| format!(": {problem}")).unwrap_or_default();
                problem = Some(format!("certificate pending, served by the internal CA's{reason}"));
            }
            CertificateStatus {
                name: name.clone(),
                issuer: if public.is_some() { Issuer::Acme } else { Issuer::Internal },
                not_after: time(public.unwrap_or(&state.leaf).not_after),
                problem,
                next_attempt: acme.and_then(|acme| acme.next_attempt).map(time),
                last_success: acme.and_then(|acme| acme.last_success).map(time),
                consecutive_failures: acme.map_or(0, |acme| acme.consecutive_failures),
            }
        });
        std::iter::once(internal).chain(domains).collect()
    }

    /// The certificates' families in Prometheus text.
    pub fn render(&self, out: &mut String) {
        let status = self.status();
        let acme: Vec<_> = status.iter().filter(|one| one.name != "internal").collect();
        let seconds = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |passed| passed.as_secs());

        family(out, "certificate_not_after_timestamp_seconds", "gauge", "When the certificate that is served expires.");
        for one in &status {
            let labels = format!("site=\"{}\",issuer=\"{}\"", one.name, one.issuer.as_str());
            sample(out, "certificate_not_after_timestamp_seconds", &labels, seconds(one.not_after));
        }
        if self.settings().acme_email.is_none() {
            return;
        }
        family(out, "acme_next_attempt_timestamp_seconds", "gauge", "When the next certificate is ordered.");
        for one in &acme {
            if let Some(at) = one.next_attempt {
                sample(out, "acme_next_attempt_timestamp_seconds", &site(one), seconds(at));
            }
        }
        family(out, "acme_last_success_timestamp_seconds", "gauge", "When the last certificate was issued.");
        for one in &acme {
            if let Some(at) = one.last_success {
                sample(out, "acme_last_success_timestamp_seconds", &site(one), seconds(at));
            }
        }
        family(out, "acme_consecutive_failures", "gauge", "Attempts that failed since the last success.");
        for one in &acme {
            sample(out, "acme_consecutive_failures", &site(one), u64::from(one.consecutive_failures));
        }
        family(out, "acme_orders_total", "counter", "Attempts to get a certificate, by how they ended.");
        for (result, count) in [("issued", &self.counts.issued), ("failed", &self.counts.failed)] {
            let labels = format!("result=\"{result}\"");
            sample(out, "acme_orders_total", &labels, count.load(Ordering::Relaxed));
        }
    }
}

/// Domains are checked to be host names, so nothing in a label needs escaping.
fn site(one: &CertificateStatus) -> String {
    format!("site=\"{}\"", one.name)
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP monodon_edge_{name} {help}\n# TYPE monodon_edge_{name} {kind}");
}

fn sample(out: &mut String, name: &str, labels: &str, value: u64) {
    let _ = writeln!(out, "monodon_edge_{name}{{{labels}}} {value}");
}

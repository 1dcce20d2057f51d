//! Looks after every name: what is stored, when its next attempt is, how it went.

use super::authority::Client;
use super::backoff::Attempts;
use super::failure::Failure;
use super::order::Attempt;
use super::records::{Records, authority_folder};
use super::{NameStatus, lock, renew_at, unfit};
use crate::config::Tls;
use crate::tls::bundle::Bundle;
use crate::tls::{Certificates, folder, unix_now};
use futures_util::future::join_all;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Orders at the same time.
const AT_ONCE: usize = 4;

/// However slow each answer is, an attempt has an end. What it had is stored, and the next goes on from there.
const ATTEMPT: Duration = Duration::from_secs(600);

/// The wall clock is looked at so often: a machine may sleep, and its clock may jump.
const LOOK: u64 = 30;

/// How soon a store that cannot be used, or that another edge looks after, is looked at again.
const STORE: Duration = Duration::from_secs(5);

/// Never ends. A reload begins anew; an order that it cuts off is resumed from what is stored.
pub(crate) async fn manage(certificates: &Certificates) {
    loop {
        let settings = certificates.settings();
        tokio::select! {
            () = run(certificates, &settings) => {}
            () = certificates.changed() => {}
        }
    }
}

async fn run(certificates: &Certificates, settings: &Tls) {
    let Some(email) = settings.acme_email.as_deref().filter(|_| !settings.domains.is_empty()) else {
        return std::future::pending().await;
    };
    let Some(base) = folder(settings) else {
        problem(certificates, Some("ACME needs a state folder to keep keys and orders in: set `state`".into()));
        return std::future::pending().await;
    };
    let authority = authority_folder(base, &settings.acme_directory);
    let _lock = locked(certificates, settings, &authority).await;
    let client = loop {
        let key = authority.join("account.key");
        match Client::new(&settings.acme_directory, email, settings.acme_ca.as_deref(), key) {
            Ok(client) => break client,
            Err(reason) => problem(certificates, Some(reason)),
        }
        tokio::time::sleep(STORE).await;
    };
    problem(certificates, None);
    let permits = Semaphore::new(AT_ONCE);
    let names = settings.domains.iter().map(|name| {
        let records = Records::new(&authority, name);
        let site =
            Site { certificates, client: &client, permits: &permits, http: settings.http_listener, name, records };
        async move { site.look_after().await }
    });
    join_all(names).await;
    // Every name was one that cannot be ordered; until the settings change.
    std::future::pending::<()>().await;
}

/// Waits until no other process orders from this folder, and serves what that one stores.
async fn locked(certificates: &Certificates, settings: &Tls, authority: &Path) -> lock::Lock {
    loop {
        match lock::take(authority) {
            Ok(Some(lock)) => return lock,
            Ok(None) => {
                certificates.change(|state| super::load(settings, state, unix_now()));
                certificates.upkeep(unix_now());
                // Nothing is wrong once the other's certificates are there.
                let all = settings.domains.iter().all(|name| certificates.is_public(name));
                problem(certificates, (!all).then(|| "another process with the same state folder orders".into()));
            }
            Err(reason) => problem(certificates, Some(reason)),
        }
        tokio::time::sleep(STORE).await;
    }
}

/// What concerns all names. Said once in the log.
fn problem(certificates: &Certificates, problem: Option<String>) {
    let mut state = certificates.state();
    if state.acme_problem != problem {
        if let Some(problem) = &problem {
            tracing::warn!(event = "acme", "{problem}");
        }
        state.acme_problem = problem;
    }
}

/// One name.
struct Site<'a> {
    certificates: &'a Certificates,
    client: &'a Client,
    permits: &'a Semaphore,
    http: bool,
    name: &'a str,
    records: Records,
}

impl Site<'_> {
    async fn look_after(&self) {
        if let Some(reason) = unfit(self.name) {
            return self.note(|status| status.problem = Some(reason.into()));
        }
        loop {
            let wait = match self.round().await {
                Ok(wait) => wait,
                Err(reason) => {
                    self.stuck(reason);
                    STORE
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// One look at the store, one attempt if it is time: how long until the next. An error is our own storage's.
    async fn round(&self) -> Result<Duration, String> {
        let current = self.current()?;
        let attempts = self.records.attempts()?;
        let now = unix_now();
        let wanted = current.as_ref().map_or(0, |bundle| renew_at(self.name, bundle));
        let due = wanted.max(attempts.allowed_at(now));
        self.told(&attempts, due.max(now));
        if due > now {
            return Ok(Duration::from_secs((due - now).min(LOOK)));
        }
        let Ok(_permit) = self.permits.acquire().await else { return Ok(STORE) };
        self.attempt(current.as_ref(), attempts).await?;
        Ok(Duration::ZERO)
    }

    /// The stored certificate.
    fn current(&self) -> Result<Option<Bundle>, String> {
        match self.records.certificate()? {
            Some(bundle) if !bundle.covers(self.name) => {
                Err(format!("the stored certificate is not for {}: remove it to have a new one ordered", self.name))
            }
            other => Ok(other),
        }
    }

    async fn attempt(&self, current: Option<&Bundle>, mut attempts: Attempts) -> Result<(), String> {
        self.records.prepare()?;
        attempts.begin(unix_now());
        self.records.save_attempts(&attempts)?;
        let attempt = Attempt {
            authority: self.client,
            certificates: self.certificates,
            records: &self.records,
            name: self.name,
            // The other way at every second try: one port may be blocked where the other is not.
            prefer_http: attempts.consecutive_failures % 2 == 1,
            http_possible: self.http,
            current,
        };
        let result = tokio::time::timeout(ATTEMPT, attempt.obtain()).await;
        let result = result.unwrap_or_else(|_| Err(Failure::unreachable("the CA was too slow altogether")));
        let now = unix_now();
        match result {
            Ok(bundle) => {
                tracing::info!(event = "certificate", site = self.name, "a certificate was issued");
                self.certificates.counts.issued.fetch_add(1, Ordering::Relaxed);
                attempts.succeeded(now);
                self.certificates.install(self.name, bundle);
            }
            Err(failure) => {
                self.certificates.counts.failed.fetch_add(1, Ordering::Relaxed);
                attempts.failed(now, &failure, fastrand::f64());
                let wait = attempts.allowed_at(now).saturating_sub(now);
                tracing::warn!(
                    event = "certificate",
                    site = self.name,
                    retry_in_s = wait,
                    "no certificate: {}",
                    failure.text
                );
            }
        }
        self.told(&attempts, attempts.allowed_at(now));
        self.records.save_attempts(&attempts)
    }

    fn note(&self, how: impl FnOnce(&mut NameStatus)) {
        how(self.certificates.state().names.entry(self.name.to_owned()).or_default());
    }

    fn told(&self, attempts: &Attempts, next: u64) {
        self.note(|status| {
            *status = NameStatus {
                problem: attempts.last_error.clone(),
                next_attempt: Some(next),
                last_success: attempts.last_success,
                consecutive_failures: attempts.consecutive_failures,
            };
        });
    }

    /// Our own storage: said once in the log, and nothing is ordered until it is well again.
    fn stuck(&self, reason: String) {
        self.note(|status| {
            if status.problem.as_ref() != Some(&reason) {
                tracing::warn!(event = "acme_store", site = self.name, "{reason}");
            }
            status.problem = Some(reason);
            status.next_attempt = None;
        });
    }
}

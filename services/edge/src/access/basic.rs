//! Basic authentication. A password is looked at on a thread for blocking work, once; then a thread remembers a keyed
//! hash of what was good. So many at a time: a flood of guesses waits, and then is told that the server is busy.

use super::credentials;
use super::users::{Known, Users};
use crate::service::{Failure, Thread};
use http::{HeaderMap, HeaderValue};
use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use tokio::sync::Semaphore;

/// Who may, and how he is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Basic {
    pub challenge: HeaderValue,
    pub users: Arc<Users>,
}

/// Passwords that are looked at at the same time, over all threads: each takes a core.
static LOOKING: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(cores.clamp(1, 4)))
});
/// Requests that wait for that.
static WAITING: AtomicUsize = AtomicUsize::new(0);
const MOST_WAITING: usize = 128;

/// Of one thread: tickets of credentials that were good. The half that was not used lately goes when there are many.
#[derive(Default)]
pub struct Logins(RefCell<Tickets>);

#[derive(Default)]
struct Tickets {
    young: HashSet<[u8; 32]>,
    old: HashSet<[u8; 32]>,
}

const HALF: usize = 1024;

impl Logins {
    fn knows(&self, ticket: &[u8; 32]) -> bool {
        let mut tickets = self.0.borrow_mut();
        if tickets.young.contains(ticket) {
            return true;
        }
        let known = tickets.old.contains(ticket);
        if known {
            tickets.keep(*ticket);
        }
        known
    }

    fn keep(&self, ticket: [u8; 32]) {
        self.0.borrow_mut().keep(ticket);
    }
}

impl Tickets {
    fn keep(&mut self, ticket: [u8; 32]) {
        if self.young.len() >= HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(ticket);
    }
}

struct Waiting;

impl Waiting {
    fn begin() -> Option<Self> {
        let before = WAITING.fetch_add(1, Ordering::Relaxed);
        let waiting = Self;
        (before < MOST_WAITING).then_some(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The user's name.
pub async fn authorise(basic: &Basic, thread: &Thread, headers: &HeaderMap) -> Result<String, Failure> {
    let given = credentials::basic(headers).and_then(|given| String::from_utf8(given).ok());
    let Some(given) = given.filter(|given| given.contains(':')) else { return Err(Failure::UNAUTHORIZED) };
    let known = basic.users.known();
    let ticket = known.ticket(given.as_bytes());
    if !thread.logins.knows(&ticket) {
        look(known, given.clone(), &ticket, thread).await?;
        thread.logins.keep(ticket);
    }
    let name = given.split_once(':').map(|(name, _)| name.to_owned());
    name.ok_or(Failure::UNAUTHORIZED)
}

async fn look(known: Arc<Known>, given: String, ticket: &[u8; 32], thread: &Thread) -> Result<(), Failure> {
    let waiting = Waiting::begin().ok_or(Failure::AUTH_BUSY)?;
    let permit = LOOKING.clone().acquire_owned().await.map_err(|_| Failure::AUTH_BUSY)?;
    drop(waiting);
    // A browser asks for a page's parts at once: the first of them has been looked at meanwhile.
    if thread.logins.knows(ticket) {
        return Ok(());
    }
    let good = tokio::task::spawn_blocking(move || {
        // A client that leaves does not make room for another look before this one is over.
        let _permit = permit;
        given.split_once(':').is_some_and(|(name, password)| known.verify(name, password.as_bytes()))
    });
    if good.await.unwrap_or(false) { Ok(()) } else { Err(Failure::WRONG_PASSWORD) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_lately_is_remembered() {
        let logins = Logins::default();
        let ticket = |number: usize| {
            let mut ticket = [0; 32];
            ticket[..8].copy_from_slice(&number.to_le_bytes());
            ticket
        };
        for number in 0..10 * HALF {
            logins.keep(ticket(number));
            assert!(logins.knows(&ticket(number)) && logins.knows(&ticket(0)), "{number}");
        }
        assert!(!logins.knows(&ticket(1)));
        let tickets = logins.0.borrow();
        assert!(tickets.young.len() + tickets.old.len() <= 2 * HALF);
    }
}

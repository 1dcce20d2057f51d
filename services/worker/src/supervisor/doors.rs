//! The admin port and the control socket: where the supervisor can be asked. While one supervisor takes the place of
//! another, the old one keeps them until it stops, and the new one waits for them.

use std::time::{Duration, Instant};

use super::admin::{self, Admin};
use super::control::{self, Socket};
use super::herd::Herd;

/// Between attempts to get what another still has.
const PAUSE: Duration = Duration::from_millis(100);

pub struct Doors {
    admin: Option<Admin>,
    control: Option<Socket>,
    tried: Instant,
    /// Another supervisor has them, or had them.
    waits: bool,
}

impl Doors {
    /// An admin port that is in use is an error, unless it is the predecessor's.
    pub async fn open(herd: &Herd) -> Result<Self, String> {
        let waits = herd.upgrade.has_predecessor();
        let mut doors = Self { admin: None, control: None, tried: Instant::now(), waits };
        let wrong = doors.attempt(herd).await;
        match doors.admin {
            None if !waits => Err(wrong),
            _ => Ok(doors),
        }
    }

    pub fn address(&self) -> &str {
        self.admin.as_ref().map_or("(the other supervisor's, for now)", |admin| &admin.address)
    }

    /// What is missing; returns what was wrong last.
    async fn attempt(&mut self, herd: &Herd) -> String {
        let mut wrong = String::new();
        if self.admin.is_none() {
            match admin::serve(&herd.config, herd.shared.clone()).await {
                Ok(admin) => self.admin = Some(admin),
                Err(error) => wrong = error,
            }
        }
        // An empty path: none is wanted.
        if self.control.is_none() && !herd.config.control.as_os_str().is_empty() {
            match control::listen(&herd.config.control, herd.events.clone()) {
                Ok(socket) => self.control = Some(socket),
                Err(error) if !self.waits => {
                    let path = herd.config.control.display();
                    tracing::warn!("no control socket, so no `status` and `reload`: {path}: {error}");
                }
                Err(_) => {}
            }
        }
        wrong
    }

    /// Takes what another supervisor has let go of, and lets go of what its successor waits for.
    pub async fn step(&mut self, herd: &Herd) {
        if herd.stop.is_some() {
            if herd.upgrade.has_successor() {
                self.close().await;
            }
            return;
        }
        let missing = self.admin.is_none() || self.control.is_none();
        if self.waits && missing && self.tried.elapsed() >= PAUSE {
            self.tried = Instant::now();
            self.attempt(herd).await;
        }
    }

    pub async fn close(&mut self) {
        // Its path first: the successor makes it anew.
        self.control = None;
        if let Some(admin) = self.admin.take() {
            admin.stop().await;
        }
    }
}

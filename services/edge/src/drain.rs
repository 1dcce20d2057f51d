//! Graceful shutdown as a type that is passed down: who holds a [`Drain`] knows the phase and can wait for the next.
//!
//! SIGTERM → *announced* (readiness fails, listeners still accept, answers say `Connection: close`, HTTP/2 gets
//! GOAWAY) → after `shutdown_delay` *closing* (listeners are closed, what runs is finished) → the grace period ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::{mpsc, watch};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    Running = 0,
    Announced = 1,
    Closing = 2,
}

/// The receiving end. Cheap to clone, one per task.
#[derive(Clone)]
pub struct Drain {
    now: Arc<AtomicU8>,
    changes: watch::Receiver<Phase>,
    working: mpsc::Sender<()>,
}

/// Something that must finish before the process may leave: a connection, a request sent upstream.
#[derive(Clone)]
pub struct Working(#[allow(dead_code)] mpsc::Sender<()>);

/// The one that decides.
pub struct Control {
    now: Arc<AtomicU8>,
    changes: watch::Sender<Phase>,
    done: mpsc::Receiver<()>,
}

pub fn channel() -> (Control, Drain) {
    let now = Arc::new(AtomicU8::new(Phase::Running as u8));
    let (sender, changes) = watch::channel(Phase::Running);
    let (working, done) = mpsc::channel(1);
    (Control { now: now.clone(), changes: sender, done }, Drain { now, changes, working })
}

impl Control {
    pub fn enter(&self, phase: Phase) {
        self.now.store(phase as u8, Ordering::Release);
        let _ = self.changes.send(phase);
    }

    /// Every [`Drain`] and every [`Working`] is gone.
    pub async fn finished(&mut self) {
        let _ = self.done.recv().await;
    }
}

impl Drain {
    pub fn phase(&self) -> Phase {
        match self.now.load(Ordering::Relaxed) {
            0 => Phase::Running,
            1 => Phase::Announced,
            _ => Phase::Closing,
        }
    }

    /// Answers must say `Connection: close` from now on.
    pub fn announced(&self) -> bool {
        self.phase() >= Phase::Announced
    }

    pub async fn reached(&mut self, phase: Phase) {
        // An error means that the control is gone: the process is ending.
        let _ = self.changes.wait_for(|now| *now >= phase).await;
    }

    pub fn working(&self) -> Working {
        Working(self.working.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_for_the_phase_and_for_what_works() {
        let (mut control, drain) = channel();
        let mut waiting = drain.clone();
        let working = drain.working();
        assert!(!drain.announced());
        control.enter(Phase::Announced);
        assert!(drain.announced());
        waiting.reached(Phase::Announced).await;
        control.enter(Phase::Closing);
        waiting.reached(Phase::Closing).await;
        drop((drain, waiting));
        assert!(tokio::time::timeout(std::time::Duration::from_millis(10), control.finished()).await.is_err());
        drop(working);
        control.finished().await;
    }
}

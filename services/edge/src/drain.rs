//! Graceful shutdown as a type that is passed down: who holds a [`Drain`] knows the phase and can wait for the next.
//!
//! SIGTERM → *announced* (readiness fails, listeners still accept, answers say `Connection: close`, HTTP/2 gets
//! GOAWAY) → after `shutdown_delay` *closing* (listeners are closed, what runs is finished) → the grace period ends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::coop;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    Running = 0,
    /// Readiness fails; new work is still taken.
    Announced = 1,
    /// No new connections; idle ones are closed; what runs is finished.
    Closing = 2,
    /// All is done, or the time is up.
    Over = 3,
}

/// The receiving end. Cheap to clone, one per task.
#[derive(Clone)]
pub struct Drain {
    state: Arc<State>,
    changes: watch::Receiver<Phase>,
}

struct State {
    now: AtomicU8,
    working: AtomicUsize,
    idle: Notify,
}

/// Something that must finish before the process may leave: a connection, a request sent upstream.
pub struct Working(Arc<State>);

/// The one that decides.
pub struct Control {
    state: Arc<State>,
    changes: watch::Sender<Phase>,
}

pub fn channel() -> (Control, Drain) {
    let state =
        Arc::new(State { now: AtomicU8::new(Phase::Running as u8), working: AtomicUsize::new(0), idle: Notify::new() });
    let (sender, changes) = watch::channel(Phase::Running);
    (Control { state: state.clone(), changes: sender }, Drain { state, changes })
}

impl Control {
    pub fn enter(&self, phase: Phase) {
        self.state.now.store(phase as u8, Ordering::Release);
        let _ = self.changes.send(phase);
    }

    /// Every [`Working`] is gone.
    pub async fn finished(&self) {
        loop {
            let idle = self.state.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.working() == 0 {
                return;
            }
            idle.await;
        }
    }

    pub fn working(&self) -> usize {
        self.state.working.load(Ordering::Acquire)
    }
}

impl Drain {
    pub fn phase(&self) -> Phase {
        match self.state.now.load(Ordering::Relaxed) {
            0 => Phase::Running,
            1 => Phase::Announced,
            2 => Phase::Closing,
            _ => Phase::Over,
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

    /// For what would never end by itself (a WebSocket, an event stream): ready at a moment of its own within `spread` of the
    /// listeners' closing, so that the clients of all of them do not come back in the same instant.
    pub async fn spread(mut self, spread: Duration) {
        self.reached(Phase::Closing).await;
        tokio::time::sleep(spread.mul_f64(fastrand::f64())).await;
    }

    pub fn working(&self) -> Working {
        self.state.working.fetch_add(1, Ordering::AcqRel);
        Working(self.state.clone())
    }
}

/// Whether a phase has been reached, for one task that asks with every request: what all threads share is written once a connection
/// and phase, when the task has itself noted down to be woken.
pub struct Reached {
    drain: Drain,
    phase: Phase,
    waiting: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Reached {
    pub fn new(drain: Drain, phase: Phase) -> Self {
        Self { drain, phase, waiting: None }
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.drain.phase() >= self.phase {
            return Poll::Ready(());
        }
        // It stands noted down until something begins. From then on it is asked each time: the news of one phase may wake it twice, and
        // the second time takes it off the list for the next.
        if self.waiting.is_some() && self.drain.phase() == Phase::Running {
            return Poll::Pending;
        }
        let waiting = self.waiting.get_or_insert_with(|| {
            let (mut drain, phase) = (self.drain.clone(), self.phase);
            // A task that has used up its share of the runtime's time would be sent away without being noted down.
            Box::pin(coop::unconstrained(async move { drain.reached(phase).await }))
        });
        waiting.as_mut().poll(cx)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if self.0.working.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_for_the_phase_and_for_what_works() {
        let (control, drain) = channel();
        let mut waiting = drain.clone();
        let working = drain.working();
        assert!(!drain.announced());
        control.enter(Phase::Announced);
        assert!(drain.announced());
        waiting.reached(Phase::Announced).await;
        control.enter(Phase::Closing);
        waiting.reached(Phase::Closing).await;
        assert!(tokio::time::timeout(std::time::Duration::from_millis(10), control.finished()).await.is_err());
        drop(working);
        control.finished().await;
    }

    #[tokio::test]
    async fn who_asks_again_and_again_is_woken_at_the_phase_and_not_before() {
        let (control, drain) = channel();
        let mut reached = Reached::new(drain, Phase::Closing);
        let wakes = Arc::new(Count::default());
        let waker = Arc::clone(&wakes).into();
        let mut ask = || reached.poll(&mut Context::from_waker(&waker));
        let woken = || wakes.0.load(Ordering::Relaxed);
        assert!(ask().is_pending() && ask().is_pending());
        control.enter(Phase::Announced);
        assert_eq!(woken(), 1);
        assert!(ask().is_pending() && ask().is_pending());
        control.enter(Phase::Closing);
        assert_eq!(woken(), 2);
        assert!(ask().is_ready() && ask().is_ready());
    }

    #[tokio::test]
    async fn who_has_used_up_its_time_is_noted_down_too() {
        let (control, drain) = channel();
        let mut reached = Reached::new(drain, Phase::Closing);
        let wakes = Arc::new(Count::default());
        let waker = Arc::clone(&wakes).into();
        while coop::has_budget_remaining() {
            coop::consume_budget().await;
        }
        assert!(reached.poll(&mut Context::from_waker(&waker)).is_pending());
        let before = wakes.0.load(Ordering::Relaxed);
        control.enter(Phase::Closing);
        assert_eq!(wakes.0.load(Ordering::Relaxed), before + 1);
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

//! One timer a connection, the client's or the upstream's, set again and again: moving a deadline later costs nothing until the old one has passed.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::task::coop;
use tokio::time::{Instant, Sleep};

pub struct Timer {
    sleep: Pin<Box<Sleep>>,
    deadline: Option<Instant>,
    /// Whom the sleep wakes: who asks again needs not be noted down again. While it has not elapsed it keeps his waker, so that nobody
    /// else can have the same.
    wakes: Option<(usize, usize)>,
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

impl Timer {
    pub fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(Duration::from_secs(60))), deadline: None, wakes: None }
    }

    pub fn set(&mut self, wait: Duration) {
        self.set_at(Instant::now(), wait);
    }

    /// For those who have looked at the clock already.
    pub fn set_at(&mut self, now: Instant, wait: Duration) {
        let deadline = now + wait;
        // A later deadline waits until the earlier one fires: most never do.
        if deadline < self.sleep.deadline() || self.sleep.is_elapsed() {
            self.reset(deadline);
        }
        self.deadline = Some(deadline);
    }

    pub fn clear(&mut self) {
        self.deadline = None;
    }

    pub fn is_set(&self) -> bool {
        self.deadline.is_some()
    }

    /// Ready once the deadline has passed; never, when none is set.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let waker = Some(identity(cx.waker()));
        if self.wakes == waker && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        loop {
            // A task that has used up its share of the runtime's time is sent away without being noted down.
            self.wakes = waker.filter(|_| coop::has_budget_remaining());
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= deadline {
                self.deadline = None;
                return Poll::Ready(());
            }
            self.reset(deadline);
        }
    }

    /// One that has elapsed has forgotten whom to wake.
    fn reset(&mut self, deadline: Instant) {
        self.sleep.as_mut().reset(deadline);
        self.wakes = None;
    }
}

fn identity(waker: &Waker) -> (usize, usize) {
    (waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::future::poll_fn;

    #[tokio::test]
    async fn later_earlier_and_cleared() {
        let ms = Duration::from_millis;
        let mut timer = Timer::new();
        let begin = Instant::now();
        timer.set(ms(5));
        timer.set(ms(40));
        poll_fn(|cx| timer.poll(cx)).await;
        assert!(begin.elapsed() >= ms(40), "the later deadline holds");
        assert!(!timer.is_set());
        timer.set(Duration::from_secs(3600));
        timer.set(ms(1));
        poll_fn(|cx| timer.poll(cx)).await;
        timer.set(ms(1));
        timer.clear();
        assert!(tokio::time::timeout(ms(20), poll_fn(|cx| timer.poll(cx))).await.is_err(), "none is set");
    }

    #[tokio::test]
    async fn whoever_asked_last_is_woken() {
        let timer = RefCell::new(Timer::new());
        timer.borrow_mut().set(Duration::from_millis(20));
        let asked = || poll_fn(|cx| Poll::Ready(timer.borrow_mut().poll(cx)));
        let wait = || tokio::time::timeout(Duration::from_secs(5), poll_fn(|cx| timer.borrow_mut().poll(cx)));
        assert!(asked().await.is_pending() && asked().await.is_pending());
        // Another task asks, then this one again.
        let other = &mut Context::from_waker(Waker::noop());
        assert!(timer.borrow_mut().poll(other).is_pending());
        wait().await.unwrap();
        // After it has elapsed nobody is noted down.
        timer.borrow_mut().set(Duration::from_millis(1));
        wait().await.unwrap();
        // Nor when the task has used up its share of the runtime's time.
        timer.borrow_mut().set(Duration::from_millis(1));
        while coop::has_budget_remaining() {
            coop::consume_budget().await;
        }
        assert!(asked().await.is_pending());
        wait().await.unwrap();
    }
}

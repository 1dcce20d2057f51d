//! One timer a connection, the client's or the upstream's, set again and again: moving a deadline later costs nothing until the old one has passed.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

pub struct Timer {
    sleep: Pin<Box<Sleep>>,
    deadline: Option<Instant>,
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

impl Timer {
    pub fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(Duration::from_secs(60))), deadline: None }
    }

    pub fn set(&mut self, wait: Duration) {
        self.set_at(Instant::now(), wait);
    }

    /// For those who have looked at the clock already.
    pub fn set_at(&mut self, now: Instant, wait: Duration) {
        let deadline = now + wait;
        // A later deadline waits until the earlier one fires: most never do.
        if deadline < self.sleep.deadline() || self.sleep.is_elapsed() {
            self.sleep.as_mut().reset(deadline);
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
        while self.sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                self.deadline = None;
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
}

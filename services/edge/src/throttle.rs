//! A body that is given out no faster than so many bytes a second.

use crate::body::{Body, BodyError};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

pub struct Throttle {
    body: Body,
    /// Bytes a second.
    rate: u64,
    /// What goes out before the rate holds.
    free: u64,
    begun: Instant,
    sent: u64,
    /// Taken, and not given out yet.
    held: Bytes,
    sleep: Pin<Box<Sleep>>,
}

impl Throttle {
    pub fn new(body: Body, rate: u64) -> Self {
        let now = Instant::now();
        let sleep = Box::pin(tokio::time::sleep_until(now));
        Self { body, rate: rate.max(1), free: 0, begun: now, sent: 0, held: Bytes::new(), sleep }
    }

    /// So much of the body goes out before the rate holds.
    pub fn after(mut self, free: u64) -> Self {
        self.free = free;
        self
    }

    /// As nginx counts: the first second's bytes at once.
    fn allowed(&self) -> u64 {
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1000);
        (self.rate.saturating_mul(millis) / 1000).saturating_add(self.free).saturating_sub(self.sent)
    }
}

impl http_body::Body for Throttle {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        while this.held.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.held = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            }
        }
        // Not byte by byte: a tenth of a second's worth at least, or what is left.
        let least = (this.rate / 10).clamp(1, this.held.len() as u64);
        while this.allowed() < least {
            let missing = least.saturating_sub(this.allowed()).saturating_mul(1000) / this.rate;
            this.sleep.as_mut().reset(Instant::now() + Duration::from_millis(missing.max(1)));
            ready!(this.sleep.as_mut().poll(cx));
        }
        let size = usize::try_from(this.allowed()).unwrap_or(usize::MAX).min(this.held.len());
        this.sent += size as u64;
        Poll::Ready(Some(Ok(Frame::data(this.held.split_to(size)))))
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.body.size_hint().exact() {
            Some(left) => SizeHint::with_exact(left + self.held.len() as u64),
            None => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[test]
    fn a_second_for_each_rate_after_the_first() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let begun = Instant::now();
            let mut body = Throttle::new(Body::full(vec![7; 24_000]), 20_000);
            assert_eq!(http_body::Body::size_hint(&body).exact(), Some(24_000));
            let mut all = 0;
            while let Some(frame) = body.frame().await {
                all += frame.unwrap().into_data().unwrap().len();
                // Never more than the clock allows.
                let allowed = 20_000 + begun.elapsed().as_millis() as usize * 20 + 40;
                assert!(all <= allowed, "{all} of {allowed}");
            }
            assert_eq!(all, 24_000);
        });
    }
}

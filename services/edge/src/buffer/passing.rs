//! A request's body that is passed on as the client sends it, within the bounds that one taken in whole has.

use super::BodyLimits;
use crate::body::{Body, BodyError};
use crate::timer::Timer;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

pub struct Passing {
    body: Body,
    limits: BodyLimits,
    /// Of a stream that may be silent for as long as it likes (gRPC), neither waits nor rate count.
    patient: bool,
    /// How long the client has let us wait. That the upstream did, or a queue before it, is no fault of his.
    waited: Duration,
    since: Option<Instant>,
    timer: Timer,
    total: Rc<Cell<u64>>,
}

impl Passing {
    /// The body, and what counts its bytes.
    pub fn on(body: Body, limits: BodyLimits, patient: bool) -> (Body, Rc<Cell<u64>>) {
        let total = Rc::<Cell<u64>>::default();
        let (waited, since) = (Duration::ZERO, None);
        let passing = Self { body, limits, patient, waited, since, timer: Timer::new(), total: total.clone() };
        (Body::stream(passing), total)
    }
}

impl http_body::Body for Passing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = match http_body::Body::poll_frame(Pin::new(&mut this.body), cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending if this.patient => return Poll::Pending,
            Poll::Pending => {
                this.since.get_or_insert_with(Instant::now);
                if !this.timer.is_set() {
                    this.timer.set(this.limits.wait);
                }
                return this.timer.poll(cx).map(|()| Some(Err(BodyError::TooSlow)));
            }
        };
        this.timer.clear();
        this.waited += this.since.take().map_or(Duration::ZERO, |since| since.elapsed());
        if let Some(Ok(frame)) = &frame {
            let total = this.total.get() + frame.data_ref().map_or(0, |data| data.len() as u64);
            this.total.set(total);
            if total > this.limits.total {
                return Poll::Ready(Some(Err(BodyError::TooLarge)));
            }
            let slow = this.limits.is_too_slow(total, this.waited);
            if slow && !this.patient && !http_body::Body::is_end_stream(&this.body) {
                return Poll::Ready(Some(Err(BodyError::TooSlow)));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        http_body::Body::is_end_stream(&self.body)
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, StreamBody};

    fn limits() -> BodyLimits {
        BodyLimits { total: 10, memory: 0, wait: Duration::from_millis(20), min_rate: 240 }
    }

    #[tokio::test]
    async fn the_bounds_hold_for_what_is_not_buffered() {
        let parts = |count: usize| {
            let part = |_| Ok(Frame::data(Bytes::from_static(b"12345")));
            Body::stream(StreamBody::new(futures_util::stream::iter((0..count).map(part))))
        };
        let (body, total) = Passing::on(parts(2), limits(), false);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "1234512345");
        assert_eq!(total.get(), 10);
        let (body, _) = Passing::on(parts(3), limits(), false);
        assert!(matches!(body.collect().await, Err(BodyError::TooLarge)));
        let silent = || Body::stream(StreamBody::new(futures_util::stream::pending()));
        let (body, _) = Passing::on(silent(), limits(), false);
        assert!(matches!(body.collect().await, Err(BodyError::TooSlow)));
        let (body, _) = Passing::on(silent(), limits(), true);
        assert!(tokio::time::timeout(Duration::from_millis(60), body.collect()).await.is_err(), "gRPC may be silent");
    }

    #[tokio::test]
    async fn only_the_client_s_own_slowness_counts() {
        let poll = |passing: &mut Passing| {
            let cx = &mut Context::from_waker(std::task::Waker::noop());
            http_body::Body::poll_frame(Pin::new(passing), cx)
        };
        let limits = BodyLimits { wait: Duration::from_secs(60), ..limits() };
        for (late, slow) in [(20, true), (0, false)] {
            let limits = limits.clone();
            let mut asked = false;
            let parts = futures_util::stream::poll_fn(move |_| {
                let part = || Some(Ok(Frame::data(Bytes::from_static(b"1"))));
                if std::mem::replace(&mut asked, true) { Poll::Ready(part()) } else { Poll::Pending }
            });
            let waited = Duration::ZERO;
            let body = Body::stream(StreamBody::new(parts));
            let timer = Timer::new();
            let mut passing =
                Passing { body, limits, patient: false, waited, since: None, timer, total: Rc::default() };
            assert!(poll(&mut passing).is_pending());
            // Who took so long: the client, or who was to take what he had sent.
            passing.since = Some(Instant::now().checked_sub(Duration::from_secs(late)).unwrap());
            assert_eq!(matches!(poll(&mut passing), Poll::Ready(Some(Err(BodyError::TooSlow)))), slow);
        }
    }
}

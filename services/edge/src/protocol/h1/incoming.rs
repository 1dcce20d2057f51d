//! Waiting for the next request's head: how long, how large, and what ends the wait.

use super::request::Refused;
use super::{AHEAD, Connection, scratch};
use crate::drain::Reached;
use http::StatusCode;
use monodon_http1::{Head, Limits};
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// When the process drains, an idle connection waits this long for a request that is already on its way, and answers it.
const LAST_CALL: Duration = Duration::from_millis(500);

pub enum Incoming {
    Head(Head),
    Refused(Refused, Head),
    /// The client has gone, or time is up between two requests: nobody waits for an answer.
    Closed,
}

impl<I> Connection<I>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Reads until a head is whole: `idle_timeout` for its first byte, `head_timeout` for all of it from there.
    pub(super) async fn incoming(&mut self, closing: &mut Reached) -> Incoming {
        let view = self.thread.view();
        let config = &view.snapshot.config;
        let limits = Limits {
            line: config.limits.line,
            head: config.limits.head,
            fields: config.limits.fields,
            field: config.limits.head,
        };
        let (idle_timeout, head_timeout) = (config.timeouts.idle, config.timeouts.head);
        // A connection may be idle for longer than a configuration lives.
        drop(view);
        let (wire, timer) = (&self.wire, &mut self.timer);
        // Taken with the first byte: an idle connection needs none.
        let mut begun: Option<Head> = None;
        let mut last_call = false;
        let incoming = poll_fn(|cx| {
            let mut wire = wire.borrow_mut();
            loop {
                if !wire.buf.is_empty() {
                    let first = begun.is_none();
                    let mut head = begun.take().unwrap_or_else(scratch::head);
                    match head.parse(&wire.buf, &limits) {
                        Ok(true) => return Poll::Ready(Incoming::Head(head)),
                        Ok(false) => begun = Some(head),
                        Err(reject) => return Poll::Ready(Incoming::Refused(reject.into(), head)),
                    }
                    if first {
                        timer.set(head_timeout);
                    }
                } else if !timer.is_set() {
                    timer.set(idle_timeout);
                }
                match wire.poll_fill(cx, AHEAD) {
                    // The peer has closed, in the middle of a head or not: nobody waits for an answer.
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Incoming::Closed),
                    Poll::Ready(Ok(_)) => continue,
                    Poll::Pending => {}
                }
                if begun.is_none() && !last_call && closing.poll(cx).is_ready() {
                    last_call = true;
                    timer.set(LAST_CALL);
                }
                let late = Refused { status: StatusCode::REQUEST_TIMEOUT, reason: "timeout_header" };
                return timer.poll(cx).map(|()| match begun.take() {
                    Some(head) => Incoming::Refused(late, head),
                    None => Incoming::Closed,
                });
            }
        })
        .await;
        self.timer.clear();
        incoming
    }
}

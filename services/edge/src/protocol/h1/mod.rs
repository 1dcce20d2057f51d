//! HTTP/1.0 and 1.1 on the strict codec (decision 8): one connection, one request after the other.
//!
//! `mod` is the loop; [`wire`] the transport and its buffer; [`incoming`] waits for a head; [`request`] makes it a request; [`reader`] is its
//! body; [`response`] writes the answer's head, [`outgoing`] its body through [`writer`]; [`close`] ends a connection so that the
//! client sees the answer.

mod close;
mod incoming;
mod outgoing;
mod reader;
mod request;
mod response;
mod scratch;
mod sendfile;
mod wire;
mod writer;

#[cfg(test)]
mod tests;

use crate::body::Body;
use crate::boxed::boxed;
use crate::connection::ConnInfo;
use crate::drain::{Phase, Reached};
use crate::service::{self, Refusal, Thread, Unanswered};
use crate::streams::Tunnel;
use crate::timer::Timer;
use crate::upgrade;
use http::{Method, Request, Response, StatusCode};
use monodon_http1::{Head, Version};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

use incoming::Incoming;
use outgoing::Sent;
use request::Refused;
use response::Asked;
use wire::{Expect, Rest, Wire};

/// A client that says it sends no more may have gone or only have closed its half; for so long it is believed to wait for its answer.
const HALF_CLOSED: Duration = Duration::from_millis(250);
/// Pipelined bytes that are read while a request is worked on, just to notice when the client leaves.
const AHEAD: usize = 4096;
/// A body that nobody has read is drained up to this size so that the connection can be kept.
const DRAINED: u64 = 64 * 1024;

/// Serves one connection to its end. Limits and timeouts: `thread.view().snapshot.config`; draining: `thread.drain`; a request that
/// cannot be read: [`service::refuse`].
pub fn serve<I>(io: I, thread: Rc<Thread>, conn: Rc<ConnInfo>) -> impl Future<Output = ()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Not an `async fn`: its future would keep room for the transport, which is large, beside the one on the heap.
    let connection = Connection { wire: Rc::new(RefCell::new(Wire::new(io))), timer: Timer::new(), thread, conn };
    connection.run()
}

struct Connection<I> {
    wire: Rc<RefCell<Wire<I>>>,
    timer: Timer,
    thread: Rc<Thread>,
    conn: Rc<ConnInfo>,
}

/// What comes after a request.
enum Next {
    Another,
    /// Shut down in order; with `true` the peer may still be sending, and must not lose the answer to a reset.
    Close {
        linger: bool,
    },
    /// Drop it as it is: the peer is gone, or must see that the answer is not whole.
    Abort,
    Upgraded(upgrade::Promise),
}

impl<I> Connection<I>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    async fn run(mut self) {
        let mut closing = Reached::new(self.thread.drain.clone(), Phase::Closing);
        loop {
            let next = match self.incoming(&mut closing).await {
                // On the heap, and only while a request is in hand: this state is large, and most connections are idle.
                Incoming::Head(head) => boxed(|| self.request(head)).await,
                Incoming::Refused(refused, head) => {
                    let next = Box::pin(self.refuse(&refused, &head)).await;
                    scratch::return_head(head);
                    next
                }
                Incoming::Closed => Next::Close { linger: false },
            };
            match next {
                Next::Another => {}
                Next::Close { linger } => return self.close(linger).await,
                Next::Abort => return,
                Next::Upgraded(promise) => return self.hand_over(promise),
            }
        }
    }

    /// One request that has a good head, to the end of its answer.
    async fn request(&mut self, head: Head) -> Next {
        let bytes = self.wire.borrow_mut().buf.split_to(head.len).freeze();
        let body_limit = self.thread.view().snapshot.config.limits.body;
        self.wire.borrow_mut().begin(head.framing, head.expect_continue, body_limit);
        let body = if self.wire.borrow().body_done() {
            Body::empty()
        } else {
            Body::stream(reader::Reader::new(self.wire.clone()))
        };
        let built = request::build(&head, &bytes, body);
        let mut request = match built {
            Ok(request) => request,
            Err(refused) => {
                let next = Box::pin(self.refuse_known(&refused, &head, &bytes)).await;
                scratch::return_head(head);
                return next;
            }
        };
        let asked = Asked { version: head.version, head: *request.method() == Method::HEAD, keep: head.keep_alive };
        let websocket = head.upgrade.is_some_and(|value| value.of(&bytes).eq_ignore_ascii_case(b"websocket"));
        scratch::return_head(head);
        drop(bytes);
        // Only what the client asks for, and of that only WebSocket: `h2c` would be a second, unseen front door.
        let promise = websocket.then(|| {
            let (promise, waiting) = upgrade::pair();
            request.extensions_mut().insert(waiting);
            promise
        });
        let Some(response) = self.ask(request).await else { return Next::Abort };
        self.answer(response, asked, promise).await
    }

    /// Has the pipeline make the answer; `None` when the client leaves before.
    async fn ask(&mut self, request: Request<Body>) -> Option<Response<Body>> {
        let mut serving = pin!(service::serve(&self.thread, &self.conn, request));
        let (wire, timer) = (&self.wire, &mut self.timer);
        let response = poll_fn(|cx| {
            if let Poll::Ready(response) = serving.as_mut().poll(cx) {
                return Poll::Ready(Some(response));
            }
            poll_left(&mut wire.borrow_mut(), timer, cx).map(|()| None)
        })
        .await;
        timer.clear();
        response
    }

    async fn answer(&mut self, response: Response<Body>, asked: Asked, promise: Option<upgrade::Promise>) -> Next {
        if response.extensions().get::<Unanswered>().is_some() {
            return Next::Close { linger: false };
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Box::pin(self.switch(response, asked, promise)).await;
        }
        // RFC 9110 15.5.9 and 15.5.14: what of the body still comes is not worth waiting for.
        let over = matches!(response.status(), StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE);
        let asked = Asked { keep: asked.keep && !over, ..asked };
        let (drainable, more) = {
            let wire = self.wire.borrow();
            if matches!(wire.expect, Expect::Sending(sent) if sent > 0) {
                // The answer cannot begin in the middle of `100 Continue`.
                return Next::Abort;
            }
            let drainable = match wire.rest {
                Rest::Done => true,
                // A client that still waits for 100 may send the body or not: nobody can tell what comes next.
                Rest::Length(left) => left <= DRAINED && wire.expect == Expect::No,
                Rest::Chunked(_) | Rest::Failed => false,
            };
            (drainable, !wire.eof || !wire.buf.is_empty())
        };
        let last = self.thread.view().snapshot.config.limits.keepalive_requests;
        let last = last > 0 && self.conn.requests.get() >= last;
        let keep = asked.keep && drainable && more && !last && !self.thread.drain.announced();
        let sent = self.send(response, Asked { keep, ..asked }).await;
        // What is left of the body is dropped here; nobody who still holds it may take what remains for its end.
        self.wire.borrow_mut().turn += 1;
        match sent {
            Sent::Keep if self.drain_body().await => Next::Another,
            Sent::Keep => Next::Abort,
            Sent::Close => {
                let wire = self.wire.borrow();
                Next::Close { linger: !wire.body_done() || !wire.buf.is_empty() }
            }
            Sent::Broken => Next::Abort,
        }
    }

    /// 101: the head, and then the connection belongs to the tunnel.
    async fn switch(&mut self, response: Response<Body>, asked: Asked, promise: Option<upgrade::Promise>) -> Next {
        let Some(promise) = promise else {
            let refused = Refused { status: StatusCode::BAD_GATEWAY, reason: "upgrade_not_asked_for" };
            return self.refuse_known(&refused, &Head::new(), &[]).await;
        };
        match self.send(response, asked).await {
            Sent::Broken => Next::Abort,
            Sent::Keep | Sent::Close => Next::Upgraded(promise),
        }
    }

    fn hand_over(self, promise: upgrade::Promise) {
        // Requests for an upgrade have no body, so nothing else can hold the wire.
        if let Ok(wire) = Rc::try_unwrap(self.wire) {
            let wire = wire.into_inner();
            let counted = [&self.conn.counted, &self.conn.kept].map(|counted| counted.get().cloned());
            let io = upgrade::Counted { io: wire.io, counted };
            let spread = self.thread.view().snapshot.config.timeouts.close_spread;
            let io = Tunnel::new(io, self.thread.drain.clone(), spread);
            promise.fulfil(Box::new(io), wire.buf.freeze());
        }
    }

    /// Answers what is no request: page, log line and counter come from the pipeline.
    async fn refuse(&mut self, refused: &Refused, head: &Head) -> Next {
        let bytes = std::mem::take(&mut self.wire.borrow_mut().buf);
        self.refuse_known(refused, head, &bytes).await
    }

    async fn refuse_known(&mut self, refused: &Refused, head: &Head, bytes: &[u8]) -> Next {
        let text = |span: monodon_http1::Span| std::str::from_utf8(span.of(bytes)).ok().filter(|text| !text.is_empty());
        let host = head.host.map(|span| span.of(bytes)).or_else(|| head.value(bytes, b"host"));
        let (method, target) = match text(head.target) {
            Some(target) => (text(head.method), Some(target)),
            None => begun(bytes),
        };
        let refusal = Refusal {
            status: refused.status,
            reason: refused.reason,
            method,
            target,
            host: host.and_then(|host| std::str::from_utf8(host).ok()),
        };
        let response = service::refuse(&self.thread, &self.conn, &refusal);
        let version = if head.len > 0 { head.version } else { Version::Http11 };
        let is_head = head.method.of(bytes) == b"HEAD";
        match self.send(response, Asked { version, head: is_head, keep: false }).await {
            Sent::Broken => Next::Abort,
            Sent::Keep | Sent::Close => Next::Close { linger: true },
        }
    }
}

/// Method and target of a request line that was not read, for the log.
fn begun(bytes: &[u8]) -> (Option<&str>, Option<&str>) {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let mut words = std::str::from_utf8(line).unwrap_or_default().split(' ').filter(|word| !word.is_empty());
    (words.next(), words.next())
}

/// Reads ahead a little, once the request's body is there, only to learn that the client has gone.
fn poll_left<I>(wire: &mut Wire<I>, timer: &mut Timer, cx: &mut Context<'_>) -> Poll<()>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    while !wire.eof && wire.body_done() && wire.buf.len() < AHEAD {
        match wire.poll_fill(cx, AHEAD) {
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Pending => break,
        }
    }
    if !wire.eof {
        wire.watch(cx);
        return Poll::Pending;
    }
    if !timer.is_set() {
        timer.set(HALF_CLOSED);
    }
    timer.poll(cx)
}

//! One request of an HTTP/2 connection, from its head to the end of its answer.

use super::head::check;
use super::seen::{CANCELLED, Seen};
use crate::body::{Body, BodyError};
use crate::boxed::boxed;
use crate::connection::ConnInfo;
use crate::protocol::pace::Pace;
use crate::service::{self, Refusal, Thread, Unanswered};
use crate::timer::Timer;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};
use monodon_http1::encode;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

const X_REQUEST_ID: &str = "x-request-id";
/// What is asked of the window for one frame.
const PART: usize = 16 << 10;

pub async fn serve(
    thread: Rc<Thread>,
    conn: Rc<ConnInfo>,
    seen: Rc<Seen>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    // On the heap, and only while the answer is made.
    let mut answering = boxed(|| answer(&thread, &conn, request));
    let response = poll_fn(|cx| {
        if let Poll::Ready(response) = answering.as_mut().poll(cx) {
            return Poll::Ready(Some(response));
        }
        respond.poll_reset(cx).map(|_| None)
    })
    .await;
    drop(answering);
    let Some(response) = response else {
        // Asked for, worked on, not wanted (CVE-2023-44487); or ended by us for what the client sent (CVE-2025-8671).
        return seen.glitch(CANCELLED);
    };
    if response.extensions().get::<Unanswered>().is_some() {
        return respond.send_reset(Reason::CANCEL);
    }
    seen.answered();
    let (parts, mut body) = response.into_parts();
    let mut head = Response::from_parts(parts, ());
    head.extensions_mut().clear();
    prepare(head.headers_mut(), &body);
    let nothing = body.is_end_stream();
    let Ok(mut send) = respond.send_response(head, nothing) else { return };
    if nothing {
        return;
    }
    let pace = Pace::of(&body, &thread);
    let deadline = body.sending().and_then(|sending| sending.deadline);
    let sent = match deadline {
        None => send_all(&mut send, &mut body, pace).await,
        Some(deadline) => tokio::time::timeout_at(deadline.into(), send_all(&mut send, &mut body, pace))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
    };
    match sent {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            tracing::debug!(peer = %conn.peer, "an HTTP/2 client stopped reading an answer; its stream is closed");
            seen.glitch(CANCELLED);
            thread.metrics.connections.stalled.add(1);
            send.send_reset(Reason::CANCEL);
        }
        Err(_) => send.send_reset(Reason::INTERNAL_ERROR),
    }
}

/// Fields of a connection have no place in HTTP/2 (RFC 9113, section 8.2.2).
static GONE: [HeaderName; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

fn strip(headers: &mut HeaderMap) {
    for name in &GONE {
        headers.remove(name);
    }
}

fn prepare(headers: &mut HeaderMap, body: &Body) {
    // In one pass: to reckon each one's place in the map takes longer.
    let (mut gone, mut date, mut length) = (false, false, false);
    for (name, value) in headers.iter_mut() {
        gone |= GONE.contains(name);
        date |= *name == header::DATE;
        length |= *name == header::CONTENT_LENGTH;
        // RFC 7541, section 7.1.3. An id is never said again: in the table that both ends keep it would only drive out what is.
        if name == X_REQUEST_ID {
            value.set_sensitive(true);
        }
    }
    if gone {
        strip(headers);
    }
    if !date {
        let mut line = Vec::with_capacity(40);
        encode::date(&mut line);
        let value = line.strip_prefix(b"date: ").map(<[u8]>::trim_ascii_end);
        if let Some(value) = value.and_then(|value| HeaderValue::from_bytes(value).ok()) {
            headers.insert(header::DATE, value);
        }
    }
    if !body.is_end_stream()
        && !length
        && let Some(length) = body.size_hint().exact()
    {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Sends the body as it comes, never faster than the client opens its window.
async fn send_all(send: &mut SendStream<Bytes>, body: &mut Body, mut pace: Pace) -> io::Result<()> {
    let mut timer = None;
    loop {
        let frame = poll_fn(|cx| {
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
                return Poll::Ready(Ok(frame));
            }
            send.poll_reset(cx).map(|_| Err(io::Error::from(io::ErrorKind::ConnectionReset)))
        })
        .await?;
        let Some(frame) = frame else {
            return send.send_data(Bytes::new(), true).map_err(io::Error::other);
        };
        let mut data = match frame.map_err(io::Error::other)?.into_data() {
            Ok(data) => data,
            // gRPC tells there how the call went.
            Err(frame) => {
                let Ok(mut trailers) = frame.into_trailers() else { continue };
                strip(&mut trailers);
                return send.send_trailers(trailers).map_err(io::Error::other);
            }
        };
        let last = body.is_end_stream();
        while !data.is_empty() {
            let room = capacity(send, data.len(), &mut pace, &mut timer).await?;
            let part = data.split_to(room.min(data.len()));
            pace.wrote(part.len())?;
            send.send_data(part, last && data.is_empty()).map_err(io::Error::other)?;
        }
        if last {
            return Ok(());
        }
    }
}

/// Waits until the window and the buffer have room.
async fn capacity(
    send: &mut SendStream<Bytes>,
    wanted: usize,
    pace: &mut Pace,
    timer: &mut Option<Timer>,
) -> io::Result<usize> {
    send.reserve_capacity(wanted.min(PART));
    let room = send.capacity();
    if room > 0 {
        return Ok(room);
    }
    poll_fn(|cx| {
        match send.poll_capacity(cx) {
            Poll::Ready(Some(Ok(0))) | Poll::Pending => {}
            Poll::Ready(Some(Ok(room))) => return Poll::Ready(Ok(room)),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(io::Error::other(error))),
            Poll::Ready(None) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
        pace.wait(timer.get_or_insert_with(Timer::new), cx).map(Err)
    })
    .await
}

async fn answer(thread: &Rc<Thread>, conn: &Rc<ConnInfo>, request: Request<RecvStream>) -> Response<Body> {
    let (mut parts, incoming) = request.into_parts();
    if let Err((status, reason)) = check(&mut parts, &thread.view().snapshot.config.limits) {
        let refusal = Refusal {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
            reason,
            method: Some(parts.method.as_str()),
            // One that is too long would be so in the log, too.
            target: parts.uri.path_and_query().map(|target| target.as_str()),
            host: parts.uri.authority().map(|authority| authority.as_str()),
        };
        return service::refuse(thread, conn, &refusal);
    }
    let body =
        if incoming.is_end_stream() { Body::empty() } else { Body::stream(Upload::new(incoming, &parts.headers)) };
    service::serve(thread, conn, Request::from_parts(parts, body)).await
}

/// A request's body. The window is opened again as it is taken.
struct Upload {
    stream: RecvStream,
    /// Of the length that was said; h2 sees that it is kept.
    left: Option<u64>,
}

impl Upload {
    fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        Self { stream, left: length.and_then(|length| length.parse().ok()) }
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        // Trailers are left where they are: they go nowhere.
        Poll::Ready(match ready!(this.stream.poll_data(cx)) {
            None => None,
            Some(Ok(data)) => {
                let _ = this.stream.flow_control().release_capacity(data.len());
                this.left = this.left.map(|left| left.saturating_sub(data.len() as u64));
                Some(Ok(Frame::data(data)))
            }
            // Also a reset that names no error: what has come is not the whole.
            Some(Err(_)) => Some(Err(BodyError::Gone)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

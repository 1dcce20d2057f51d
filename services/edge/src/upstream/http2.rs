//! HTTP/2 towards an upstream, on hyper: one connection a thread and address, a stream a request. gRPC lives here: trailers pass, and
//! both directions stream at once.

use super::address::Address;
use super::answer::Head;
use super::connect::Stream;
use super::headers;
use super::http1::{Fault, Upload};
use super::metrics::Open;
use crate::body::{Body, BodyError};
use bytes::Bytes;
use h2::Reason;
use http::header::{CONTENT_LENGTH, HOST, TE};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// A connection with requests on it that says nothing is asked whether it lives.
const PING: Duration = Duration::from_secs(15);
const LIST: u32 = 64 << 10;

/// hyper's tasks stay on this thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// A connection that many requests share.
#[derive(Clone)]
pub struct Session {
    sender: SendRequest<Sent>,
    secure: bool,
}

impl Session {
    pub async fn open(stream: Stream, open: Open) -> io::Result<Self> {
        let secure = stream.is_tls();
        let (sender, connection) = http2::Builder::new(Local)
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(LIST)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        tokio::task::spawn_local(async move {
            let _open = open;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP/2 connection to an upstream broke");
            }
        });
        Ok(Self { sender, secure })
    }

    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }
}

type Pending = Pin<Box<dyn Future<Output = Result<Response<Incoming>, TrySendError<Request<Sent>>>>>>;

/// One request on a session.
pub struct Exchange {
    session: Session,
    state: State,
    upload: Rc<Watch>,
    unsent: Option<Upload>,
}

enum State {
    Idle,
    Asked(Pending),
    Head(Response<Incoming>),
    Body(Incoming),
    Done,
    Failed,
}

/// What is known of a body on its way out.
#[derive(Default)]
struct Watch {
    moved: Cell<Option<Instant>>,
    /// All that came of it has been taken.
    hungry: Cell<bool>,
    failed: RefCell<Option<BodyError>>,
}

impl Exchange {
    pub fn new(session: Session) -> Self {
        Self { session, state: State::Idle, upload: Rc::default(), unsent: None }
    }

    pub fn begin(&mut self, parts: &Parts, length: Option<u64>, upload: Upload, address: &Address) {
        self.upload = Rc::default();
        let body = Sent { upload, left: length, watch: self.upload.clone() };
        let mut request = Request::new(body);
        *request.method_mut() = parts.method.clone();
        *request.version_mut() = Version::HTTP_2;
        let host = parts.headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
        let authority =
            host.or_else(|| address.label.parse().ok()).unwrap_or_else(|| Authority::from_static("localhost"));
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(if self.session.secure { Scheme::HTTPS } else { Scheme::HTTP });
        uri.authority = Some(authority);
        uri.path_and_query = parts.uri.path_and_query().cloned().or_else(|| "/".parse().ok());
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        for (name, value) in &parts.headers {
            // The authority stands in the request's target (RFC 9113, section 8.3.1).
            if !headers::stays_behind_of_request(name.as_str()) && name != HOST {
                request.headers_mut().append(name.clone(), value.clone());
            }
        }
        if let Some(length) = length.filter(|length| *length > 0) {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        // We pass trailers on, and gRPC servers ask for this word.
        request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
        self.state = State::Asked(Box::pin(self.session.sender.try_send_request(request)));
    }

    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let State::Asked(pending) = &mut self.state else { return Poll::Ready(Err(Fault::Ended)) };
        let answered = ready!(pending.as_mut().poll(cx));
        self.state = State::Failed;
        Poll::Ready(match answered {
            Ok(response) => {
                self.state = State::Head(response);
                Ok(())
            }
            Err(mut error) => Err(match error.take_message() {
                Some(request) => {
                    self.unsent = Some(request.into_body().upload);
                    Fault::Unsent
                }
                None => match self.upload.failed.take() {
                    Some(error) => Fault::Upload(error),
                    None => fault(error.error()),
                },
            }),
        })
    }

    pub fn take_head(&mut self) -> Result<Head, &'static str> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Head(response) => {
                let (parts, body) = response.into_parts();
                self.state = if body.is_end_stream() { State::Done } else { State::Body(body) };
                Head::of(parts.status, parts.headers)
            }
            _ => Err("no_head"),
        }
    }

    /// The body, of a request of which nothing was sent.
    pub fn take_upload(&mut self) -> Option<Upload> {
        self.unsent.take()
    }

    pub fn moved(&self) -> Option<Instant> {
        self.upload.moved.get()
    }

    /// Whether what is still to be sent has yet to come from the client.
    pub fn wants_more(&self) -> bool {
        self.upload.hungry.get()
    }

    pub fn left(&self) -> Option<u64> {
        match &self.state {
            State::Body(body) => body.size_hint().exact(),
            State::Done => Some(0),
            _ => None,
        }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let body = match &mut self.state {
            State::Body(body) => body,
            State::Done => return Poll::Ready(None),
            _ => return Poll::Ready(Some(Err(Fault::Ended))),
        };
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        // hyper takes a reset that names no error for the end, too; but an answer is whole only with END_STREAM (RFC 9113, section 8.1).
        let ended = body.is_end_stream();
        let frame = match frame {
            Some(Ok(frame)) => Some(Ok(frame)),
            None if ended => None,
            _ => Some(Err(self.upload.failed.take().map_or(Fault::Ended, Fault::Upload))),
        };
        if matches!(frame, Some(Err(_))) {
            self.state = State::Failed;
        } else if ended {
            self.state = State::Done;
        }
        Poll::Ready(frame)
    }
}

/// RFC 9113, sections 6.8 and 8.7: a refused stream has not been looked at, nor has one behind the last that a GOAWAY names (h2 ends no
/// other stream with it).
fn fault(error: &hyper::Error) -> Fault {
    let error = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    if error.is_some_and(|error| error.is_go_away() && error.is_remote()) {
        return Fault::Refused;
    }
    match error.and_then(h2::Error::reason) {
        Some(Reason::REFUSED_STREAM) => Fault::Refused,
        Some(Reason::PROTOCOL_ERROR | Reason::FRAME_SIZE_ERROR | Reason::COMPRESSION_ERROR) => {
            Fault::Malformed("http2_protocol")
        }
        _ => Fault::Ended,
    }
}

/// A request's body, watched.
struct Sent {
    upload: Upload,
    left: Option<u64>,
    watch: Rc<Watch>,
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let frame = self.upload.poll(cx);
        self.watch.hungry.set(frame.is_pending());
        let frame = ready!(frame);
        self.watch.moved.set(Some(Instant::now()));
        Poll::Ready(frame.map(|frame| match frame {
            Ok(frame) => {
                if let (Some(left), Some(data)) = (&mut self.left, frame.data_ref()) {
                    *left = left.saturating_sub(data.len() as u64);
                }
                Ok(frame)
            }
            Err(error) => {
                *self.watch.failed.borrow_mut() = Some(error);
                Err(Broken)
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        match &self.upload {
            Upload::Done | Upload::Failed(_) => true,
            Upload::Buffered(replay) => replay.is_end_stream(),
            Upload::Live(body) | Upload::Chunked(body) => Body::is_end_stream(body),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The body could not be had: the stream is reset, and why is kept beside.
#[derive(Debug)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the request's body broke off")
    }
}

impl std::error::Error for Broken {}

#[cfg(test)]
mod tests {
    use super::super::address::tests::address;
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// Takes a connection's first request, answers it with GOAWAY and closes.
    async fn go_away(mut stream: TcpStream, last: u8) {
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        stream.read_exact(&mut [0; 24]).await.unwrap();
        loop {
            let mut header = [0; 9];
            stream.read_exact(&mut header).await.unwrap();
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            stream.read_exact(&mut vec![0; length]).await.unwrap();
            if header[3] == 1 {
                break;
            }
        }
        stream.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last, 0, 0, 0, 0]).await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }

    #[tokio::test]
    async fn what_a_goaway_leaves_out_was_refused() {
        for (last, refused) in [(0, true), (1, false)] {
            let ask = async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
                let server = listener.accept().await.unwrap().0;
                let said = tokio::task::spawn_local(go_away(server, last));
                let mut exchange = Exchange::new(
                    Session::open(Stream::Tcp(client), super::super::metrics::Metrics::default().opened())
                        .await
                        .unwrap(),
                );
                let parts = Request::post("/").body(()).unwrap().into_parts().0;
                exchange.begin(&parts, Some(0), Upload::Done, &address());
                let fault = poll_fn(|cx| exchange.poll_head(cx)).await.unwrap_err();
                drop(exchange);
                said.await.unwrap();
                fault
            };
            let fault = tokio::task::LocalSet::new().run_until(ask).await;
            assert_eq!(matches!(fault, Fault::Refused), refused, "{fault:?}");
        }
    }
}

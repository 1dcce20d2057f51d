//! One connection: reads requests one after the other, has each answered, and decides what becomes of the connection.
//!
//! It does not know what answers: that is the [`Interface`].

use std::{
    io::{self, IoSlice},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use monodon_http1::{Reject, Version, target};

use super::{
    Shared,
    body::Body,
    introduction::{self, Introduction},
    log::{Log, Outcome},
    output::{Output, Terms},
    relief::Berth,
    request::{Peer, Request},
    retry,
    stream::{Stopped, Stream},
    transport::Pending,
    upload::{self, UploadError},
    watch::{Interrupt, Watch},
};
use crate::scoreboard;

/// What a connection reads into at first; grows up to the limits.
const BUFFER: usize = 4096;
/// How long, and how much, is read from a client that is being refused, so that it sees the answer and not a reset.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// What answers complete requests.
pub trait Interface: 'static {
    /// Answers `request` through `output`. It returns when the response is flushed or the client is gone, and whatever
    /// the application held for it is released.
    fn serve(&self, request: &mut Request, output: &mut Output<'_>) -> impl Future<Output = ()>;

    /// Whether a request would have to wait for others to be answered, so that a sibling had better take it.
    fn full(&self) -> bool {
        false
    }

    /// Waits until it is no longer full.
    fn free(&self) -> impl Future<Output = ()> {
        std::future::ready(())
    }

    /// Waits until one more request may wait.
    fn room(&self) -> impl Future<Output = ()> {
        std::future::ready(())
    }
}

/// A connection's parts that reading needs.
pub struct Link {
    pub request: Request,
    pub scratch: Vec<u8>,
    pub introduction: Introduction,
    /// Before the socket, which it must not outlive.
    berth: Option<Berth>,
    stream: Stream,
    watch: Rc<Watch>,
    body_timeout: Duration,
}

impl Link {
    /// Reads on into the request's buffer.
    pub async fn read_body_part(&mut self) -> Result<(), UploadError> {
        self.watch.arm(self.body_timeout);
        self.request.bytes.reserve(BUFFER);
        match self.stream.read(&mut self.request.bytes, &self.watch).await? {
            0 => Err(Stopped::Io(io::ErrorKind::UnexpectedEof.into()).into()),
            _ => Ok(()),
        }
    }

    /// Reads at most `most` bytes more into `part`.
    pub async fn read_at_most(&mut self, part: &mut Vec<u8>, most: usize) -> Result<(), UploadError> {
        self.watch.arm(self.body_timeout);
        match self.stream.read_at_most(part, most, &self.watch).await? {
            0 => Err(Stopped::Io(io::ErrorKind::UnexpectedEof.into()).into()),
            _ => Ok(()),
        }
    }

    /// Sends a few bytes.
    pub async fn send(&mut self, mut bytes: &[u8]) -> Result<(), Stopped> {
        while !bytes.is_empty() {
            match self.stream.try_write(&[IoSlice::new(bytes)]) {
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.stream.writable(&self.watch).await?,
                Err(error) => return Err(Stopped::Io(error)),
            }
        }
        Ok(())
    }
}

/// What to do with the connection after a request.
enum Then {
    Again,
    Close,
    /// Close so that the client reads the answer although it may still be sending.
    Linger,
}

/// Serves a connection until it ends or is given away. `adopted` if another process may still have its socket open.
pub async fn serve<I: Interface>(
    shared: Rc<Shared>,
    interface: Rc<I>,
    stream: Stream,
    introduction: Introduction,
    adopted: bool,
) {
    let mut peer = Peer::new(stream.addresses(), &shared.trust);
    if let Introduction::Made(Some(connection)) = introduction {
        peer = peer.introduced(connection, &shared.trust);
    }
    let watch = shared.watches.add();
    let body_timeout = shared.config.body_timeout;
    let request = Request::new(Arc::new(peer));
    let mut link = Link { request, scratch: Vec::new(), introduction, berth: None, stream, watch, body_timeout };
    if matches!(requests(&shared, &*interface, &mut link).await, End::Here) && adopted {
        link.stream.finish();
    }
}

enum End {
    /// The connection is to be closed.
    Here,
    /// It lives on in another process.
    Elsewhere,
}

/// One request after the other.
async fn requests<I: Interface>(shared: &Shared, interface: &I, link: &mut Link) -> End {
    let mut pending = Pending::default();
    // Nobody took it the last time: wait for the next tick before it is offered again.
    let mut refused = false;
    loop {
        match next_head(shared, interface, link, refused).await {
            Next::Request => refused = false,
            Next::GiveAway if shared.give_away(&link.stream, link.introduction) => return End::Elsewhere,
            Next::GiveAway => {
                refused = true;
                continue;
            }
            Next::Moved => return End::Elsewhere,
            Next::Refused(reject) => {
                shared.reject(reject.reason());
                tracing::info!(reason = reject.reason(), peer = link.request.peer.remote_host, "request refused");
                answer(shared, link, &mut pending, reject.status(), b"").await;
                linger(link).await;
                return End::Here;
            }
            Next::Stranger((status, reason)) => {
                shared.reject(reason);
                tracing::info!(reason, peer = link.request.peer.remote_host, "connection refused");
                answer(shared, link, &mut pending, status, b"").await;
                linger(link).await;
                return End::Here;
            }
            Next::Slow => {
                shared.reject("head_timeout");
                answer(shared, link, &mut pending, 408, b"").await;
                return End::Here;
            }
            Next::End => return End::Here,
        }
        match exchange(shared, interface, link, &mut pending).await {
            Then::Again => {}
            Then::Close => return End::Here,
            Then::Linger => {
                linger(link).await;
                return End::Here;
            }
        }
    }
}

enum Next {
    Request,
    GiveAway,
    /// It was given away while this process was busy.
    Moved,
    Refused(Reject),
    /// Its PROXY header is malformed, or not to be believed.
    Stranger(introduction::Refusal),
    Slow,
    End,
}

/// Waits for the next complete head.
async fn next_head<I: Interface>(shared: &Shared, interface: &I, link: &mut Link, refused: bool) -> Next {
    let Link { request, stream, watch, berth, introduction, .. } = link;
    request.head.clear();
    request.body = Body::Empty;
    request.kept = None;
    let mut idle = request.bytes.is_empty();
    if idle {
        if !refused && shared.leaving() && shared.has_siblings() {
            return Next::GiveAway;
        }
        watch.arm(shared.idle_limit());
        if berth.is_none()
            && let Some(relief) =
                shared.relief.as_ref().filter(|relief| relief.wanted() && !shared.config.develop.reload)
        {
            // Without it the connection only has to wait longer at times.
            *berth = relief.add(&*stream, watch).ok();
            if let Some(berth) = berth {
                berth.introduce(*introduction);
            }
        }
    } else {
        watch.arm(shared.config.head_timeout);
    }
    watch.set_idle(idle);
    loop {
        if !request.bytes.is_empty() {
            let introduced = match introduction {
                Introduction::Made(_) => true,
                Introduction::Awaited => match introduction::find(shared, request, introduction) {
                    Ok(introduced) => {
                        if let Some(berth) = berth {
                            berth.introduce(*introduction);
                        }
                        introduced
                    }
                    Err(refusal) => return Next::Stranger(refusal),
                },
            };
            if introduced {
                match request.head.parse(&request.bytes, &shared.limits) {
                    Ok(true) => {
                        watch.set_idle(false);
                        request.started = Instant::now();
                        return Next::Request;
                    }
                    Ok(false) => {}
                    Err(reject) => return Next::Refused(reject),
                }
            }
            if std::mem::take(&mut idle) {
                watch.set_idle(false);
                watch.arm(shared.config.head_timeout);
            }
        }
        if request.bytes.len() == request.bytes.capacity() {
            request.bytes.reserve(BUFFER);
        }
        let read = match berth {
            Some(berth) if idle => berth.first(stream.read(&mut request.bytes, watch)).await,
            _ if idle && (shared.relief.is_none() || shared.config.develop.reload) => {
                match stream.readable(watch).await {
                    Ok(()) if shared.superseded() && !refused => return Next::GiveAway,
                    // Unread, so that whoever is free first can take it.
                    Ok(()) if interface.full() && !refused && shared.has_siblings() => return Next::GiveAway,
                    Ok(()) => {
                        interface.room().await;
                        stream.read(&mut request.bytes, watch).await
                    }
                    Err(stopped) => Err(stopped),
                }
            }
            _ => stream.read(&mut request.bytes, watch).await,
        };
        match read {
            Ok(0) => return Next::End,
            Ok(_) => {}
            Err(Stopped::Io(_)) => return Next::End,
            Err(Stopped::Interrupted(Interrupt::Late)) => return if idle { Next::End } else { Next::Slow },
            Err(Stopped::Interrupted(Interrupt::Moved)) => return Next::Moved,
            Err(Stopped::Interrupted(Interrupt::Leave)) => {
                if idle && shared.has_siblings() {
                    return Next::GiveAway;
                }
                watch.arm(shared.idle_limit());
            }
        }
    }
}

/// Receives the body of the request whose head is there, and has it answered.
async fn exchange<I: Interface>(shared: &Shared, interface: &I, link: &mut Link, pending: &mut Pending) -> Then {
    if matches!(target::split(link.request.target()), Ok(target::Target { form: target::Form::Authority, .. })) {
        shared.reject("connect");
        answer(shared, link, pending, 501, b"").await;
        return Then::Linger;
    }
    let consumed = match upload::receive(link, shared.config.body_limit).await {
        Ok((body, consumed)) => {
            link.request.body = body;
            consumed
        }
        Err(error) => return refuse_upload(shared, link, pending, error).await,
    };
    if let Some((status, extra)) = retry::verdict(shared, &link.request).await {
        answer(shared, link, pending, status, extra).await;
        return Then::Close;
    }
    link.watch.disarm();
    let keep_alive = link.request.head.keep_alive && !shared.says_close(consumed < link.request.bytes.len());
    let Link { request, stream, watch, .. } = link;
    let head = &request.head;
    let process = Rc::clone(&shared.process_line.borrow());
    let terms = Terms {
        version: head.version,
        head_only: request.method() == b"HEAD",
        keep_alive,
        process: &process,
        keep_head: shared.log.as_ref().is_some_and(Log::wants_head),
        send_timeout: shared.config.body_timeout,
    };
    // The interface takes the body out of the request.
    let received = request.body.len();
    let began = scoreboard::now();
    let mut output = Output::new(stream, watch, pending, terms);
    shared.enter(request, began);
    interface.serve(request, &mut output).await;
    if !output.finished() {
        output.wire().abort();
    }
    let micros = scoreboard::now().saturating_sub(began);
    shared.exit(request, &output, received, micros);
    if let Some(log) = &shared.log {
        let (status, sent, head) = (output.status(), output.sent(), output.kept_head());
        log.write(shared, request, &Outcome { status, received, sent, micros, head });
    }
    let again = output.keep_alive();
    request.body = Body::Empty;
    request.kept = None;
    request.bytes.drain(..consumed.min(request.bytes.len()));
    if request.bytes.is_empty() {
        request.bytes.shrink_to(BUFFER);
    }
    if again { Then::Again } else { Then::Close }
}

async fn refuse_upload(shared: &Shared, link: &mut Link, pending: &mut Pending, error: UploadError) -> Then {
    let status = match error {
        UploadError::Rejected(reject) => {
            shared.reject(reject.reason());
            tracing::info!(reason = reject.reason(), peer = link.request.peer.remote_host, "request refused");
            reject.status()
        }
        UploadError::TooLarge => {
            shared.reject("body_too_large");
            413
        }
        UploadError::Disk(error) => {
            shared.reject("disk");
            tracing::error!(%error, "a request's body could not be stored: is the temporary folder full or read-only?");
            503
        }
        UploadError::Stopped(Stopped::Interrupted(_)) => {
            shared.reject("body_timeout");
            408
        }
        // Half a request is no request: the application never hears of it.
        UploadError::Stopped(Stopped::Io(_)) => {
            shared.reject("body_incomplete");
            return Then::Close;
        }
    };
    answer(shared, link, pending, status, b"").await;
    Then::Linger
}

/// Sends an answer of the worker's own and closes.
async fn answer(shared: &Shared, link: &mut Link, pending: &mut Pending, status: u16, extra: &[u8]) {
    let process = Rc::clone(&shared.process_line.borrow());
    let terms = Terms {
        version: Version::Http11,
        head_only: false,
        keep_alive: false,
        process: &process,
        keep_head: false,
        send_timeout: LINGER,
    };
    let mut output = Output::new(&mut link.stream, &link.watch, pending, terms);
    output.plain(status, extra, true);
    output.flush().await;
    if let Some(log) = &shared.log {
        let outcome = Outcome { status, received: 0, sent: output.sent(), micros: 0, head: None };
        log.write(shared, &link.request, &outcome);
    }
}

/// Ends our side and reads what the client still sends, within bounds: closing with unread bytes would reset the
/// connection, and the client would lose the answer.
async fn linger(link: &mut Link) {
    link.stream.shutdown_write();
    link.watch.set_idle(false);
    link.watch.arm(LINGER);
    let mut seen = 0;
    let mut sink = Vec::with_capacity(BUFFER * 4);
    while seen < LINGER_BYTES {
        sink.clear();
        match link.stream.read(&mut sink, &link.watch).await {
            Ok(read @ 1..) => seen += read,
            _ => return,
        }
    }
}

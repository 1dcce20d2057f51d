//! Several threads call the application, for applications that wait. The I/O thread hands them complete requests and
//! gets the responses back; it never needs the interpreter's lock.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use pyo3::{
    prelude::*,
    types::{IntoPyDict, PyCFunction},
};
use tokio::sync::{Notify, mpsc};

use super::{
    App,
    call::{self, Caller, Sink, Step},
    environ::Environs,
    file::Sendable,
    hooks::Hooks,
};
use crate::{
    process::{
        connection::Interface,
        gil, logger,
        output::Output,
        request::Request,
        response::{self, Head},
        start,
        watchdog::Lane,
    },
    scoreboard::{self, Own},
};

/// Parts of a response that may wait for the socket, before the thread that makes them waits.
const AHEAD: usize = 4;
/// So many requests may wait for each thread; what comes then is not read before one of them is answered.
const WAITING: usize = 100;

/// A request on its way to a thread.
struct Job {
    request: Request,
    way: Way,
    /// Monotonic microseconds.
    arrived: u64,
}

/// The way back to its connection.
struct Way {
    fd: std::os::fd::RawFd,
    head_only: bool,
    reply: mpsc::Sender<Reply>,
    /// Set when the client has left.
    gone: Arc<AtomicBool>,
}

/// What comes back.
enum Reply {
    Whole(Head, Vec<u8>),
    Start(Head, Option<u64>, Vec<u8>),
    Data(Vec<u8>),
    Interim(Vec<u8>),
    File(Sendable),
    End,
    Abort,
    /// The thread is done with the request, whose buffers the connection uses again.
    Back(Box<Request>),
}

#[derive(Default)]
struct Queue {
    jobs: Mutex<VecDeque<Job>>,
    more: Condvar,
}

impl Queue {
    fn jobs(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// First come, first served. Its bound is kept by those who push (see [`Pool::room`]).
    fn push(&self, job: Job) {
        self.jobs().push_back(job);
        self.more.notify_one();
    }

    fn pop(&self) -> Job {
        let mut jobs = self.jobs();
        loop {
            match jobs.pop_front() {
                Some(job) => return job,
                None => jobs = self.more.wait(jobs).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

pub struct Pool {
    queue: Arc<Queue>,
    threads: usize,
    /// Requests that wait for a thread or are with one.
    held: Cell<usize>,
    /// One fewer is held.
    answered: Notify,
}

impl Pool {
    /// Starts a thread for each lane; they are daemons of `threading`, attached to the interpreter once.
    pub fn start(py: Python<'_>, app: &App, lanes: Vec<Arc<Lane>>, entry: &Own) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let threads = lanes.len();
        let start = |number: usize, lane: Arc<Lane>| {
            let thread = Thread {
                app: app.callable.clone_ref(py),
                hooks: app.hooks.as_ref().map(|hooks| hooks.clone_ref(py)),
                lane,
                entry: entry.clone(),
                queue: Arc::clone(&queue),
                caller: app.caller(),
            };
            let environs = Mutex::new(Some((app.environs(py, thread.caller.lender)?, thread)));
            let body = PyCFunction::new_closure(py, None, None, move |args, _| {
                let taken = environs.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some((environs, thread)) = taken {
                    thread.run(args.py(), environs);
                }
            })?;
            let named = [("name", format!("monodon-{number}"))].into_py_dict(py)?;
            named.set_item("target", body)?;
            named.set_item("daemon", true)?;
            py.import("threading")?.getattr("Thread")?.call((), Some(&named))?.call_method0("start").map(drop)
        };
        for (number, lane) in lanes.into_iter().enumerate() {
            start(number, lane).map_err(|error: PyErr| std::io::Error::other(error.to_string()))?;
        }
        Ok(Self { queue, threads, held: Cell::new(0), answered: Notify::new() })
    }
}

/// A request that waits for a thread or is with one.
struct Held<'p>(&'p Pool);

impl<'p> Held<'p> {
    fn new(pool: &'p Pool) -> Self {
        pool.held.set(pool.held.get() + 1);
        Self(pool)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.set(self.0.held.get().saturating_sub(1));
        self.0.answered.notify_waiters();
    }
}

impl Pool {
    async fn fewer_than(&self, limit: usize) {
        loop {
            let answered = self.answered.notified();
            if self.held.get() < limit {
                return;
            }
            answered.await;
        }
    }
}

impl Interface for Pool {
    fn full(&self) -> bool {
        self.held.get() >= self.threads
    }

    async fn free(&self) {
        self.fewer_than(self.threads).await;
    }

    async fn room(&self) {
        self.fewer_than(self.threads.saturating_mul(1 + WAITING)).await;
    }

    async fn serve(&self, request: &mut Request, output: &mut Output<'_>) {
        let _held = Held::new(self);
        let (reply, mut replies) = mpsc::channel(AHEAD);
        let peer = Arc::clone(&request.peer);
        let taken = std::mem::replace(request, Request::new(peer));
        let head_only = taken.method() == b"HEAD";
        let gone = Arc::new(AtomicBool::new(false));
        let way = Way { fd: output.fd(), head_only, reply, gone: Arc::clone(&gone) };
        self.queue.push(Job { request: taken, way, arrived: scoreboard::now() });
        while let Some(next) = replies.recv().await {
            let wire = output.wire();
            match next {
                Reply::Whole(mut head, body) => wire.whole(&mut head, &[&body]),
                Reply::Start(mut head, total, first) => wire.start(&mut head, total, &[&first]),
                Reply::Data(data) => wire.data(&data),
                Reply::Interim(head) => wire.interim(&head),
                Reply::File(part) => output.file(&part.file, part.offset).await,
                Reply::End => wire.end(),
                Reply::Abort => wire.abort(),
                Reply::Back(back) => *request = *back,
            }
            output.flush().await;
            if output.broken() {
                // The thread sees it at its next part. Its slot is taken until it is done, so we wait for that.
                gone.store(true, Ordering::Relaxed);
            }
        }
    }
}

struct Thread {
    app: Py<PyAny>,
    hooks: Option<Hooks>,
    lane: Arc<Lane>,
    entry: Own,
    queue: Arc<Queue>,
    caller: Caller,
}

impl Thread {
    fn run(self, py: Python<'_>, mut environs: Environs) {
        gil::count_waits(&self.entry);
        loop {
            let (mut job, began) = py.detach(|| (self.queue.pop(), scoreboard::now()));
            gil::waited_since(began);
            self.lane.name(&job.request);
            self.lane.begin(job.way.fd, false);
            let here = scoreboard::now().saturating_sub(job.arrived);
            self.entry.observe_queue(start::waited(&job.request).unwrap_or(here));
            let mut sink = Remote {
                way: &job.way,
                lane: &self.lane,
                started: false,
                silent: false,
                sent: 0,
                held: VecDeque::new(),
            };
            let exchange = self.hooks.as_ref().map(|hooks| hooks.begin(py, &job.request));
            let app = exchange.as_ref().map_or(&self.app, |exchange| exchange.callable());
            logger::works_on(job.request.id());
            let running = {
                // The body goes into the environ, so the request is only lent for it.
                let request = RefCell::new(&mut job.request);
                let environ = || environs.build(py, &mut request.borrow_mut());
                call::call(py, app, &self.caller, environ, &mut sink, || super::label(&request.borrow()))
            };
            if let Some(mut running) = running {
                loop {
                    let step = running.step(py, &mut sink);
                    sink.progress();
                    if sink.is_behind() {
                        py.detach(|| sink.catch_up());
                    }
                    match step {
                        Step::More if sink.wants_nothing() => break,
                        Step::More => {}
                        Step::Done => break,
                        Step::File(part) => {
                            sink.sent += part.len;
                            sink.send(Reply::File(part));
                            sink.end();
                            break;
                        }
                    }
                }
                running.close(py);
            }
            if let Some(exchange) = exchange {
                exchange.finish(py, sink.sent, sink.started);
            }
            logger::works_on(b"-");
            if sink.is_behind() {
                py.detach(|| sink.catch_up());
            }
            if !self.lane.end() {
                // The watchdog has answered and ends the process now.
                py.detach(|| {
                    loop {
                        std::thread::park();
                    }
                });
            }
            let Job { request, way: Way { reply, .. }, .. } = job;
            py.detach(|| drop(reply.blocking_send(Reply::Back(Box::new(request)))));
        }
    }
}

/// Where a thread's response goes.
struct Remote<'r> {
    way: &'r Way,
    lane: &'r Lane,
    started: bool,
    /// No body is sent, whatever the application gives.
    silent: bool,
    /// Bytes of the body that were given, for hooks.
    sent: u64,
    /// What the I/O thread, or rather its client, does not take yet.
    held: VecDeque<Reply>,
}

impl Remote<'_> {
    fn send(&mut self, reply: Reply) {
        if !self.held.is_empty() {
            return self.held.push_back(reply);
        }
        match self.way.reply.try_send(reply) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => self.way.gone.store(true, Ordering::Relaxed),
            Err(mpsc::error::TrySendError::Full(reply)) => self.held.push_back(reply),
        }
    }

    fn claim(&mut self) -> bool {
        self.started = true;
        let ours = self.lane.claim();
        self.silent |= !ours;
        ours
    }
}

impl Sink for Remote<'_> {
    fn whole(&mut self, head: &mut Head, parts: &[&[u8]]) {
        if self.claim() {
            let body = parts.concat();
            if response::has_body(head.status) && !self.way.head_only {
                self.sent += body.len() as u64;
            }
            self.send(Reply::Whole(std::mem::take(head), body));
        }
    }

    fn start(&mut self, head: &mut Head, total: Option<u64>, parts: &[&[u8]]) {
        if self.claim() {
            self.silent |= self.way.head_only || !response::has_body(head.status);
            let first = parts.concat();
            if !self.silent {
                self.sent += first.len() as u64;
            }
            self.send(Reply::Start(std::mem::take(head), total, first));
        }
    }

    fn data(&mut self, data: &[u8]) {
        if !self.wants_nothing() {
            self.sent += data.len() as u64;
            self.send(Reply::Data(data.to_vec()));
        }
    }

    fn interim(&mut self, head: &[u8]) {
        if !self.started && !self.lane.is_over() {
            self.send(Reply::Interim(head.to_vec()));
        }
    }

    fn progress(&mut self) {
        self.lane.progress();
    }

    fn is_behind(&self) -> bool {
        !self.held.is_empty()
    }

    fn catch_up(&mut self) {
        // The client reads slowly, and the time is his.
        if self.lane.end() {
            for reply in self.held.drain(..) {
                if self.way.reply.blocking_send(reply).is_err() {
                    self.way.gone.store(true, Ordering::Relaxed);
                }
            }
            self.lane.begin(self.way.fd, self.started);
        }
    }

    fn lost(&self) -> bool {
        self.way.gone.load(Ordering::Relaxed)
    }

    fn end(&mut self) {
        self.send(Reply::End);
    }

    fn abort(&mut self) {
        self.send(Reply::Abort);
    }

    fn started(&self) -> bool {
        self.started
    }

    fn wants_nothing(&self) -> bool {
        self.silent || self.way.gone.load(Ordering::Relaxed)
    }
}

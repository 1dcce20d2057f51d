//! The application is called on the thread that does the I/O, which holds the interpreter's lock whenever it runs.

use std::{
    cell::RefCell,
    os::fd::RawFd,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use pyo3::prelude::*;

use super::{
    App,
    call::{self, Caller, Running, Sink, Step},
    environ::Environs,
    hooks::{Exchange, Hooks},
};
use crate::{
    process::{
        connection::Interface,
        gil, logger,
        output::{Output, Wire},
        relief::Relief,
        request::Request,
        response::Head,
        start,
        watchdog::Lane,
    },
    scoreboard::Own,
};

/// A response that comes in parts lets others run at least this often.
const TURN: Duration = Duration::from_millis(1);
/// What the watchdog gets for its answer and its words, when the application ends after all.
const LAST_WORDS: Duration = Duration::from_millis(500);

pub struct Inline {
    app: Py<PyAny>,
    hooks: Option<Hooks>,
    environs: RefCell<Environs>,
    lane: Arc<Lane>,
    entry: Own,
    relief: Rc<Relief>,
    abandon: Option<Py<PyAny>>,
    caller: Caller,
}

/// The connection, for as long as the watchdog has not taken it.
struct Guarded<'g, 'c> {
    wire: &'g mut Wire<'c>,
    lane: &'g Lane,
    entry: &'g Own,
    fd: RawFd,
}

impl Inline {
    pub fn new(
        py: Python<'_>,
        app: App,
        lane: Arc<Lane>,
        entry: Own,
        relief: Rc<Relief>,
        abandon: Option<Py<PyAny>>,
    ) -> std::io::Result<Self> {
        let caller = app.caller();
        let environs = RefCell::new(app.environs(py, caller.lender)?);
        logger::follows_entry();
        gil::count_waits(&entry);
        Ok(Self { app: app.callable, hooks: app.hooks, environs, lane, entry, relief, abandon, caller })
    }

    /// Runs a part of the application under the watchdog's eyes.
    fn watched<T>(&self, output: &mut Output<'_>, part: impl FnOnce(Python<'_>, &mut Guarded<'_, '_>) -> T) -> T {
        let fd = output.fd();
        self.entry.set_deadline(self.lane.begin(fd, output.started()));
        self.relief.enter();
        let mut sink = Guarded { wire: output.wire(), lane: &self.lane, entry: &self.entry, fd };
        let result = Python::attach(|py| part(py, &mut sink));
        self.relief.leave();
        self.entry.set_deadline(0);
        if !self.lane.end() {
            self.abandoned();
        }
        result
    }

    /// The watchdog has answered and ends the process now; a hook may be called before.
    #[cold]
    fn abandoned(&self) -> ! {
        if let Some(abandon) = &self.abandon {
            Python::attach(|py| {
                py.detach(|| std::thread::sleep(LAST_WORDS));
                // Only a signal's handler can end it early, and that one runs once.
                while abandon.call0(py).is_err() {}
            });
        }
        loop {
            std::thread::park();
        }
    }
}

impl Interface for Inline {
    async fn serve(&self, request: &mut Request, output: &mut Output<'_>) {
        if let Some(waited) = start::waited(request) {
            self.entry.observe_queue(waited);
        }
        let mut exchange = None;
        let running = self.watched(output, |py, sink| {
            let app = match self.hooks.as_ref().map(|hooks| exchange.insert(hooks.begin(py, request))) {
                Some(exchange) => exchange.callable(),
                None => &self.app,
            };
            // The body goes into the environ, so the request is only lent for it.
            let request = RefCell::new(&mut *request);
            let environ = || self.environs.borrow_mut().build(py, &mut request.borrow_mut());
            call::call(py, app, &self.caller, environ, sink, || super::label(&request.borrow()))
        });
        output.flush().await;
        if let Some(mut running) = running {
            self.stream(&mut running, request, output).await;
            self.watched(output, |py, _| running.close(py));
        }
        if let Some(exchange) = exchange {
            self.over(&exchange, output);
        }
    }
}

impl Inline {
    #[cold]
    fn over(&self, exchange: &Exchange, output: &mut Output<'_>) {
        let (sent, started) = (output.sent(), output.started());
        self.watched(output, |py, _| exchange.finish(py, sent, started));
    }

    /// Asks for one part after the other, each when the socket has taken the one before.
    async fn stream(&self, running: &mut Running, request: &Request, output: &mut Output<'_>) {
        let mut turn = Instant::now();
        loop {
            // Other requests may have been here since the last part.
            self.entry.set_current(request.method(), request.target(), request.id());
            match self.watched(output, |py, sink| running.step(py, sink)) {
                Step::More => {}
                Step::Done => return output.flush().await,
                Step::File(part) => {
                    output.file(&part.file, part.offset).await;
                    return output.wire().end();
                }
            }
            output.flush().await;
            if output.broken() {
                return;
            }
            if turn.elapsed() >= TURN {
                tokio::task::yield_now().await;
                turn = Instant::now();
            }
        }
    }
}

impl Guarded<'_, '_> {
    fn claim(&mut self) -> bool {
        let ours = self.lane.claim();
        if !ours {
            self.wire.abort();
        }
        ours
    }
}

impl Sink for Guarded<'_, '_> {
    fn whole(&mut self, head: &mut Head, parts: &[&[u8]]) {
        if self.claim() {
            self.wire.whole(head, parts);
        }
    }

    fn start(&mut self, head: &mut Head, total: Option<u64>, parts: &[&[u8]]) {
        if self.claim() {
            self.wire.start(head, total, parts);
        }
    }

    fn data(&mut self, data: &[u8]) {
        self.wire.data(data);
    }

    fn interim(&mut self, head: &[u8]) {
        if !self.lane.is_over() {
            self.wire.interim(head);
        }
    }

    fn progress(&mut self) {
        self.entry.set_deadline(self.lane.progress());
    }

    fn is_behind(&self) -> bool {
        self.wire.is_behind()
    }

    /// Others wait meanwhile: whoever calls `write()` has asked for it.
    fn catch_up(&mut self) {
        let answered = self.wire.started();
        self.entry.set_deadline(0);
        // The time is the client's.
        if self.lane.end() {
            self.wire.drain();
            self.entry.set_deadline(self.lane.begin(self.fd, answered));
        }
    }

    fn lost(&self) -> bool {
        self.wire.broken()
    }

    fn end(&mut self) {
        self.wire.end();
    }

    fn abort(&mut self) {
        self.wire.abort();
    }

    fn started(&self) -> bool {
        self.wire.started()
    }

    fn wants_nothing(&self) -> bool {
        self.wire.wants_nothing()
    }
}

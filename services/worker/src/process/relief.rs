//! Gives connections away on which a request arrives while this process is in the application.
//!
//! The thread that does the I/O calls the application too, and reads nothing meanwhile. So another thread, which never
//! needs the interpreter's lock, stands in: when one call has lasted for [`PATIENCE`], it watches the idle connections,
//! and sends each that becomes readable to the socket that all processes share (see `handover`), its bytes unread.
//! Whoever is free first takes it from there, in order of arrival: that may be this very process.
//!
//! Who may touch a connection is one atomic ([`Claim`]), so that the two threads never both read or move it.
#![allow(unsafe_code)]

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::Poll,
    thread::Thread,
    time::Duration,
};

use rustix::event::epoll;
use tokio::sync::mpsc;

use super::{
    handover,
    introduction::Introduction,
    stream::Stopped,
    watch::{Interrupt, Watch},
};
use crate::scoreboard::Own;

/// How long a call of the application may keep others waiting before they are helped.
const PATIENCE: Duration = Duration::from_millis(1);
/// After so many looks at which the application was not running, the thread sleeps until it is called again.
const QUIET: u32 = 10;
const EVENTS: usize = 64;

/// The I/O thread uses the connection, or something of a request is in user space.
const HELD: u8 = 0;
/// The I/O thread waits for the first byte of a request.
const IDLE: u8 = 1;
/// The other thread is sending it away.
const MOVING: u8 = 2;
/// It belongs to another process; the descriptor here is only to be closed.
const GONE: u8 = 3;

struct Claim {
    state: AtomicU8,
    fd: RawFd,
    /// For whoever takes it. Nothing: a PROXY header may still come.
    introduction: OnceLock<Introduction>,
}

impl Claim {
    /// For the I/O thread: the connection is its own from now on. False if it is gone.
    fn hold(&self) -> bool {
        loop {
            match self.state.compare_exchange(IDLE, HELD, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) | Err(HELD) => return true,
                // One system call that does not wait.
                Err(MOVING) => std::thread::yield_now(),
                Err(_gone) => return false,
            }
        }
    }

    fn release(&self) {
        self.state.store(IDLE, Ordering::Release);
    }
}

/// What both threads know.
struct Common {
    /// Odd while the application runs; another number for each call.
    turn: AtomicU64,
    asleep: AtomicBool,
    epoll: OwnedFd,
    claims: Mutex<HashMap<u64, Arc<Claim>>>,
    moved: mpsc::UnboundedSender<u64>,
}

impl Common {
    fn claims(&self) -> MutexGuard<'_, HashMap<u64, Arc<Claim>>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The I/O thread's side.
pub struct Relief {
    common: Arc<Common>,
    thread: Thread,
    entry: Own,
    watches: RefCell<HashMap<u64, Rc<Watch>>>,
    next: Cell<u64>,
    moved: RefCell<Option<mpsc::UnboundedReceiver<u64>>>,
    /// There are siblings by configuration, though they may not be there yet.
    herd: bool,
}

impl Relief {
    /// Starts the thread, which sleeps until there is something to do. It sends to `handover`.
    pub fn start(entry: Own, handover: OwnedFd, herd: bool) -> io::Result<Rc<Self>> {
        let (sender, moved) = mpsc::unbounded_channel();
        let common = Arc::new(Common {
            turn: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            claims: Mutex::default(),
            moved: sender,
        });
        let watcher = Watcher { common: Arc::clone(&common), entry: entry.clone(), handover };
        let thread = std::thread::Builder::new().name("relief".to_owned()).spawn(move || watcher.run())?;
        Ok(Rc::new(Self {
            common,
            thread: thread.thread().clone(),
            entry,
            watches: RefCell::default(),
            next: Cell::new(0),
            moved: RefCell::new(Some(moved)),
            herd,
        }))
    }

    /// Whether anybody else could take a connection.
    pub fn wanted(&self) -> bool {
        self.herd || self.entry.board().serving() > 1
    }

    /// The connection may be given away whenever it is idle.
    pub fn add(self: &Rc<Self>, stream: impl AsFd, watch: &Rc<Watch>) -> io::Result<Berth> {
        let id = self.next.get();
        self.next.set(id + 1);
        let stream = stream.as_fd();
        let claim =
            Arc::new(Claim { state: AtomicU8::new(HELD), fd: stream.as_raw_fd(), introduction: OnceLock::new() });
        self.common.claims().insert(id, Arc::clone(&claim));
        self.watches.borrow_mut().insert(id, Rc::clone(watch));
        let berth = Berth { claim, id, relief: Rc::clone(self) };
        epoll::add(&self.common.epoll, stream, epoll::EventData::new_u64(id), epoll::EventFlags::IN)?;
        Ok(berth)
    }

    /// The application is called.
    pub fn enter(&self) {
        if self.watches.borrow().is_empty() {
            return;
        }
        let turn = self.common.turn.load(Ordering::Relaxed);
        self.common.turn.store(turn | 1, Ordering::SeqCst);
        if self.common.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
    }

    /// The application has returned.
    pub fn leave(&self) {
        let turn = self.common.turn.load(Ordering::Relaxed);
        if turn % 2 == 1 {
            self.common.turn.store(turn + 1, Ordering::Release);
        }
    }

    /// Ends the tasks of connections that are gone.
    pub async fn tell(self: Rc<Self>) {
        let Some(mut moved) = self.moved.take() else { return };
        while let Some(id) = moved.recv().await {
            if let Some(watch) = self.watches.borrow().get(&id) {
                watch.interrupt(Interrupt::Moved);
            }
        }
    }
}

/// A connection's place here, for as long as the connection is this process's. To be dropped before its socket.
pub struct Berth {
    claim: Arc<Claim>,
    id: u64,
    relief: Rc<Relief>,
}

impl Berth {
    /// Who the client is goes along when the connection does.
    pub fn introduce(&self, introduction: Introduction) {
        if let Introduction::Made(_) = introduction {
            let _ = self.claim.introduction.set(introduction);
        }
    }

    /// Waits for the first bytes of a request by `read`; meanwhile the connection may be given away.
    pub async fn first<T>(&self, read: impl Future<Output = Result<T, Stopped>>) -> Result<T, Stopped> {
        let mut read = std::pin::pin!(read);
        std::future::poll_fn(|cx| {
            if !self.claim.hold() {
                return Poll::Ready(Err(Stopped::Interrupted(Interrupt::Moved)));
            }
            let done = read.as_mut().poll(cx);
            if done.is_pending() {
                self.claim.release();
            }
            done
        })
        .await
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        self.relief.watches.borrow_mut().remove(&self.id);
        if self.claim.hold() {
            self.relief.common.claims().remove(&self.id);
            // SAFETY: as for `Watcher::offer`: the berth is dropped before the socket.
            let _ = epoll::delete(&self.relief.common.epoll, unsafe { BorrowedFd::borrow_raw(self.claim.fd) });
        }
    }
}

/// The other thread's side.
struct Watcher {
    common: Arc<Common>,
    entry: Own,
    handover: OwnedFd,
}

impl Watcher {
    fn run(self) {
        let mut last = 0;
        let mut quiet = 0;
        loop {
            let turn = self.common.turn.load(Ordering::Acquire);
            if !turn.is_multiple_of(2) && turn == last {
                quiet = 0;
                // The same call as a moment ago: the I/O thread does not come to read.
                self.relieve(turn);
                continue;
            }
            quiet = if turn == last { quiet + 1 } else { 0 };
            last = turn;
            if quiet > QUIET && turn.is_multiple_of(2) {
                self.sleep(turn);
                quiet = 0;
            } else {
                std::thread::sleep(PATIENCE);
            }
        }
    }

    /// Until the application is called.
    fn sleep(&self, turn: u64) {
        self.common.asleep.store(true, Ordering::SeqCst);
        if self.common.turn.load(Ordering::SeqCst) == turn {
            std::thread::park();
        }
        self.common.asleep.store(false, Ordering::SeqCst);
    }

    /// Gives away what becomes readable, for about as long as [`PATIENCE`].
    fn relieve(&self, turn: u64) {
        let mut events = [const { std::mem::MaybeUninit::uninit() }; EVENTS];
        let limit = rustix::event::Timespec { tv_sec: 0, tv_nsec: i64::from(PATIENCE.subsec_nanos()) };
        let stays = match epoll::wait(&self.common.epoll, &mut events, Some(&limit)) {
            Ok((ready, _)) if self.has_siblings() => {
                // All of them are tried, also after one that cannot go.
                ready.iter().filter(|event| !self.offer(event.data.u64(), turn)).count() > 0
            }
            Ok((ready, _)) => !ready.is_empty(),
            Err(rustix::io::Errno::INTR) => false,
            Err(_) => true,
        };
        if stays {
            // It stays readable, and would be reported again at once.
            std::thread::sleep(PATIENCE);
        }
    }

    fn has_siblings(&self) -> bool {
        let others = self.entry.board().entries().iter().enumerate();
        others.into_iter().any(|(index, other)| index != self.entry.index() && other.state().accepts())
    }

    /// Sends the connection to whoever is free first; false if it has to stay.
    fn offer(&self, id: u64, turn: u64) -> bool {
        let Some(claim) = self.common.claims().get(&id).map(Arc::clone) else { return false };
        if claim.state.compare_exchange(IDLE, MOVING, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        // SAFETY: the I/O thread closes the descriptor only after `Claim::hold`, which waits while the state is MOVING.
        let connection = unsafe { BorrowedFd::borrow_raw(claim.fd) };
        // The I/O thread is back: it reads sooner than anybody else.
        let back = self.common.turn.load(Ordering::Acquire) != turn;
        let introduction = claim.introduction.get().copied().unwrap_or(Introduction::Awaited);
        if back || handover::send(&self.handover, &connection, &introduction.to_bytes()).is_err() {
            claim.state.store(IDLE, Ordering::Release);
            return false;
        }
        // The socket lives on in another process, so closing it here does not take it out of the epoll.
        let _ = epoll::delete(&self.common.epoll, connection);
        self.common.claims().remove(&id);
        self.entry.add_handed_over(1);
        claim.state.store(GONE, Ordering::Release);
        let _ = self.common.moved.send(id);
        true
    }
}

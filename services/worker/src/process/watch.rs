//! What can interrupt a connection that waits: its deadline, and the process's leaving.
//!
//! One ticker looks at all connections a few times a second; arming a deadline is one store, where a timer of its own
//! for each connection would cost several operations on the runtime's wheel for every request.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// How often deadlines are looked at: no timeout of ours is finer than a second.
pub const TICK: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interrupt {
    /// The deadline has passed.
    Late,
    /// The process leaves; only connections that are idle are told.
    Leave,
    /// The connection belongs to another process by now (see `relief`).
    Moved,
}

#[derive(Default)]
pub struct Watch {
    deadline: Cell<Option<Instant>>,
    idle: Cell<bool>,
    interrupt: Cell<Option<Interrupt>>,
    waker: RefCell<Option<Waker>>,
}

impl Watch {
    /// From now on the connection waits for at most `limit`; zero is no limit.
    pub fn arm(&self, limit: Duration) {
        self.deadline.set(if limit.is_zero() { None } else { Instant::now().checked_add(limit) });
        // An earlier deadline that passed while nobody waited is none of this wait's.
        if self.interrupt.get() == Some(Interrupt::Late) {
            self.interrupt.set(None);
        }
    }

    pub fn disarm(&self) {
        self.deadline.set(None);
    }

    /// Whether nothing of a request has arrived, so that the connection may be given away.
    pub fn set_idle(&self, idle: bool) {
        self.idle.set(idle);
        if !idle && self.interrupt.get() == Some(Interrupt::Leave) {
            self.interrupt.set(None);
        }
    }

    /// To be called by whatever waits, at each poll.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<Interrupt> {
        if let Some(interrupt) = self.interrupt.take() {
            return Poll::Ready(interrupt);
        }
        let mut waker = self.waker.borrow_mut();
        match &*waker {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    pub fn interrupt(&self, interrupt: Interrupt) {
        self.interrupt.set(Some(interrupt));
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

/// Every connection of the process.
pub struct Watches {
    all: RefCell<Vec<Weak<Watch>>>,
    last: Cell<Instant>,
}

impl Watches {
    pub fn new() -> Self {
        Self { all: RefCell::default(), last: Cell::new(Instant::now()) }
    }

    pub fn add(&self) -> Rc<Watch> {
        let watch = Rc::new(Watch::default());
        let mut all = self.all.borrow_mut();
        if all.len() == all.capacity() {
            all.retain(|known| known.strong_count() > 0);
        }
        all.push(Rc::downgrade(&watch));
        watch
    }

    /// Ends the waits whose time is up. Time in which this process could not have read, because the application was
    /// running, is not counted against its clients.
    pub fn tick(&self) {
        let now = Instant::now();
        let busy = now.duration_since(self.last.replace(now)).saturating_sub(TICK * 2);
        for watch in self.all.borrow().iter().filter_map(Weak::upgrade) {
            let Some(mut deadline) = watch.deadline.get() else { continue };
            if !busy.is_zero() {
                deadline += busy;
                watch.deadline.set(Some(deadline));
            }
            if deadline <= now {
                watch.deadline.set(None);
                watch.interrupt(Interrupt::Late);
            }
        }
    }

    /// Tells every idle connection that the process leaves.
    pub fn leave(&self) {
        for watch in self.all.borrow().iter().filter_map(Weak::upgrade).filter(|watch| watch.idle.get()) {
            watch.interrupt(Interrupt::Leave);
        }
    }
}

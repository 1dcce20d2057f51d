//! What moves an upstream connection on: whoever waits for its answer, or a task of its own.
//!
//! Waiting for an answer in the client's own task saves two wake-ups a request. Where nobody waits with it (a body that
//! is streamed or pumped, a tunnel, a client that has left) the connection gets a task.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::task::JoinHandle;

type Connection = Pin<Box<dyn Future<Output = ()>>>;

pub struct Driver {
    /// `None` once it has ended. Shared with the task while there is one.
    connection: Rc<RefCell<Option<Connection>>>,
    task: Option<JoinHandle<()>>,
}

impl Driver {
    pub fn new(connection: impl Future<Output = ()> + 'static) -> Self {
        Self { connection: Rc::new(RefCell::new(Some(Box::pin(connection)))), task: None }
    }

    /// Moves the connection on as far as it goes now. Gives the context in which to look for what came of it: without a
    /// task of its own only the next such call can bring more, and a waker would wake its caller twice.
    pub fn advance<'c>(&mut self, cx: &mut Context<'c>) -> Context<'c> {
        if self.task.is_some() {
            return Context::from_waker(cx.waker());
        }
        let _ = step(&self.connection, cx);
        Context::from_waker(Waker::noop())
    }

    /// Looks after a connection that nobody waits for; nobody is woken for it from now on.
    pub fn rest(&mut self) {
        // Aborted, it is not polled again; what it has of the connection is a reference only.
        if let Some(task) = self.task.take() {
            task.abort();
        }
        let _ = step(&self.connection, &mut Context::from_waker(Waker::noop()));
    }

    /// From now on it moves by itself, until it ends or comes to [`Driver::rest`].
    pub fn let_run(&mut self) {
        if self.task.is_none() {
            let connection = self.connection.clone();
            self.task = Some(tokio::task::spawn_local(poll_fn(move |cx| step(&connection, cx))));
        }
    }
}

fn step(connection: &RefCell<Option<Connection>>, cx: &mut Context<'_>) -> Poll<()> {
    // Taken out meanwhile, so that what its end drops finds no borrow in its way.
    let Some(mut one) = connection.borrow_mut().take() else { return Poll::Ready(()) };
    if one.as_mut().poll(cx).is_ready() {
        return Poll::Ready(());
    }
    *connection.borrow_mut() = Some(one);
    Poll::Pending
}

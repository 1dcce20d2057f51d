//! One line a request, written when its answer has ended, in per-thread batches.
//!
//! The line's data is kept as the reference-counted pieces that the request brought: nothing is formatted before the
//! answer is out.

mod clock;
mod format;
mod json;
mod record;
mod remote_user;
mod text;
mod variable;

pub use format::{Escape, Format};
pub use record::Record;

use clock::Clock;
use monodon_logging::Lines;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a line is written.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Line {
    #[default]
    Json,
    Format(Arc<Format>),
}

impl Line {
    /// What a line needs of headers, where it needs any.
    pub fn format(&self) -> Option<&Format> {
        if let Self::Format(format) = self { Some(format) } else { None }
    }
}

/// A thread's batch of lines.
pub struct Log {
    lines: Lines,
    batch: RefCell<Vec<u8>>,
    clock: RefCell<Clock>,
}

/// What the writer takes in one go: smaller ones would only wake it more often.
const BATCH: usize = 64 << 10;
pub const FLUSH_EVERY: Duration = Duration::from_millis(500);

impl Log {
    pub fn new(lines: Lines) -> Self {
        Self { lines, batch: RefCell::default(), clock: RefCell::default() }
    }

    /// Hands the batch to the writer.
    pub fn flush(&self) {
        let batch = std::mem::take(&mut *self.batch.borrow_mut());
        if !batch.is_empty() {
            self.lines.write(batch);
        }
    }

    fn write(&self, record: &Record, ended: Instant) {
        if !self.lines.is_on() {
            return;
        }
        let mut batch = self.batch.borrow_mut();
        if batch.capacity() == 0 {
            batch.reserve(BATCH + 1024);
        }
        let mut clock = self.clock.borrow_mut();
        match &record.view.snapshot.config.log.line {
            Line::Json => json::line(&mut batch, &mut clock, record, ended),
            Line::Format(format) => format.line(&mut batch, &mut clock, record, ended),
        }
        if batch.len() >= BATCH {
            drop(batch);
            self.flush();
        }
    }
}

/// The program's own log, counted by level.
pub fn render_own_log(out: &mut String) {
    let name = "monodon_edge_log_messages_total";
    let mut family = monodon_admin::text::Family::counter(out, name, "Messages of the program's own log.");
    for (level, count) in monodon_logging::counts() {
        family.sample(&[("level", level)], count);
    }
}

//! Bodies are buffered before they are passed on (decision 6): in memory up to a bound, then in a file of the spool.
//! A slow client costs a socket and a buffer, never a worker.
//!
//! [`collect`] takes a request's body in whole; [`pipe`] takes a response at the upstream's speed while the client
//! reads at its own.

mod collect;
pub mod pipe;
mod replay;
mod spool;

pub use collect::{BodyLimits, BufferError, collect};
pub use replay::{Buffered, Replay};
pub use spool::{Spool, SpoolFile};

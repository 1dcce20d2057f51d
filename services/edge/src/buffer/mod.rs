//! Bodies are buffered before they are passed on (decision 6): in memory up to a bound, then in a file of the spool.
//! A slow client costs a socket and a buffer, never a worker.
//!
//! [`collect`] takes a request's body in whole ([`Passing`] passes one on as it comes); [`pipe`] takes a response at the upstream's speed while the client
//! reads at its own.

mod collect;
mod held;
mod passing;
pub mod pipe;
mod replay;
mod spool;

pub use collect::{BodyLimits, BufferError, collect};
pub use passing::Passing;
pub use replay::{Buffered, Outgoing, Replay};
pub use spool::{Share, Spool, SpoolFile};

//! A strict HTTP/1 codec for servers and proxies, without any input or output of its own (sans-I/O).
//!
//! The caller keeps a buffer; [`Head::parse`] reads a request's head out of it, [`Chunks`] its chunked body, and [`encode`] writes
//! what goes back; a proxy reads the answers it gets with [`Answer`]. Whatever two servers on one way could read differently is refused, never repaired: a proxy that forwards what it has
//! understood, and only that, cannot be used to smuggle. Rules name the section they follow: RFC 9112 (HTTP/1.1), RFC 9110 (HTTP).
//!
//! Nothing here allocates per request (the list of fields is reused), and nothing panics on bytes from the wire.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answer;
mod bytes;
mod chunks;
pub mod encode;
mod field;
mod head;
mod lines;
mod reject;
pub mod target;

pub use answer::{Answer, AnswerLimits, Ending};
pub use chunks::{Chunk, Chunks};
pub use field::Field;
pub use head::{Framing, Head, Limits, Version};
pub use lines::Span;
pub use reject::Reject;

#[cfg(test)]
mod tests;

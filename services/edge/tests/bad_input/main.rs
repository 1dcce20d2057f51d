//! What attackers and broken clients send, over raw sockets, against the real binary and a real upstream that records what it gets:
//! every item of "Framing" and "Target and host" in the security checklists. A refused request gets a clear answer, its connection
//! closes, and nothing of it reaches the upstream.
#![allow(clippy::unwrap_used)]

mod body;
mod connection;
mod head;
mod support;

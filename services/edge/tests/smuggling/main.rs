//! Two servers that read the same bytes differently: what comes from the application's side, what is sent on to it, and HTTP/2 turned into
//! HTTP/1.1. (What clients send in HTTP/1 is in `bad_input`.)
#![allow(clippy::unwrap_used)]

mod answers;
#[path = "../common/mod.rs"]
mod common;
mod requests;
mod upstream;

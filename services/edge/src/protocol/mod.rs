//! From bytes of a connection to requests, and back.

pub mod h1;
pub mod h2;
mod pace;
pub mod weight;

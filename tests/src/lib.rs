//! What crosses services, tested on the running compose stack: a stack to bring up, a browser to visit it with, a load to put on it.
//!
//! Every test file has stacks of its own, on free ports, under a project name of its own. A stack goes down with the process that brought it
//! up, however that process ends. `MONODON_VERSION` and `MONODON_IMAGE_PREFIX` say which images are tested; they must have been built.

pub mod browser;
pub mod load;
/// The edge's own tests take theirs by the same rule, and at the same time.
#[path = "../../services/edge/tests/common/ports.rs"]
mod ports;
pub mod raw;
pub mod stack;

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Asks again and again until `question` answers, and panics with the last answer after `limit`: for what takes a moment to become true.
pub async fn eventually<T, F, A>(what: &str, limit: Duration, mut question: F) -> T
where
    F: FnMut() -> A,
    A: Future<Output = Result<T, String>>,
{
    let start = Instant::now();
    loop {
        match question().await {
            Ok(answer) => return answer,
            Err(reason) if start.elapsed() > limit => panic!("{what}: not within {limit:?}: {reason}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// The repository's root, where compose.yaml is.
#[must_use]
pub fn root() -> &'static std::path::Path {
    std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

//! Clients that send a body slowly, beside those that are measured.

use super::{Failure, Target, open};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

const BODY: usize = 1 << 20;
/// A body takes 20 s.
const PARTS: usize = 100;
const PAUSE: Duration = Duration::from_millis(200);
/// Over which they begin, so that their parts do not come all at once.
pub const BEGIN: Duration = Duration::from_secs(3);

/// As long as it is kept, `count` clients send bodies, over and over.
pub struct Uploads {
    answered: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    _clients: JoinSet<()>,
}

impl Uploads {
    pub fn start(target: &Arc<Target>, count: usize) -> Self {
        let (answered, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut clients = JoinSet::new();
        for number in 0..count {
            let (target, answered, failed) = (target.clone(), answered.clone(), failed.clone());
            let wait = BEGIN.mul_f64(number as f64 / count as f64);
            clients.spawn(async move {
                tokio::time::sleep(wait).await;
                loop {
                    let outcome = upload(&target).await;
                    let counter = if outcome.is_ok() { &answered } else { &failed };
                    counter.fetch_add(1, Ordering::Relaxed);
                    if outcome.is_err() {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            });
        }
        Self { answered, failed, _clients: clients }
    }

    /// How many were answered 200, and how many were not.
    pub fn counts(&self) -> (u64, u64) {
        (self.answered.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

async fn upload(target: &Target) -> Result<(), Failure> {
    let mut stream = open(target).await?;
    let head = format!("POST /upload HTTP/1.1\r\nHost: {}\r\nContent-Length: {BODY}\r\n\r\n", target.address);
    stream.write_all(head.as_bytes()).await?;
    let part = vec![b'x'; BODY.div_ceil(PARTS)];
    let mut left = BODY;
    while left > 0 {
        let now = left.min(part.len());
        stream.write_all(part.get(..now).unwrap_or_default()).await?;
        stream.flush().await?;
        left -= now;
        tokio::time::sleep(PAUSE).await;
    }
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    if status.ends_with(b" 200") { Ok(()) } else { Err("not 200".into()) }
}

//! A load of GET and POST requests over kept-alive TLS connections, to see whether anything is lost while something happens.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use crate::browser::Browser;

pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<Loss>>>,
}

/// A request that did not get what it should have.
#[derive(Debug)]
pub struct Loss {
    pub method: &'static str,
    pub what: String,
}

#[derive(Debug)]
pub struct Outcome {
    pub answered: u64,
    pub losses: Vec<Loss>,
}

/// What a client sends again and again.
#[derive(Clone, Copy)]
pub struct Shot {
    pub method: &'static str,
    pub path: &'static str,
    pub headers: &'static [(&'static str, &'static str)],
    pub body: &'static str,
}

impl Load {
    /// `clients` clients, each sending `shots` in turn until told to stop.
    #[must_use]
    pub fn start(browser: &Arc<Browser>, clients: usize, shots: &'static [Shot]) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = (0..clients)
            .map(|_| tokio::spawn(client(browser.clone(), shots, stop.clone(), answered.clone())))
            .collect();
        Self { stop, answered, clients }
    }

    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until this many more requests have been answered: the load has gone on after what happened.
    pub async fn more(&self, count: u64) {
        let until = self.answered() + count;
        let waiting = async {
            while self.answered() < until {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        assert!(ended.is_ok(), "the load stands still: {} answered, {until} wanted", self.answered());
    }

    pub async fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let mut losses = Vec::new();
        for client in self.clients {
            losses.extend(client.await.expect("a client panicked"));
        }
        Outcome { answered: self.answered.load(Ordering::Relaxed), losses }
    }
}

async fn client(
    browser: Arc<Browser>,
    shots: &'static [Shot],
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
) -> Vec<Loss> {
    let mut losses = Vec::new();
    let mut connection = None;
    for shot in shots.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        match fire(&browser, &mut connection, shot).await {
            Ok(()) => {
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(what) => {
                connection = None;
                losses.push(Loss { method: shot.method, what });
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    losses
}

async fn fire(browser: &Browser, connection: &mut Option<SendRequest<Full<Bytes>>>, shot: &Shot) -> Result<(), String> {
    let usable = connection.as_ref().is_some_and(|sender| sender.is_ready() && !sender.is_closed());
    let sender = match connection {
        Some(sender) if usable => sender,
        _ => {
            let stream = browser.connect(&["http/1.1"]).await.map_err(|error| format!("connect: {error}"))?;
            let (sender, task) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| format!("handshake: {error}"))?;
            tokio::spawn(task);
            connection.insert(sender)
        }
    };
    let mut request = Request::builder()
        .method(shot.method)
        .uri(shot.path)
        .header("host", browser.origin().trim_start_matches("https://"))
        .header("referer", browser.origin());
    for &(name, value) in shot.headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::from(shot.body)).map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(|error| format!("{error:?}"))?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(|error| format!("body: {error:?}"))?.to_bytes();
    if status.is_success() || status.is_redirection() {
        Ok(())
    } else {
        let start: String = String::from_utf8_lossy(&body).chars().take(120).collect();
        Err(format!("{status}: {start}"))
    }
}

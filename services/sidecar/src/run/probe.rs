//! Asks every replica of every service whether it is ready, and scrapes their metrics.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use monodon_admin::Status;
use monodon_admin::health::Document;

use super::resolve::Resolver;
use crate::config::Target;
use crate::fetch;
use crate::snapshot::now;

/// Replicas of one service that are looked at.
const REPLICAS: usize = 64;

#[derive(Debug, Clone, Default)]
pub struct Round {
    pub at: f64,
    pub services: Vec<Service>,
}

/// One service, all its replicas.
#[derive(Debug, Clone)]
pub struct Service {
    pub target: Target,
    /// Why there is no replica to ask.
    pub problem: Option<String>,
    pub replicas: Vec<Replica>,
}

#[derive(Debug, Clone)]
pub struct Replica {
    pub address: SocketAddr,
    /// Its readiness page says ready (200).
    pub ready: bool,
    /// 0: no answer.
    pub code: u16,
    pub seconds: f64,
    /// Why it is not ready, or what is wrong with its page.
    pub problem: Option<String>,
    pub document: Option<Document>,
    /// When it was last ready, as a Unix time.
    pub last_ready: Option<f64>,
}

impl Service {
    /// No replica is ready: fail. Some is not, or warns: warn.
    pub fn status(&self) -> Status {
        let ready = self.replicas.iter().filter(|replica| replica.ready).count();
        if ready == 0 {
            Status::Fail
        } else if ready < self.replicas.len() || self.replicas.iter().any(|replica| replica.status() != Status::Pass) {
            Status::Warn
        } else {
            Status::Pass
        }
    }
}

impl Replica {
    pub fn status(&self) -> Status {
        if !self.ready {
            return Status::Fail;
        }
        // It says itself that it serves: whatever its checks say is then no more than a warning.
        self.document.as_ref().map_or(Status::Pass, |document| document.status.min(Status::Warn))
    }
}

pub struct Prober {
    pub targets: Vec<Target>,
    pub patience: Duration,
    pub resolver: Resolver,
}

impl Prober {
    pub async fn round(&self, before: &Round) -> Round {
        let services = join_all(self.targets.iter().map(|target| async {
            let known = before.services.iter().find(|service| service.target == *target);
            match self.resolver.resolve(&target.host, self.patience).await {
                Ok(addresses) if addresses.is_empty() => Service {
                    target: target.clone(),
                    problem: Some(format!("{} has no address", target.host)),
                    replicas: Vec::new(),
                },
                Ok(addresses) => {
                    let asked = addresses.into_iter().take(REPLICAS).map(|address| self.ask(target, address, known));
                    Service { target: target.clone(), problem: None, replicas: join_all(asked).await }
                }
                Err(problem) => Service { target: target.clone(), problem: Some(problem), replicas: Vec::new() },
            }
        }));
        Round { services: services.await, at: now() }
    }

    async fn ask(&self, target: &Target, address: IpAddr, known: Option<&Service>) -> Replica {
        let address = SocketAddr::new(address, target.port);
        let start = Instant::now();
        let answer = fetch::tcp(address, &target.host, &target.path, None, self.patience).await;
        let seconds = start.elapsed().as_secs_f64();
        let before = known.and_then(|service| service.replicas.iter().find(|replica| replica.address == address));
        let last_ready = before.and_then(|replica| replica.last_ready);
        match answer {
            Ok(answer) => {
                let document = serde_json::from_slice::<Document>(&answer.body).ok();
                let ready = answer.status == 200;
                let said = document.as_ref().map(Document::complaints).filter(|lines| !lines.is_empty());
                let problem = (!ready).then(|| match said {
                    Some(lines) => lines.join("; "),
                    None => format!("{} answers {}", target.path, answer.status),
                });
                let last_ready = if ready { Some(now()) } else { last_ready };
                Replica { address, ready, code: answer.status, seconds, problem, document, last_ready }
            }
            Err(problem) => {
                Replica { address, ready: false, code: 0, seconds, problem: Some(problem), document: None, last_ready }
            }
        }
    }
}

/// A replica's metrics page, or why there is none.
#[derive(Debug, Clone)]
pub struct Page {
    pub component: String,
    pub instance: String,
    pub seconds: f64,
    pub text: Result<Arc<str>, String>,
}

/// The metrics of every replica of the round.
pub async fn scrape(round: &Round, patience: Duration) -> Vec<Page> {
    let replicas =
        round.services.iter().flat_map(|service| service.replicas.iter().map(move |replica| (service, replica)));
    let pages = replicas.map(|(service, replica)| async move {
        let start = Instant::now();
        let token = service.target.token.as_deref();
        let answer = fetch::tcp(replica.address, &service.target.host, "/metrics", token, patience).await;
        let text = answer.and_then(|answer| match (answer.status, std::str::from_utf8(&answer.body)) {
            (200, Ok(text)) => Ok(Arc::from(text)),
            (200, Err(_)) => Err("the page is not UTF-8".to_owned()),
            (status, _) => Err(format!("/metrics answers {status}")),
        });
        Page {
            component: service.target.name.clone(),
            instance: replica.address.to_string(),
            seconds: start.elapsed().as_secs_f64(),
            text,
        }
    });
    join_all(pages).await
}

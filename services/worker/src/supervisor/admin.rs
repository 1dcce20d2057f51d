//! The admin port: it only tells.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use monodon_admin::{Check, Readiness, Source};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::metrics;
use super::shared::Shared;
use crate::config::Config;
use crate::scoreboard::State;

pub struct Admin {
    pub address: String,
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Admin {
    pub async fn stop(self) {
        let _ = self.end.send(());
        let _ = self.task.await;
    }
}

pub async fn serve(config: &Config, shared: Arc<Shared>) -> Result<Admin, String> {
    let listener = monodon_admin::bind(config.admin).await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_or_else(|_| config.admin.to_string(), |address| address.to_string());
    let (end, asked) = oneshot::channel::<()>();
    let shutdown = async move {
        let _ = asked.await;
    };
    let task = tokio::task::spawn_local(async move {
        if let Err(error) = monodon_admin::serve_on(listener, Pages(shared), shutdown).await {
            tracing::error!("the admin port has ended: {error}");
        }
    });
    Ok(Admin { address, end, task })
}

struct Pages(Arc<Shared>);

impl Source for Pages {
    fn ready(&self) -> Readiness {
        let shared = &self.0;
        let serving = shared.board.serving();
        let wanted = shared.wanted.load(Relaxed);
        let booting = shared.board.entries().iter().any(|entry| entry.state() == State::Starting);
        let processes = if serving == 0 && booting {
            Check::fail("worker:processes", "no process serves yet: the application is being imported")
        } else if serving == 0 {
            Check::fail("worker:processes", "no process serves; the log says why")
        } else if u64::from(serving) < wanted {
            Check::warn("worker:processes", format!("{serving} of {wanted} processes serve; others start"))
        } else {
            Check::pass("worker:processes")
        };
        let draining = if shared.draining.load(Relaxed) {
            Check::fail("worker:draining", "the worker is stopping")
        } else {
            Check::pass("worker:draining")
        };
        let trouble = match shared.trouble() {
            Some(reason) => Check::warn("worker:application", reason),
            None => Check::pass("worker:application"),
        };
        Readiness { checks: vec![processes.observed(serving, "processes"), draining, trouble] }
    }

    fn metrics(&self) -> String {
        let mut page = metrics::render(&self.0);
        if let Some(own) = self.0.app_metrics.get() {
            own.render(&mut page);
        }
        page
    }

    fn service(&self) -> &'static str {
        "worker"
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

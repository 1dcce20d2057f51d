//! The agent: alone with the engine's socket, without a network. It looks at the containers of its own compose project
//! and publishes what it sees; an engine that is missing is something to publish, not a reason to end.

pub mod engine;
pub mod own;
pub mod publish;
#[cfg(test)]
mod tests;
pub mod usage;
pub mod watch;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{MissedTickBehavior, interval, sleep};

use engine::{Engine, PROJECT_LABEL};
use publish::Shared;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub struct Settings {
    pub socket: PathBuf,
    pub engine: PathBuf,
    pub project: Option<String>,
    pub interval: Duration,
}

/// Runs until `shutdown`.
pub async fn run(settings: Settings, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let listener = publish::bind(&settings.socket)?;
    let shared = Shared(Arc::default());
    tracing::info!(socket = %settings.socket.display(), engine = %settings.engine.display(), "the agent publishes");
    let router = monodon_admin::router(&Arc::new(shared.clone()));
    let socket = settings.socket.clone();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    tokio::select! {
        never = follow(&settings, &shared) => match never {},
        () = shutdown => {}
    }
    server.abort();
    let _ = std::fs::remove_file(socket);
    tracing::info!("the agent ends");
    Ok(())
}

/// Connects, watches until something breaks, says so, connects again.
async fn follow(settings: &Settings, shared: &Shared) -> Infallible {
    let mut pause = FIRST_PAUSE;
    loop {
        let Err(problem) = watch_engine(settings, shared, &mut pause).await;
        let known = shared.with(|watch| {
            if std::mem::replace(&mut watch.engine.up, false) {
                watch.engine.reconnects += 1;
            }
            watch.engine.problem.replace(problem.clone())
        });
        if known.as_deref() != Some(&problem) {
            tracing::warn!(problem, "the engine cannot be watched; trying again");
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn watch_engine(settings: &Settings, shared: &Shared, pause: &mut Duration) -> Result<Infallible, String> {
    let engine = Engine::connect(&settings.engine).await?;
    let project = match &settings.project {
        Some(project) => project.clone(),
        None => own_project(&engine).await?,
    };
    // Listening comes before looking, so that what happens in between is heard.
    let mut events = Box::pin(engine.events(&project));
    let inspected = engine.inspect_all(&project).await?;
    shared.with(|watch| {
        watch.project = Some(project.clone());
        watch.engine.up = true;
        watch.engine.problem = None;
        watch.engine.api = Some(engine.api());
        watch.reconcile(&inspected);
    });
    *pause = FIRST_PAUSE;
    tracing::info!(project, containers = inspected.len(), api = engine.api(), "watching the engine");

    let listen = async {
        loop {
            match events.next().await {
                Some(Ok(event)) => {
                    if let Some(id) = shared.with(|watch| watch.event(&event)) {
                        // It may be gone already: the next round of inspections knows.
                        if let Ok(inspected) = engine.inspect(&id).await {
                            shared.with(|watch| watch.inspected(&inspected));
                        }
                    }
                }
                Some(Err(problem)) => return Err::<Infallible, String>(format!("events: {problem}")),
                None => return Err("events: the engine ended the stream".to_owned()),
            }
        }
    };
    let look = async {
        let mut ticks = interval(settings.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let inspected = engine.inspect_all(&project).await?;
            shared.with(|watch| watch.reconcile(&inspected));
        }
    };
    let measure = async {
        let mut ticks = interval(settings.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for (id, answer) in engine.statistics(shared.with(|watch| watch.running())).await {
                match answer {
                    Ok(stats) => shared.with(|watch| watch.statistics(&id, &stats)),
                    Err(problem) => tracing::debug!(id, problem, "no statistics"),
                }
            }
        }
    };
    tokio::select! {
        ended = listen => ended,
        ended = look => ended,
        never = measure => never,
    }
}

async fn own_project(engine: &Engine) -> Result<String, String> {
    let mut last = None;
    for id in own::own_ids() {
        match engine.inspect(&id).await {
            Ok(own) => {
                let labels = own.config.and_then(|config| config.labels).unwrap_or_default();
                if let Some(project) = labels.get(PROJECT_LABEL) {
                    return Ok(project.clone());
                }
                last = Some(format!("the agent's own container has no label {PROJECT_LABEL}"));
            }
            Err(problem) => last = Some(problem),
        }
    }
    let why = last.unwrap_or_else(|| "its own container's id could not be found".into());
    Err(format!("the agent does not know its compose project ({why}); set MONODON_SIDECAR_PROJECT"))
}

/// The engine's times, as Unix times; year 1 means never.
pub fn moment(text: &str) -> Option<f64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    (at.year() > 1).then(|| at.unix_timestamp_nanos() as f64 / 1e9)
}

//! The calls to the engine, each with its time.

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerInspectResponse, ContainerStatsResponse, EventMessage};
use bollard::query_parameters::{
    EventsOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder, StatsOptionsBuilder,
};
use futures_util::future::join_all;
use futures_util::{Stream, StreamExt};

use super::watch::ACTIONS;

/// Connecting, listing, inspecting.
const PATIENCE: Duration = Duration::from_secs(5);
/// Statistics may wait for the engine's own tick of a second, each container's in its turn on a busy host.
const STATISTICS: Duration = Duration::from_secs(10);
/// The client's own limit, behind all of ours.
const CLIENT_SECONDS: u64 = 15;

#[derive(Clone)]
pub struct Engine {
    docker: Docker,
}

/// For people: what was asked, and what came of it.
async fn timed<T>(
    what: &str,
    patience: Duration,
    call: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, String> {
    match tokio::time::timeout(patience, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(format!("{what}: {}", explain(&error))),
        Err(_) => Err(format!("{what}: no answer within {patience:?}")),
    }
}

fn explain(error: &bollard::errors::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

impl Engine {
    pub async fn connect(socket: &Path) -> Result<Engine, String> {
        let place = socket.display();
        if !socket.exists() {
            return Err(format!("{place} is not there; mount the engine's socket into the agent"));
        }
        let docker = Docker::connect_with_unix(&socket.to_string_lossy(), CLIENT_SECONDS, bollard::API_DEFAULT_VERSION)
            .map_err(|error| format!("{place}: {}", explain(&error)))?;
        let docker = timed(&format!("{place}"), PATIENCE, docker.negotiate_version()).await?;
        Ok(Engine { docker })
    }

    pub fn api(&self) -> String {
        self.docker.client_version().to_string()
    }

    pub async fn inspect(&self, id: &str) -> Result<ContainerInspectResponse, String> {
        timed("inspect", PATIENCE, self.docker.inspect_container(id, None::<InspectContainerOptions>)).await
    }

    /// All containers of the project, whatever their state. One that goes in the meantime is left out.
    pub async fn inspect_all(&self, project: &str) -> Result<Vec<ContainerInspectResponse>, String> {
        let options = ListContainersOptionsBuilder::new().all(true).filters(&project_filter(project)).build();
        let listed = timed("list", PATIENCE, self.docker.list_containers(Some(options))).await?;
        let ids = listed.into_iter().filter_map(|container| container.id);
        let asked: Vec<_> = join_all(ids.map(|id| async move { self.inspect(&id).await })).await;
        Ok(asked.into_iter().flatten().collect())
    }

    /// All at once: each may take a second.
    pub async fn statistics(&self, ids: Vec<String>) -> Vec<(String, Result<ContainerStatsResponse, String>)> {
        let one = |id: String| async move {
            let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
            let mut stream = Box::pin(self.docker.stats(&id, Some(options)));
            let answer = tokio::time::timeout(STATISTICS, stream.next()).await;
            let answer = match answer {
                Ok(Some(Ok(stats))) => Ok(stats),
                Ok(Some(Err(error))) => Err(explain(&error)),
                Ok(None) => Err("the engine answered nothing".to_owned()),
                Err(_) => Err(format!("no answer within {STATISTICS:?}")),
            };
            (id, answer)
        };
        join_all(ids.into_iter().map(one)).await
    }

    /// What happens to the project's containers, without the flood of health checks' `exec` events.
    pub fn events(&self, project: &str) -> impl Stream<Item = Result<EventMessage, String>> + use<> {
        let mut filters = project_filter(project);
        filters.insert("type".to_owned(), vec!["container".to_owned()]);
        filters.insert("event".to_owned(), ACTIONS.iter().map(|action| (*action).to_owned()).collect());
        let options = EventsOptionsBuilder::new().filters(&filters).build();
        let docker = self.docker.clone();
        docker.events(Some(options)).map(|event| event.map_err(|error| explain(&error)))
    }
}

fn project_filter(project: &str) -> HashMap<String, Vec<String>> {
    // Images that compose has built carry the project's label too, and whatever is run from them inherits it; only compose's own containers
    // have a number.
    let labels = vec![format!("{PROJECT_LABEL}={project}"), "com.docker.compose.container-number".to_owned()];
    HashMap::from([("label".to_owned(), labels)])
}

pub const PROJECT_LABEL: &str = "com.docker.compose.project";

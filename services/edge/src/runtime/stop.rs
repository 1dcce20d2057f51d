//! From SIGTERM to the end.

use crate::admin::State;
use crate::drain::{self, Phase};
use tokio::signal::unix::Signal;

/// SIGTERM to the end (DESIGN "stop"). A second signal ends the wait.
pub async fn stop(state: &State, control: &drain::Control, (terminate, interrupt): (&mut Signal, &mut Signal)) {
    let timeouts = state.snapshot.load().config.timeouts.clone();
    tracing::info!(connections = control.working(), "stopping");
    control.enter(Phase::Announced);
    let finish = async {
        tokio::time::sleep(timeouts.shutdown_delay).await;
        control.enter(Phase::Closing);
        if tokio::time::timeout(timeouts.graceful, control.finished()).await.is_err() {
            tracing::warn!(connections = control.working(), "the grace period is over; what is left is cut off");
        }
    };
    tokio::select! {
        () = finish => {}
        _ = terminate.recv() => tracing::warn!("asked again; not waiting any longer"),
        _ = interrupt.recv() => tracing::warn!("asked again; not waiting any longer"),
    }
    tracing::info!("stopped");
}

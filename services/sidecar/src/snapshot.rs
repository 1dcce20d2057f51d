//! What the agent publishes: state, health, restarts, usage. Typed, and nothing else: no environment variable, no command
//! line, no mount of any container can be in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// Unix time of the snapshot.
    pub at: f64,
    pub version: String,
    pub project: Option<String>,
    pub engine: Engine,
    pub containers: Vec<Container>,
    /// The latest, oldest first.
    pub events: Vec<Event>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Engine {
    pub up: bool,
    /// Why it is not, for people.
    pub problem: Option<String>,
    /// The version of the API that is spoken.
    pub api: Option<String>,
    /// How often it was lost and connected to again.
    pub reconnects: u64,
    /// Events heard, by action.
    pub events: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// The first twelve digits.
    pub id: String,
    /// Compose's name of the service.
    pub service: String,
    pub name: String,
    pub image: String,
    /// created, running, paused, restarting, removing, exited, dead
    pub state: String,
    /// none, starting, healthy, unhealthy
    pub health: String,
    /// What the last failing health check said.
    pub health_output: Option<String>,
    pub exit_code: i64,
    pub started_at: Option<f64>,
    pub finished_at: Option<f64>,
    /// Compose started it with `run`, not `up`.
    pub one_off: bool,
    pub restarts: u64,
    pub ooms: u64,
    /// How often it ended, by exit code.
    pub exits: BTreeMap<String, u64>,
    pub usage: Option<Usage>,
}

/// One reading of the engine's statistics.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    pub at: f64,
    pub cpu_user_seconds: f64,
    pub cpu_system_seconds: f64,
    pub cpu_seconds: f64,
    pub cpu_throttled_seconds: f64,
    /// Cores in use since the reading before.
    pub cpu_cores: Option<f64>,
    pub cpu_limit_cores: Option<f64>,
    pub memory_usage: u64,
    /// Without the page cache that can go at once.
    pub memory_working_set: u64,
    pub memory_limit: Option<u64>,
    pub pids: Option<u64>,
    /// Interface to (received, sent), in bytes.
    pub networks: BTreeMap<String, (u64, u64)>,
    pub blkio_read: Option<u64>,
    pub blkio_written: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    pub at: f64,
    pub service: String,
    pub container: String,
    /// start, die, oom, health_status, kill, pause, unpause, destroy
    pub action: String,
    /// `exit code 137`, `unhealthy`, `signal 15`
    pub detail: Option<String>,
}

impl Container {
    /// What is wrong with it, for people; a one-shot service that ended well is not.
    pub fn complaint(&self) -> Option<String> {
        match self.state.as_str() {
            "exited" if self.exit_code == 0 => None,
            "exited" | "dead" => Some(format!("ended with exit code {}", self.exit_code)),
            "restarting" => Some(format!("keeps ending (exit code {}) and is being restarted", self.exit_code)),
            "paused" => Some("is paused".into()),
            _ if self.health == "unhealthy" => Some(match &self.health_output {
                Some(output) => format!("is unhealthy: {output}"),
                None => "is unhealthy".into(),
            }),
            _ => None,
        }
    }
}

/// Now, as a Unix time.
pub fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

//! The settings, each declared once, and their typed form.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use monodon_logging::{FORMATS, Format, LEVELS, Level};
use monodon_settings::{Kind, Problems, Schema, Section, Setting, Values};

pub const SCHEMA: Schema =
    Schema { service: "sidecar", sections: &[Section::new("All of them", SETTINGS)], tables: &[], refused: &[] };

const SETTINGS: &[Setting] = &[
    Setting {
        key: "admin",
        kind: Kind::Listen,
        default: "127.0.0.1:9100",
        words: "Where `run` serves the status page, /healthz, /livez, /readyz and /metrics.",
        ..Setting::NEW
    },
    Setting {
        key: "targets",
        kind: Kind::List(&Kind::Text),
        default: "edge=http://edge:9101/readyz,worker=http://worker:9102/readyz",
        words: "The services to probe, each NAME=URL of its readiness page. The host is resolved again at every probe, to \
                    all its replicas. Their /metrics, at the same port, are merged into the sidecar's.",
        ..Setting::NEW
    },
    Setting {
        key: "probe_interval",
        kind: Kind::Duration,
        default: "2s",
        words: "Time between two probes of the services.",
        ..Setting::NEW
    },
    Setting {
        key: "probe_timeout",
        kind: Kind::Duration,
        default: "1500ms",
        words: "How long a replica may take to answer a probe.",
        ..Setting::NEW
    },
    Setting {
        key: "admin_token",
        words: "What is sent to all targets as `Authorization: Bearer`, where their admin ports ask for it (the edge's \
                    `admin_token`).",
        secret: true,
        ..Setting::NEW
    },
    Setting {
        key: "agent_socket",
        kind: Kind::Path,
        default: "/run/monodon/agent.sock",
        words: "The unix socket on which the agent publishes its snapshots and `run` reads them. Empty for `run`: no agent \
                    is expected, as on Kubernetes.",
        ..Setting::NEW
    },
    Setting {
        key: "engine",
        kind: Kind::Path,
        default: "/var/run/docker.sock",
        words: "The container engine's socket; the agent alone uses it.",
        ..Setting::NEW
    },
    Setting {
        key: "project",
        kind: Kind::Text,
        words: "The compose project whose containers the agent watches. Not given: the one its own container belongs to.",
        ..Setting::NEW
    },
    Setting {
        key: "engine_interval",
        kind: Kind::Duration,
        default: "5s",
        words: "Time between two looks of the agent at all containers and their usage, beside the engine's events.",
        ..Setting::NEW
    },
    Setting {
        key: "shutdown_delay",
        kind: Kind::Duration,
        default: "0s",
        words: "How long /readyz answers 503 before `run` stops, once asked to.",
        ..Setting::NEW
    },
    Setting {
        key: "log_level",
        kind: Kind::Choice(LEVELS),
        default: "info",
        words: "How much is logged.",
        shared: true,
        ..Setting::NEW
    },
    Setting {
        key: "log_format",
        kind: Kind::Choice(FORMATS),
        default: "auto",
        words: "JSON lines or readable text; auto is text on a terminal.",
        shared: true,
        ..Setting::NEW
    },
];

#[derive(Debug, Clone)]
pub struct Config {
    pub admin: SocketAddr,
    pub targets: Vec<Target>,
    pub probe_interval: Duration,
    pub probe_timeout: Duration,
    pub agent_socket: Option<PathBuf>,
    pub engine: PathBuf,
    pub project: Option<String>,
    pub engine_interval: Duration,
    pub shutdown_delay: Duration,
    pub log_level: Level,
    pub log_format: Format,
}

/// A service to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `edge`
    pub name: String,
    pub host: String,
    pub port: u16,
    /// `/readyz`
    pub path: String,
    /// For its metrics.
    pub token: Option<String>,
}

impl Config {
    pub fn new(values: &Values) -> Result<Config, Problems> {
        let mut problems = Problems::default();
        let admin = values.address("admin").and_then(|address| address.socket());
        if admin.is_none() {
            problems.push(values.problem("admin", "expected an address with a port, such as 127.0.0.1:9100"));
        }
        let token = Some(values.text("admin_token").to_owned()).filter(|token| !token.is_empty());
        let mut targets: Vec<Target> = Vec::new();
        for text in values.list("targets") {
            match Target::read(text) {
                Ok(target) if targets.iter().any(|known| known.name == target.name) => {
                    problems.push(values.problem("targets", format!("{} is named twice", target.name)));
                }
                Ok(target) => targets.push(Target { token: token.clone(), ..target }),
                Err(why) => problems.push(values.problem("targets", format!("{why}, got {text:?}"))),
            }
        }
        for key in ["probe_interval", "probe_timeout", "engine_interval"] {
            if values.duration(key) < Duration::from_millis(50) {
                problems.push(values.problem(key, "expected at least 50ms"));
            }
        }
        let config = Config {
            admin: admin.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 9100))),
            targets,
            probe_interval: values.duration("probe_interval"),
            probe_timeout: values.duration("probe_timeout"),
            agent_socket: values.path("agent_socket"),
            engine: values.path("engine").unwrap_or_else(|| PathBuf::from("/var/run/docker.sock")),
            project: Some(values.text("project").to_owned()).filter(|project| !project.is_empty()),
            engine_interval: values.duration("engine_interval"),
            shutdown_delay: values.duration("shutdown_delay"),
            // Both were checked as choices.
            log_level: values.text("log_level").parse().unwrap_or_default(),
            log_format: values.text("log_format").parse().unwrap_or_default(),
        };
        problems.or(config)
    }
}

impl Target {
    /// `edge=http://edge:9101/readyz`
    pub fn read(text: &str) -> Result<Target, String> {
        let expected = || "expected NAME=URL such as edge=http://edge:9101/readyz".to_owned();
        let (name, url) = text.split_once('=').ok_or_else(expected)?;
        let (name, url) = (name.trim(), url.trim());
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
            return Err(expected());
        }
        let uri: http::Uri = url.parse().map_err(|_| expected())?;
        if uri.scheme_str() != Some("http") {
            return Err("admin ports speak plain http: expected a URL that starts with http://".into());
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(expected)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Target {
            name: name.to_owned(),
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: uri.port_u16().unwrap_or(80),
            path: if path == "/" { "/readyz".to_owned() } else { path.to_owned() },
            token: None,
        })
    }
}

//! The worker's configuration, as every part of it reads it: checked, immutable, and sent to the zygote as JSON.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bind::Bind;
use crate::settings::http::Http;
use crate::settings::logs::Logs;
use crate::settings::mechanics::Mechanics;
use crate::settings::proxies::Proxies;
use crate::settings::proxy_protocol::ProxyProtocol;
use crate::settings::sockets::Sockets;
use crate::settings::{Develop, Life};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Config {
    /// `module:attribute`, or `module:factory()`.
    pub app: String,
    pub bind: Vec<Bind>,
    pub backlog: u32,
    /// Mode of unix sockets.
    pub socket_mode: u32,
    pub sockets: Sockets,
    pub mechanics: Mechanics,
    pub workers: usize,
    pub threads: usize,
    /// To the first byte of the answer, then for each further part.
    pub timeout: Duration,
    pub graceful_timeout: Duration,
    pub shutdown_delay: Duration,
    pub boot_timeout: Duration,
    pub keepalive: Duration,
    pub head_timeout: Duration,
    /// Between parts of a request's body.
    pub body_timeout: Duration,
    /// 0: for ever.
    pub max_requests: u64,
    pub max_requests_jitter: u64,
    pub life: Life,
    pub develop: Develop,
    pub preload_app: bool,
    pub reload_surge: usize,
    pub limit_request_line: usize,
    pub limit_request_fields: usize,
    pub limit_request_field_size: usize,
    /// All fields together.
    pub head_limit: usize,
    pub body_limit: u64,
    /// Networks (CIDR), addresses, `unix`, or `*`; see `MONODON_WORKER_FORWARDED_ALLOW_IPS` in the reference.
    pub forwarded_allow_ips: Vec<String>,
    pub proxies: Proxies,
    pub http: Http,
    pub proxy_protocol: ProxyProtocol,
    /// `-` is stdout; none: no access log.
    pub accesslog: Option<String>,
    pub admin: SocketAddr,
    /// Empty: none is wanted.
    pub control: PathBuf,
    pub app_metrics: bool,
    pub chdir: Option<PathBuf>,
    pub pythonpath: Vec<String>,
    pub required_env: Vec<String>,
    pub log_level: String,
    pub log_format: String,
    /// The configuration in Python, for `monodon.gunicorn_conf.load`: an absolute path or `python:MODULE`.
    pub gunicorn_conf: Option<String>,
    /// Every effective value under gunicorn's name: the hooks' `cfg`.
    pub gunicorn: serde_json::Map<String, serde_json::Value>,
    /// Where the worker was started: relative names of configuration files and modules begin there.
    pub folder: PathBuf,
    pub logs: Logs,
}

impl Default for Config {
    /// For tests: the defaults that people get are those of the table of settings.
    fn default() -> Self {
        Self {
            app: String::new(),
            bind: vec![Bind::Tcp(SocketAddr::from(([127, 0, 0, 1], 8000)))],
            backlog: 2048,
            socket_mode: 0o660,
            sockets: Sockets::default(),
            mechanics: Mechanics::default(),
            workers: 1,
            threads: 1,
            timeout: Duration::from_secs(30),
            graceful_timeout: Duration::from_secs(30),
            shutdown_delay: Duration::ZERO,
            boot_timeout: Duration::from_secs(60),
            keepalive: Duration::from_secs(75),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            max_requests: 0,
            max_requests_jitter: 0,
            life: Life::default(),
            develop: Develop::default(),
            preload_app: false,
            reload_surge: 1,
            limit_request_line: 8190,
            limit_request_fields: 100,
            limit_request_field_size: 8190,
            head_limit: 32 << 10,
            body_limit: 32 << 20,
            forwarded_allow_ips: [
                "127.0.0.0/8",
                "::1",
                "10.0.0.0/8",
                "172.16.0.0/12",
                "192.168.0.0/16",
                "fc00::/7",
                "unix",
            ]
            .map(str::to_owned)
            .to_vec(),
            proxies: Proxies::default(),
            http: Http::default(),
            proxy_protocol: ProxyProtocol::default(),
            accesslog: None,
            admin: SocketAddr::from(([127, 0, 0, 1], 9102)),
            control: PathBuf::new(),
            app_metrics: true,
            chdir: None,
            pythonpath: Vec::new(),
            required_env: Vec::new(),
            log_level: "info".to_owned(),
            log_format: "auto".to_owned(),
            gunicorn_conf: None,
            gunicorn: serde_json::Map::new(),
            folder: PathBuf::new(),
            logs: Logs::default(),
        }
    }
}

//! From the settings as given to the configuration as used: what the kinds alone cannot check, and what has to be
//! found out (the number of processes, the control socket's place).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use monodon_settings::{Address, Problem, Problems, Values};

use crate::config::Config;
use crate::gunicorn;
use crate::settings::SCHEMA;
use crate::settings::http::{self, Http};
use crate::settings::mechanics::Mechanics;
use crate::settings::proxies::Proxies;
use crate::settings::proxy_protocol::ProxyProtocol;
use crate::settings::sockets::{self, Sockets};

/// What the command line and the environment gave.
pub struct Loaded {
    pub config: Config,
    /// Variables for the application: `raw_env`, and those that were read from `NAME_FILE`.
    pub exports: Vec<(String, String)>,
    /// What the configuration was made of, each value with where it came from.
    pub values: Values,
    /// What is not wrong, but most likely not meant.
    pub warnings: Vec<String>,
}

/// `python`: the interpreter and its flags, for a configuration in Python. Relative names begin in `folder`, where the
/// worker was started, whatever folder it works in later.
pub fn load(arguments: &[OsString], python: &[OsString], folder: &Path) -> Result<Loaded, Problems> {
    let mut reading = SCHEMA.read(arguments, std::env::vars_os());
    let below = gunicorn::read(&mut reading, python, folder, |_| true);
    let values = reading.finish()?;
    let mut problems = Problems::default();
    let mut config = common(&values, folder, &mut problems);
    config.app = application(&values, folder, &mut problems);
    config.gunicorn_conf = below.conf;
    gunicorn::paste::configure_logs(&mut config);
    config.gunicorn = gunicorn::effective(&values, &config);
    let mut exports = raw_env(&values, &mut problems);
    let given = exports.clone();
    let given = |name: &str| given.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value.clone());
    exports.extend(required(&mut config, &mut problems, |name| given(name).or_else(|| std::env::var(name).ok())));
    let mut warnings = below.warnings;
    warnings.extend(gunicorn::idle(&values));
    problems.or(Loaded { config, values, exports, warnings })
}

/// For verbs that talk to a running worker: only where it is matters, so that a configuration in Python is not executed
/// unless it speaks of that.
pub fn load_for_verb(arguments: &[OsString], python: &[OsString]) -> Result<Config, Problems> {
    let folder = std::env::current_dir().unwrap_or_default();
    let mut reading = SCHEMA.read(arguments, std::env::vars_os());
    gunicorn::read(&mut reading, python, &folder, |text| {
        ["admin", "control", "chdir"].iter().any(|word| text.contains(word))
    });
    let values = reading.finish()?;
    let mut problems = Problems::default();
    let config = common(&values, &folder, &mut problems);
    problems.or(config)
}

/// As `monodon/importer.py` takes it: `module:attribute`, or `paste:FILE#name`.
fn application(values: &Values, folder: &Path, problems: &mut Problems) -> String {
    match gunicorn::paste::application(values, folder) {
        Some(Ok(app)) => return app,
        Some(Err(problem)) => {
            problems.push(problem);
            return String::new();
        }
        None => {}
    }
    match values.positionals() {
        [] if values.text("app").is_empty() => {
            let message =
                "no application is named: try `monodon-worker mysite.wsgi:application` (or MONODON_WORKER_APP)";
            problems.push(Problem::new("app", message));
            String::new()
        }
        [] => values.text("app").to_owned(),
        [app] => app.clone(),
        [_, more @ ..] => {
            problems.push(Problem::new(more.join(" "), "there is one application, and its settings are flags"));
            String::new()
        }
    }
}

fn common(values: &Values, folder: &Path, problems: &mut Problems) -> Config {
    let count = |key: &str| values.int(key).unsigned_abs();
    let [limit_request_line, limit_request_fields, limit_request_field_size, head_limit] = http::limits(values);
    let chdir = folder.join(values.path("chdir").unwrap_or_default());
    let chdir = std::path::absolute(&chdir).unwrap_or(chdir);
    let config = Config {
        app: String::new(),
        bind: sockets::binds(values, std::env::var("PORT").ok().as_deref(), problems),
        backlog: count("backlog") as u32,
        socket_mode: sockets::mode(values, problems),
        sockets: Sockets::read(values),
        mechanics: Mechanics::read(values, &chdir, problems),
        workers: workers(values, problems),
        threads: count("threads") as usize,
        timeout: values.duration("timeout"),
        graceful_timeout: values.duration("graceful_timeout"),
        shutdown_delay: values.duration("shutdown_delay"),
        boot_timeout: values.duration("boot_timeout"),
        keepalive: values.duration("keepalive"),
        head_timeout: values.duration("head_timeout"),
        body_timeout: values.duration("body_timeout"),
        max_requests: count("max_requests"),
        max_requests_jitter: count("max_requests_jitter"),
        life: crate::settings::Life::read(values),
        develop: crate::settings::Develop::read(values),
        preload_app: values.bool("preload_app"),
        reload_surge: count("reload_surge") as usize,
        limit_request_line,
        limit_request_fields,
        limit_request_field_size,
        head_limit,
        body_limit: values.size("body_limit"),
        forwarded_allow_ips: values.list("forwarded_allow_ips").to_vec(),
        proxies: Proxies::read(values, problems),
        http: Http::read(values),
        proxy_protocol: ProxyProtocol::read(values, problems),
        accesslog: crate::settings::logs::accesslog(values, &chdir),
        admin: admin(values, problems),
        control: PathBuf::new(),
        app_metrics: values.bool("app_metrics"),
        chdir: values.path("chdir").map(|_| chdir.clone()),
        pythonpath: values.list("pythonpath").to_vec(),
        required_env: values.list("required_env").to_vec(),
        log_level: values.text("log_level").to_owned(),
        log_format: values.text("log_format").to_owned(),
        gunicorn_conf: None,
        gunicorn: serde_json::Map::new(),
        folder: folder.to_owned(),
        logs: crate::settings::logs::Logs::read(values, &chdir, problems),
    };
    if let Some(folder) = config.chdir.as_ref().filter(|folder| !folder.is_dir()) {
        problems.push(values.problem("chdir", format!("{} is no folder", folder.display())));
    }
    if let Err(message) = gunicorn::worker_class::check(values.text("worker_class")) {
        problems.push(values.problem("worker_class", message));
    }
    for pair in values.list("raw_paste_global_conf").iter().filter(|pair| !pair.contains('=')) {
        problems.push(values.problem("raw_paste_global_conf", format!("expected name=value, got {pair:?}")));
    }
    for network in &config.forwarded_allow_ips {
        if !is_network(network) {
            let wanted = "expected an address, a network such as 10.0.0.0/8, `unix` or `*`";
            problems.push(values.problem("forwarded_allow_ips", format!("{wanted}, got {network:?}")));
        }
    }
    let control = match values.path("control") {
        _ if values.bool("control_socket_disable") => PathBuf::new(),
        Some(path) => chdir.join(path),
        None => control_path(config.admin),
    };
    Config { control, ..config }
}

fn raw_env(values: &Values, problems: &mut Problems) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for pair in values.list("raw_env") {
        match pair.split_once('=') {
            Some((name, value)) if !name.is_empty() && !pair.contains('\0') => pairs.push((name.into(), value.into())),
            _ => problems.push(values.problem("raw_env", format!("expected NAME=value, got {pair:?}"))),
        }
    }
    pairs
}

fn admin(values: &Values, problems: &mut Problems) -> SocketAddr {
    let address = values.address("admin");
    address.as_ref().and_then(Address::socket).unwrap_or_else(|| {
        problems.push(values.problem("admin", "expected an address and a port, such as 127.0.0.1:9102"));
        SocketAddr::from(([127, 0, 0, 1], 9102))
    })
}

fn workers(values: &Values, problems: &mut Problems) -> usize {
    const MOST: usize = 1024;
    let text = values.text("workers");
    if !values.is_set("workers")
        && let Some(wanted) = std::env::var("WEB_CONCURRENCY").ok().filter(|text| !text.is_empty())
    {
        return match wanted.parse() {
            Ok(count) if (1..=MOST).contains(&count) => count,
            _ => {
                let message = format!("expected a whole number from 1 to {MOST}, got {wanted:?}");
                problems.push(Problem::new("WEB_CONCURRENCY", message));
                1
            }
        };
    }
    if text == "auto" {
        return crate::supervisor::capacity::processes();
    }
    match text.parse() {
        Ok(count) if (1..=MOST).contains(&count) => count,
        _ => {
            let message = format!("expected `auto` or a whole number from 1 to {MOST}, got {text:?}");
            problems.push(values.problem("workers", message));
            1
        }
    }
}

fn is_network(text: &str) -> bool {
    if matches!(text, "*" | "unix") {
        return true;
    }
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let Ok(address) = address.parse::<std::net::IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse::<u8>().is_ok_and(|bits| bits <= most))
}

/// Every variable that is required and neither set nor given by `NAME_FILE` is a problem of its own.
fn required(
    config: &mut Config,
    problems: &mut Problems,
    variable: impl Fn(&str) -> Option<String>,
) -> Vec<(String, String)> {
    let mut exports = BTreeMap::new();
    let mut missing = Vec::new();
    for name in &config.required_env {
        if variable(name).is_some_and(|value| !value.is_empty()) {
            continue;
        }
        match variable(&format!("{name}_FILE")).filter(|path| !path.is_empty()) {
            None => missing.push(name.as_str()),
            Some(path) => match std::fs::read_to_string(&path) {
                Ok(text) => {
                    exports.insert(name.clone(), text.trim_end_matches(['\r', '\n']).to_owned());
                }
                Err(error) => problems.push(Problem::new(format!("{name}_FILE"), format!("{path}: {error}"))),
            },
        }
    }
    if let Some(first) = missing.first() {
        let all = missing.join(", ");
        let message =
            format!("the application needs {all} in its environment; set it, or {first}_FILE to a file that holds it");
        problems.push(Problem::new("required_env", message));
    }
    exports.into_iter().collect()
}

/// In a folder of the user's own, so that nobody else can have put a socket there.
fn control_path(admin: SocketAddr) -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    std::env::temp_dir().join(format!("monodon-{user}")).join(format!("worker-{}.sock", admin.port()))
}

/// Makes the control socket's folder where it is ours by default; refuses one that belongs to another.
pub fn prepare_control(path: &std::path::Path) -> std::io::Result<()> {
    // None is wanted, or its folder is the current one.
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    if let Err(error) = std::fs::DirBuilder::new().mode(0o700).create(folder)
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(error);
    }
    let user = rustix::process::getuid().as_raw();
    let meta = std::fs::metadata(folder)?;
    if folder.starts_with(std::env::temp_dir()) && folder != std::env::temp_dir() && meta.uid() != user {
        return Err(std::io::Error::other(format!("{} belongs to another user", folder.display())));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

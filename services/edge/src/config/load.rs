//! From the settings' values to a [`Config`]: everything that is wrong is told at once, each with its place.

use super::options::access::Interned;
use super::table::SCHEMA;
use super::tls::is_domain;
use super::{Config, Host};
use crate::watched::Files;
use monodon_settings::{Problem, Problems, Values};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Looked for where neither `--config` nor `MONODON_EDGE_CONFIG` names a file.
pub const DEFAULT_FILE: &str = "edge.toml";

/// Reads flags, environment and file.
pub fn load(args: &[OsString], env: impl Iterator<Item = (OsString, OsString)>) -> Result<Config, Problems> {
    Ok(loaded(args, env)?.config)
}

/// The same with what was written. It need not be one that serves.
pub fn loaded(args: &[OsString], env: impl Iterator<Item = (OsString, OsString)>) -> Result<Loaded, Problems> {
    let (loaded, problems) = read(args, env)?;
    problems.or(loaded)
}

/// A configuration, and what was written that made it so.
pub struct Loaded {
    pub config: Config,
    pub values: Values,
}

/// What serves.
pub fn serving(args: &[OsString], env: impl Iterator<Item = (OsString, OsString)>) -> Result<Loaded, Problems> {
    let (loaded, problems) = examine(args, env)?;
    problems.or(loaded)
}

/// Everything that can be wrong before anything starts, with defaults in the place of what is. `Err`: nothing can be said of
/// the rest.
pub fn examine(
    args: &[OsString],
    env: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(Loaded, Problems), Problems> {
    let (loaded, mut problems) = read(args, env)?;
    let Loaded { config, values } = &loaded;
    if config.listen.http.is_empty() && config.listen.https.is_empty() {
        let words = "nothing to listen on: set http (--http :8080), https (--https :8443) or both";
        problems.push(values.problem_here(words));
    }
    loaded.places(&mut problems);
    if problems.is_empty()
        && let Err(wrong) = crate::acme::check(&config.tls)
    {
        problems.push(Problem::new("", wrong));
    }
    Ok((loaded, problems))
}

/// The configuration with defaults in the place of what is wrong, and all that is wrong.
fn read(args: &[OsString], env: impl Iterator<Item = (OsString, OsString)>) -> Result<(Loaded, Problems), Problems> {
    let (values, problems) = SCHEMA.load_all(args, env, Some(Path::new(DEFAULT_FILE)))?;
    let mut reader = Reader {
        values: &values,
        problems,
        interned: Interned::default(),
        zone_names: Vec::new(),
        upstream_names: Vec::new(),
        watched: Files::default(),
    };
    let config = reader.config();
    let problems = reader.problems;
    Ok((Loaded { config, values }, problems))
}

pub(super) struct Reader<'a> {
    pub(super) values: &'a Values,
    pub(super) problems: Problems,
    pub(super) interned: Interned,
    /// Of `[limits]`, for the options that name them.
    pub(super) zone_names: Vec<String>,
    /// In the order of the configuration's, for the options that name them.
    pub(super) upstream_names: Vec<String>,
    /// Files that the settings name.
    pub(super) watched: Files,
}

impl Reader<'_> {
    pub(super) fn wrong(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(self.values.problem(key, message));
    }

    fn config(&mut self) -> Config {
        if let Some(extra) = self.values.positionals().first() {
            self.problems.push(Problem::new("", format!("unexpected argument {extra:?}; every setting is a flag")));
        }
        let listen = self.listen();
        let state = self.values.path("state").unwrap_or_else(default_state);
        let mut limits = self.limits();
        let timeouts = self.timeouts();
        let key = self.sticky_key(&state);
        let default = self.upstream(&key);
        let upstreams = self.upstreams(&default, &timeouts, &key);
        let upstreams = self.with_auth_services(upstreams);
        self.upstream_names = upstreams.iter().map(|named| named.name.clone()).collect();
        let zones = self.zones();
        self.zone_names = zones.iter().map(|zone| zone.name.clone()).collect();
        let mut tls = self.tls(state.clone(), !listen.http.is_empty());
        let mut files = self.files();
        let sites = self.sites(&tls.domains, &upstreams, &mut files);
        for host in sites.iter().flat_map(|site| &site.hosts) {
            match host {
                Host::Exact(name) if is_domain(name) && !tls.domains.contains(name) => tls.domains.push(name.clone()),
                _ => {}
            }
        }
        let options = self.options(&[self.values]);
        let below =
            || sites.iter().flat_map(|site| site.routes.iter().map(|route| &route.options).chain([&site.options]));
        let mut reserved: Vec<http::HeaderName> = Vec::new();
        for name in below().chain([&options]).flat_map(|options| options.auth.reserved()) {
            if !reserved.contains(name) {
                reserved.push(name.clone());
            }
        }
        limits.body = below().map(|options| options.requests.body_limit).max().unwrap_or(limits.body);
        let mut headers = self.headers();
        // Nothing is taken where nothing is asked for.
        if below().any(|options| options.headers.reporting.is_some()) {
            headers.csp_report_path = self.csp_report_path();
        }
        Config {
            limits,
            timeouts,
            upstreams,
            zones,
            clients: self.clients(),
            sites,
            options,
            reserved,
            spool: self.spool(&state),
            tls,
            files,
            proxies: self.proxies(),
            headers,
            log: self.log(),
            status_page: self.status_page(),
            reload_on_change: self.values.bool("reload_on_change"),
            listen,
        }
    }
}

fn default_state() -> PathBuf {
    let base = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")));
    base.unwrap_or_else(std::env::temp_dir).join("monodon/edge")
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "access_tests.rs"]
mod access_tests;
#[cfg(test)]
#[path = "compress_tests.rs"]
mod compress_tests;
#[cfg(test)]
#[path = "headers_tests.rs"]
mod headers_tests;
#[cfg(test)]
#[path = "slips_tests.rs"]
mod slips_tests;

#[cfg(test)]
#[path = "upstreams_tests.rs"]
mod upstreams_tests;

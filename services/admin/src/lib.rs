//! The admin port that every service has: `/healthz` (the process lives), `/readyz` (what passes, warns, fails, and why),
//! `/metrics`; what stands behind them in every service (own process, own cgroup, the text format); and the health check
//! that a container's engine runs.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cgroup;
pub mod health;
mod healthcheck;
pub mod process;
mod serve;
pub mod terminal;
#[cfg(test)]
mod tests;
pub mod text;

pub use health::{Check, Readiness, Status};
pub use healthcheck::{Answer, ask, conclude, healthcheck, request};
pub use serve::{METRICS_TYPE, Source, bind, document, router, serve, serve_on, serve_router};

/// What every service says of itself: `PREFIX_build_info`, `process_*`, `PREFIX_cgroup_*`. `prefix` is `monodon_edge`.
pub fn render_own(prefix: &str, version: &str, out: &mut String) {
    build_info(prefix, version, out);
    process::render(out);
    cgroup::render(prefix, out);
}

/// The commit this was built from, where the build tells it (`MONODON_REVISION`).
pub const REVISION: &str = match option_env!("MONODON_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

pub fn build_info(prefix: &str, version: &str, out: &mut String) {
    let name = format!("{prefix}_build_info");
    text::Family::gauge(out, &name, "What this is: always 1")
        .sample(&[("version", version), ("revision", REVISION)], 1);
}

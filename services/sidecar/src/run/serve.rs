//! The sidecar's port: the status page, its data, health, metrics.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use monodon_admin::{Check, METRICS_TYPE, Readiness, Status};
use tokio::net::TcpListener;

use super::merge::Merged;
use super::{Shared, State, health, metrics, probe};
use crate::page;

pub async fn serve(
    listener: TcpListener,
    shared: Shared,
    patience: Duration,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    monodon_admin::serve_router(listener, router(shared, patience), shutdown).await
}

fn router(shared: Shared, patience: Duration) -> Router {
    let pages = |shared: &Shared| shared.clone();
    let (root, json, health, ready) = (pages(&shared), pages(&shared), pages(&shared), pages(&shared));
    Router::new()
        .route("/", get(move || async move { status_page(&root.now()) }))
        .route("/status.json", get(move || async move { status_json(&json.now()) }))
        .route("/healthz", get(move || async move { monodon_admin::document(&health::document(&health.now())) }))
        .route("/livez", get(|| async { monodon_admin::document(&monodon_admin::health::Document::default()) }))
        .route("/readyz", get(move || async move { monodon_admin::document(&readiness(&ready.now())) }))
        .route("/metrics", get(move || async move { merged(&shared.now(), patience).await }))
}

/// Of the sidecar itself: what it finds out about others does not make it less ready to tell.
fn readiness(state: &State) -> monodon_admin::health::Document {
    let mut checks = vec![if state.draining {
        Check::fail("sidecar:draining", "asked to stop")
    } else {
        Check::pass("sidecar:listener")
    }];
    if let Some(agent) = health::agent_check(state) {
        checks.push(match agent.output {
            Some(why) if agent.status != Status::Pass => Check::warn("sidecar:agent", why),
            _ => Check::pass("sidecar:agent"),
        });
    }
    Readiness { checks }.document("sidecar", env!("CARGO_PKG_VERSION"))
}

async fn merged(state: &State, patience: Duration) -> Response {
    let pages = probe::scrape(&state.round, patience).await;
    let mut merged = Merged::default();
    let mut broken = Vec::new();
    for page in &pages {
        let labels = [("component", page.component.as_str()), ("instance", page.instance.as_str())];
        if let Ok(text) = &page.text
            && let Err(problem) = merged.add(text, &labels, |_| true)
        {
            tracing::warn!(
                component = page.component,
                instance = page.instance,
                problem,
                "a metrics page is broken: left out"
            );
            broken.push((page.component.clone(), page.instance.clone()));
        }
    }
    let own = metrics::render(state, &pages, &broken);
    // Own families have labels of their own; what every process has needs to say that it is the sidecar's.
    let marks = |name: &str| !name.starts_with("monodon_sidecar_");
    if let Err(problem) = merged.add(&own, &[("component", "sidecar"), ("instance", "self")], marks) {
        tracing::error!(problem, "the own metrics page is broken");
    }
    ([(header::CONTENT_TYPE, METRICS_TYPE)], merged.render()).into_response()
}

fn status_page(state: &State) -> Response {
    let nonce = nonce();
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let mut response = page::render(state, &nonce).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn status_json(state: &State) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, axum::Json(page::sections(state))).into_response()
}

/// For the content security policy; from the kernel, so that nobody guesses it.
fn nonce() -> String {
    use std::io::Read;
    let mut bytes = [0_u8; 16];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes));
    if read.is_err() {
        // Without randomness there is no nonce that nobody guesses: an empty one matches nothing, the page stays plain.
        return String::new();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

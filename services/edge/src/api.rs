//! What the admin port and the control socket tell in JSON: settings, sites and routes, upstreams, certificates. It only tells;
//! what changes state is the control socket's (see [`crate::control`]).

use crate::admin::State;
use crate::config::effective;
use crate::snapshot::Snapshot;
use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use monodon_settings::{Block, Values};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;

pub fn routes(state: &Arc<State>) -> Router {
    let page = |tell: fn(&State) -> Value| {
        let state = state.clone();
        get(move || {
            let told = tell(&state);
            async move { no_store(Json(told)) }
        })
    };
    let text = {
        let state = state.clone();
        get(move || {
            let text = effective::toml(&state.values.load());
            async move { no_store(([(header::CONTENT_TYPE, "application/toml; charset=utf-8")], text)) }
        })
    };
    Router::new()
        .route("/config", page(|state| effective::json(&state.values.load())))
        .route("/config.toml", text)
        .route("/sites", page(|state| sites(&state.snapshot.load(), &state.values.load())))
        .route("/upstreams", page(|state| upstreams(&state.snapshot.load())))
        .route("/certificates", page(certificates))
        .route("/reloads", page(reloads))
}

fn no_store(answer: impl IntoResponse) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], answer).into_response()
}

/// Sites with their routes in the order in which they are asked, each with what the file says of it.
fn sites(snapshot: &Snapshot, values: &Values) -> Value {
    let blocks: Vec<&Block> = values.blocks("site").collect();
    let sites = snapshot.config.sites.iter().map(|site| {
        let block = site.declared.and_then(|place| blocks.get(place));
        let own: Vec<&Block> = block.map(|block| block.values.blocks("route").collect()).unwrap_or_default();
        let routes = site.routes.iter().map(|route| {
            let said = own.get(route.declared).map(|block| &block.values);
            json!({
                "name": route.name,
                "when": route.when.path.to_string(),
                "place": said.map(Values::place),
                "settings": said.map(effective::said),
            })
        });
        json!({
            "name": site.label(),
            "hosts": site.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "default": site.is_default(),
            "place": block.map(|block| block.values.place()),
            "settings": block.map(|block| effective::said(&block.values)),
            "routes": routes.collect::<Vec<_>>(),
        })
    });
    json!({"sites": sites.collect::<Vec<_>>()})
}

fn upstreams(snapshot: &Snapshot) -> Value {
    let upstreams = snapshot
        .upstreams
        .iter()
        .chain(&snapshot.status)
        .map(|shared| json!({"name": shared.name(), "addresses": shared.snapshot()}));
    json!({"upstreams": upstreams.collect::<Vec<_>>()})
}

fn certificates(state: &State) -> Value {
    let unix = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let certificates = state.certificates.status().into_iter().map(|one| {
        json!({
            "name": one.name,
            "issuer": one.issuer.as_str(),
            "not_after": unix(one.not_after),
            "problem": one.problem,
            "next_attempt": one.next_attempt.map(unix),
            "last_success": one.last_success.map(unix),
            "failures": one.consecutive_failures,
        })
    });
    json!({"certificates": certificates.collect::<Vec<_>>()})
}

fn reloads(state: &State) -> Value {
    use std::sync::atomic::Ordering::Relaxed;
    let reloads = &state.reloads;
    json!({
        "successful": reloads.successful.load(Relaxed),
        "in_force_since": reloads.timestamp.load(Relaxed),
        "hash": format!("{:012x}", reloads.hash.load(Relaxed)),
        "taken": reloads.taken.load(Relaxed),
        "refused": reloads.refused.load(Relaxed),
        "problems": reloads.problems.load().as_deref(),
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": state.started.elapsed().as_secs(),
        "draining": state.drain.announced(),
    })
}

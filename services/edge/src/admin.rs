//! What the admin port tells: readiness check by check, every counter, the internal CA's certificate.

use crate::access::credentials;
use crate::access_log;
use crate::api;
use crate::drain::Drain;
use crate::gateway;
use crate::metrics::{self, Process, Shard};
use crate::runtime::Reloads;
use crate::snapshot::Snapshot;
use crate::tls::Certificates;
use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::get;
use monodon_admin::{Check, Readiness, Source};
use monodon_settings::Values;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What the control thread knows, for whoever asks.
pub struct State {
    pub snapshot: ArcSwap<Snapshot>,
    pub shards: Vec<Arc<Shard>>,
    pub certificates: Arc<Certificates>,
    pub drain: Drain,
    /// What the snapshot was made of.
    pub values: ArcSwap<Values>,
    pub reloads: Reloads,
    pub lines: monodon_logging::Lines,
    /// Threads whose listeners are open.
    pub listening: AtomicU64,
    pub started: Instant,
}

/// The admin port's pages, behind `admin_token` but for those that say whether the edge is well.
pub fn guarded(state: &Arc<State>) -> Router {
    let guard = state.clone();
    let ask = move |request: Request, next: Next| {
        let state = guard.clone();
        async move {
            let token = state.snapshot.load().config.listen.admin_token.clone();
            let open = token.is_empty() || matches!(request.uri().path(), "/healthz" | "/readyz");
            let given = credentials::bearer(request.headers()).unwrap_or_default();
            if open || credentials::same(given.as_bytes(), token.as_bytes()) {
                next.run(request).await
            } else {
                (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer realm=\"admin\"")]).into_response()
            }
        }
    };
    monodon_admin::router(&Arc::new(Pages(state.clone()))).layer(from_fn(ask))
}

/// The admin port's view of it.
pub struct Pages(pub Arc<State>);

impl Source for Pages {
    fn ready(&self) -> Readiness {
        let state = &self.0;
        let mut checks = vec![if state.drain.announced() {
            Check::fail("edge:draining", "the edge is about to stop")
        } else {
            Check::pass("edge:draining")
        }];
        checks.push(match state.listening.load(Ordering::Relaxed) {
            0 => Check::fail("edge:listeners", "no listener is open"),
            count => Check::pass("edge:listeners").observed(count, "threads"),
        });
        checks.push(if state.reloads.successful.load(Ordering::Relaxed) {
            Check::pass("edge:configuration")
        } else {
            Check::warn("edge:configuration", "the last reload was refused; the configuration before it is in force")
        });
        let snapshot = state.snapshot.load();
        for address in snapshot.upstreams.iter().flat_map(|upstream| upstream.status()) {
            let name = "upstream:address";
            let check = match (address.up, address.reason) {
                (true, None) => Check::pass(name),
                (_, reason) => Check::warn(name, reason.unwrap_or_else(|| "down".into())),
            };
            checks.push(check.of(address.address));
        }
        for certificate in state.certificates.status() {
            let name = "edge:certificate";
            let check = match certificate.problem {
                None => Check::pass(name),
                Some(problem) => Check::warn(name, problem),
            };
            checks.push(check.of(certificate.name));
        }
        for (root, entry) in snapshot.roots.iter().zip(&snapshot.config.files) {
            checks.push(match root.problem() {
                None => Check::pass("edge:static").of(&*entry.prefix),
                Some(problem) => Check::warn("edge:static", problem).of(&*entry.prefix),
            });
        }
        let sum =
            |of: &dyn Fn(&metrics::Connections) -> u64| state.shards.iter().map(|shard| of(&shard.connections)).sum();
        let accepted = sum(&|connections| connections.accepted_http.get() + connections.accepted_https.get());
        let hidden = sum(&|connections| connections.from_gateway.get());
        checks.push(gateway::check(hidden, accepted, !snapshot.config.tls.domains.is_empty()));
        checks.push(match snapshot.spool.problem() {
            None => Check::pass("edge:spool"),
            Some(problem) => Check::warn("edge:spool", problem),
        });
        checks.push(match state.lines.problem() {
            None => Check::pass("edge:access_log"),
            Some(problem) => Check::warn("edge:access_log", problem),
        });
        Readiness { checks }
    }

    fn metrics(&self) -> String {
        let state = &self.0;
        let snapshot = state.snapshot.load();
        let mut out = String::with_capacity(32 << 10);
        let process = Process {
            sites: &snapshot.router.names,
            routes: &snapshot.router.route_names,
            draining: state.drain.announced(),
            reload_successful: state.reloads.successful.load(Ordering::Relaxed),
            reload_timestamp: state.reloads.timestamp.load(Ordering::Relaxed),
            log_lines_lost: state.lines.lost(),
        };
        metrics::render(&state.shards, &process, &mut out);
        state.reloads.render(&mut out);
        crate::upstream::render(&snapshot.upstreams, &mut out);
        crate::limits::render(&snapshot.limits, &mut out);
        snapshot.spool.render(&mut out);
        state.certificates.render(&mut out);
        access_log::render_own_log(&mut out);
        monodon_admin::render_own("monodon_edge", self.version(), &mut out);
        out
    }

    fn routes(&self) -> Router {
        let certificates = self.0.certificates.clone();
        Router::new()
            .route(
                "/ca.pem",
                get(move || {
                    let certificates = certificates.clone();
                    async move { ([(header::CONTENT_TYPE, "application/x-pem-file")], certificates.ca_pem()) }
                }),
            )
            .merge(api::routes(&self.0))
    }

    fn service(&self) -> &'static str {
        "edge"
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

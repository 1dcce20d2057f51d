//! The three pages and their server.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::Status;
use crate::health::{Document, MEDIA_TYPE, Readiness};

pub const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long connections may go on after the end was asked for.
const LEAVE: Duration = Duration::from_secs(1);

/// What a service has to tell.
pub trait Source: Send + Sync + 'static {
    fn ready(&self) -> Readiness;

    /// The whole page, Prometheus text 0.0.4. It may block: it is called on a thread of its own.
    fn metrics(&self) -> String;

    /// What the service has beside the three pages. The port only tells; nothing here may change state.
    fn routes(&self) -> Router {
        Router::new()
    }

    /// `edge`
    fn service(&self) -> &'static str {
        ""
    }

    fn version(&self) -> &'static str {
        ""
    }
}

/// The pages as a router, for a service that has its own server.
pub fn router<S: Source>(source: &Arc<S>) -> Router {
    let (ready, metrics) = (source.clone(), source.clone());
    let pages = Router::new()
        .route("/healthz", get(|| async { document(&Document::default()) }))
        .route(
            "/readyz",
            get(move || {
                let ready = ready.clone();
                async move { document(&ready.ready().document(ready.service(), ready.version())) }
            }),
        )
        .route(
            "/metrics",
            get(move || {
                let metrics = metrics.clone();
                async move {
                    match tokio::task::spawn_blocking(move || metrics.metrics()).await {
                        Ok(page) => ([(header::CONTENT_TYPE, METRICS_TYPE)], page).into_response(),
                        Err(error) => {
                            tracing::error!(target: "monodon_admin", %error, "the metrics page failed");
                            StatusCode::INTERNAL_SERVER_ERROR.into_response()
                        }
                    }
                }
            }),
        );
    pages.merge(source.routes())
}

/// The document as an answer: 503 only when something fails.
pub fn document(document: &Document) -> Response {
    let status = if document.status == Status::Fail { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let body = serde_json::to_string(document).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, MEDIA_TYPE), (header::CACHE_CONTROL, "no-store")], body).into_response()
}

/// Binds, or says in one sentence why not.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let failed = |error: io::Error| io::Error::new(error.kind(), format!("admin: cannot listen on {address}: {error}"));
    TcpListener::bind(address).await.map_err(failed)
}

/// Serves until `shutdown` is ready. A service that drains goes on serving (`/readyz` is 503 then) till it ends.
pub async fn serve(
    address: SocketAddr,
    source: impl Source,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    serve_on(bind(address).await?, source, shutdown).await
}

/// The same on a listener that is there already.
pub async fn serve_on(
    listener: TcpListener,
    source: impl Source,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    serve_router(listener, router(&Arc::new(source)), shutdown).await
}

/// Pages of one's own instead of the usual ones. Once the end has come, connections may go on for a second and no longer.
pub async fn serve_router(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (asked, mut end) = tokio::sync::watch::channel(false);
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        shutdown.await;
        let _ = asked.send(true);
    });
    tokio::select! {
        result = std::future::IntoFuture::into_future(server) => result,
        () = async {
            let _ = end.wait_for(|asked| *asked).await;
            tokio::time::sleep(LEAVE).await;
        } => Ok(()),
    }
}

//! The metrics listener.

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use super::collector;
use crate::api::{
    Control,
    proto::{ApiError, ErrorCode},
    server::{Limits, connections},
};

/// OpenMetrics text, <https://prometheus.io/docs/specs/om/open_metrics_spec/>.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve metrics on {address}: {source}{}", remedy(.source))]
pub struct ListenError {
    /// Address asked for.
    pub address: SocketAddr,
    /// What the kernel said.
    pub source: io::Error,
}

fn remedy(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::AddrInUse {
        ". Another program uses that port (`ss -ltnp` shows which): stop it, or set metrics.listen to a free one"
    } else if error.kind() == io::ErrorKind::AddrNotAvailable {
        ". No interface has that address: correct metrics.listen"
    } else {
        ""
    }
}

/// A listener for `/metrics`, `/healthz` and `/readyz` that is bound, but not served yet.
#[derive(Debug)]
pub struct MetricsServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl MetricsServer {
    /// Binds `address`; port 0 = any free one. Needs a Tokio runtime.
    pub fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let open = || {
            let listener = StdListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            let listener = TcpListener::from_std(listener)?;
            Ok(Self { listener, address })
        };
        open().map_err(|source| ListenError { address, source })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is done.
    pub async fn serve<C: Control>(
        self,
        control: Arc<C>,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        let router = Router::new()
            .route("/metrics", get(metrics::<C>))
            .route("/readyz", get(ready::<C>))
            .route("/healthz", get(|| async { "ok\n" }))
            .with_state(control);
        connections::serve(self.listener, Limits::METRICS, router, |_| (), shutdown).await;
    }
}

async fn metrics<C: Control>(State(control): State<Arc<C>>) -> Result<Response, ApiError> {
    let snapshot = control.metrics_snapshot().await?;
    // A thousand services of twenty backends are some 300 000 lines: not on the agent's own threads.
    let rendered = tokio::task::spawn_blocking(move || collector::render(snapshot)).await;
    let failed = |error: &dyn std::fmt::Display| {
        let what = format!("cannot render the metrics: {error}");
        ApiError::new(ErrorCode::Internal, what)
    };
    let text = rendered
        .map_err(|error| failed(&error))?
        .map_err(|error| failed(&error))?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}

async fn ready<C: Control>(State(control): State<Arc<C>>) -> Result<Response, ApiError> {
    let reasons = control.metrics_snapshot().await?.not_ready;
    Ok(if reasons.is_empty() {
        "ready\n".into_response()
    } else {
        let body = reasons.join("\n") + "\n";
        (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
    })
}

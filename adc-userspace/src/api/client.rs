//! A client for the control socket: one connection per request, as the command line needs it.

mod announce;
mod bfd;
mod capture;
mod ha;

use std::{
    fmt::Display,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request,
    body::Bytes,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;

use super::{
    MAX_BODY,
    proto::{
        ApiError, Applied, BackendFilter, BackendPatch, BackendView, ConfigApply, ConfigCheck,
        ConfigChecked, ConfigDiff, ConfigView, ErrorCode, ExplainRequest, Explanation, FlowCount,
        FlowFilter, FlowPage, NewBackend, NewPool, NewService, ReasonRow, ServiceView, Status,
    },
};
use crate::model::{BackendName, PoolName, ServiceName};

/// Longest answer that is read, bytes; [`FlowFilter::MAX_LIMIT`] flows fit.
const MAX_ANSWER: usize = 64 << 20;

/// What may stand in a path segment as it is (RFC 3986 §3.3, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Talks to the agent behind one control socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    timeout: Duration,
}

#[derive(Serialize)]
struct Nothing;

impl Client {
    /// How long an agent may take to answer.
    pub const TIMEOUT: Duration = Duration::from_mins(1);

    /// A client; connects with each request.
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            timeout: Self::TIMEOUT,
        }
    }

    /// Gives up on an answer after `timeout`.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The node at a glance.
    pub async fn status(&self) -> Result<Status, ApiError> {
        self.get("status").await
    }

    /// Stops everything, cleanly; returns when it is done.
    pub async fn stop(&self) -> Result<(), ApiError> {
        self.send(Method::POST, "stop", Some(&Nothing)).await
    }

    /// Every service.
    pub async fn services(&self) -> Result<Vec<ServiceView>, ApiError> {
        self.get("services").await
    }

    /// One service.
    pub async fn service(&self, name: &ServiceName) -> Result<ServiceView, ApiError> {
        self.get(&format!("services/{}", segment(name))).await
    }

    /// Adds a service.
    pub async fn add_service(&self, new: &NewService, dry: bool) -> Result<Applied, ApiError> {
        self.change(Method::POST, "services", new, dry).await
    }

    /// Removes a service.
    pub async fn remove_service(&self, name: &ServiceName, dry: bool) -> Result<Applied, ApiError> {
        let path = format!("services/{}", segment(name));
        self.change(Method::DELETE, &path, &Nothing, dry).await
    }

    /// Backends that match.
    pub async fn backends(&self, filter: &BackendFilter) -> Result<Vec<BackendView>, ApiError> {
        self.get(&format!("backends?{}", query(filter)?)).await
    }

    /// One backend.
    pub async fn backend(
        &self,
        pool: &PoolName,
        name: &BackendName,
    ) -> Result<BackendView, ApiError> {
        self.get(&backend_path(pool, name)).await
    }

    /// Adds an empty pool.
    pub async fn add_pool(&self, new: &NewPool, dry: bool) -> Result<Applied, ApiError> {
        self.change(Method::POST, "pools", new, dry).await
    }

    /// Removes a pool.
    pub async fn remove_pool(&self, name: &PoolName, dry: bool) -> Result<Applied, ApiError> {
        let path = format!("pools/{}", segment(name));
        self.change(Method::DELETE, &path, &Nothing, dry).await
    }

    /// Adds a backend to a pool.
    pub async fn add_backend(
        &self,
        pool: &PoolName,
        new: &NewBackend,
        dry: bool,
    ) -> Result<Applied, ApiError> {
        let path = format!("pools/{}/backends", segment(pool));
        self.change(Method::POST, &path, new, dry).await
    }

    /// Changes a backend's weight or admin state.
    pub async fn change_backend(
        &self,
        pool: &PoolName,
        name: &BackendName,
        patch: BackendPatch,
        dry: bool,
    ) -> Result<Applied, ApiError> {
        self.change(Method::PATCH, &backend_path(pool, name), &patch, dry)
            .await
    }

    /// Removes a backend from a pool.
    pub async fn remove_backend(
        &self,
        pool: &PoolName,
        name: &BackendName,
        dry: bool,
    ) -> Result<Applied, ApiError> {
        self.change(Method::DELETE, &backend_path(pool, name), &Nothing, dry)
            .await
    }

    /// What runs.
    pub async fn config(&self) -> Result<ConfigView, ApiError> {
        self.get("config").await
    }

    /// What runs against the file.
    pub async fn config_diff(&self) -> Result<ConfigDiff, ApiError> {
        self.get("config/diff").await
    }

    /// Whether the agent would accept a configuration.
    pub async fn check_config(&self, request: &ConfigCheck) -> Result<ConfigChecked, ApiError> {
        self.send(Method::POST, "config/check", Some(request)).await
    }

    /// Makes a configuration the running one.
    pub async fn apply_config(
        &self,
        request: &ConfigApply,
        dry: bool,
    ) -> Result<Applied, ApiError> {
        self.change(Method::PUT, "config", request, dry).await
    }

    /// Flows that match.
    pub async fn flows(&self, filter: &FlowFilter) -> Result<FlowPage, ApiError> {
        self.get(&format!("flows?{}", query(filter)?)).await
    }

    /// How full the flow tables are.
    pub async fn flow_count(&self) -> Result<FlowCount, ApiError> {
        self.get("flows/count").await
    }

    /// Every reason with its counters.
    pub async fn drops(&self) -> Result<Vec<ReasonRow>, ApiError> {
        self.get("drops").await
    }

    /// Where a packet would go, and why.
    pub async fn explain(&self, request: &ExplainRequest) -> Result<Explanation, ApiError> {
        self.send(Method::POST, "explain", Some(request)).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.send(Method::GET, path, None::<&Nothing>).await
    }

    async fn change(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        dry: bool,
    ) -> Result<Applied, ApiError> {
        let path = if dry {
            format!("{path}?dry_run=true")
        } else {
            path.to_owned()
        };
        self.send(method, &path, Some(body)).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ApiError> {
        let request = request(method, path, body)?;
        let Ok(answer) = tokio::time::timeout(self.timeout, self.exchange(request)).await else {
            return Err(self.no_answer());
        };
        let (ok, bytes) = answer?;
        if ok {
            return serde_json::from_slice(&bytes).map_err(|error| self.incomprehensible(&error));
        }
        Err(self.told(&bytes))
    }

    /// The error that the agent answered with.
    fn told(&self, bytes: &[u8]) -> ApiError {
        let told = serde_json::from_slice::<ApiError>(bytes);
        told.unwrap_or_else(|error| self.incomprehensible(&error))
    }

    fn no_answer(&self) -> ApiError {
        ApiError::new(
            ErrorCode::Unreachable,
            format!(
                "the agent at {} did not answer within {} s: it hangs or is overloaded; see its log",
                self.socket.display(),
                self.timeout.as_secs()
            ),
        )
    }

    /// Sends one request and reads the whole answer: whether it is a success, and its body.
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(bool, Bytes), ApiError> {
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.hung_up(&error))?;
        let driver = tokio::spawn(connection);
        let exchange = async {
            let response = sender.send_request(request).await?;
            let success = response.status().is_success();
            let body = Limited::new(response.into_body(), MAX_ANSWER);
            let bytes = body.collect().await?.to_bytes();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((success, bytes))
        };
        let result = exchange.await.map_err(|error| self.hung_up(&error));
        driver.abort();
        result
    }

    async fn connect(&self) -> Result<UnixStream, ApiError> {
        UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.no_connection(&error))
    }

    fn no_connection(&self, error: &io::Error) -> ApiError {
        let socket = self.socket.display();
        if error.kind() == io::ErrorKind::PermissionDenied {
            return ApiError::new(
                ErrorCode::NotPermitted,
                format!(
                    "may not talk to the agent at {socket}: permission denied. Run as root, or join group {} and log in again",
                    super::server::GROUP
                ),
            );
        }
        let said = if error.kind() == io::ErrorKind::NotFound {
            "there is no such socket".to_owned()
        } else if error.kind() == io::ErrorKind::ConnectionRefused {
            "connection refused".to_owned()
        } else {
            error.to_string()
        };
        ApiError::new(
            ErrorCode::Unreachable,
            format!(
                "cannot reach the agent at {socket}: {said}. Is `adc run` running? If it listens elsewhere, say so with --socket or ADC_SOCKET"
            ),
        )
    }

    fn hung_up(&self, error: &dyn Display) -> ApiError {
        ApiError::new(
            ErrorCode::Unreachable,
            format!(
                "the agent at {} hung up: {error}; see its log",
                self.socket.display()
            ),
        )
    }

    fn incomprehensible(&self, error: &serde_json::Error) -> ApiError {
        ApiError::new(
            ErrorCode::Internal,
            format!(
                "cannot understand the answer of the agent at {}: {error}. Does it run the same version (`adc version`, `adc status`)?",
                self.socket.display()
            ),
        )
    }
}

/// A request with a JSON body.
fn request(
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<Request<Full<Bytes>>, ApiError> {
    let broken = |error: &dyn Display| {
        ApiError::new(
            ErrorCode::Internal,
            format!("cannot ask the agent for {path}: {error}"),
        )
    };
    let body = match body {
        Some(body) => serde_json::to_vec(body).map_err(|error| broken(&error))?,
        None => Vec::new(),
    };
    if body.len() > MAX_BODY {
        // The agent would answer the same, but hang up while we are still sending.
        return Err(ApiError::new(
            ErrorCode::TooLarge,
            format!(
                "the request is {} bytes long, the agent takes at most {} MiB",
                body.len(),
                MAX_BODY >> 20
            ),
        ));
    }
    Request::builder()
        .method(method)
        .uri(format!("/api/v1/{path}"))
        .header(HOST, "adc")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| broken(&error))
}

fn backend_path(pool: &PoolName, name: &BackendName) -> String {
    format!("pools/{}/backends/{}", segment(pool), segment(name))
}

fn segment(name: &impl ToString) -> String {
    utf8_percent_encode(&name.to_string(), SEGMENT).to_string()
}

fn query(filter: &impl Serialize) -> Result<String, ApiError> {
    serde_urlencoded::to_string(filter).map_err(|error| {
        ApiError::new(
            ErrorCode::Internal,
            format!("cannot express the filter as a query: {error}"),
        )
    })
}

//! What handlers take in and give back: parts of a request with our errors, answers as JSON.

use std::{error::Error, time::Duration};

use axum::{
    body::{HttpBody, to_bytes},
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use http_body_util::LengthLimitError;
use serde::{Deserialize, de::DeserializeOwned};

use crate::api::{
    MAX_BODY,
    proto::{ApiError, ErrorCode},
};

/// A body must be complete this long after its head.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// A JSON body of at most [`MAX_BODY`] bytes.
pub(super) struct Body<T>(pub(super) T);

/// Segments of the path.
pub(super) struct Segments<T>(pub(super) T);

/// The query string.
pub(super) struct Params<T>(pub(super) T);

/// Query string of every change.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// Plan only.
    #[serde(default)]
    pub(super) dry_run: bool,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        // An announced length is believed at once: to_bytes would wait for the bytes first.
        if request.body().size_hint().lower() > MAX_BODY as u64 {
            return Err(too_large());
        }
        let read = to_bytes(request.into_body(), MAX_BODY);
        let bytes = match tokio::time::timeout(BODY_TIMEOUT, read).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) if is_too_large(&error) => {
                return Err(too_large());
            }
            Ok(Err(error)) => {
                return Err(ApiError::new(
                    ErrorCode::InvalidRequest,
                    format!("the request body ended early: {error}"),
                ));
            }
            Err(elapsed) => {
                return Err(ApiError::new(
                    ErrorCode::Timeout,
                    format!(
                        "the request body did not arrive within {} s: {elapsed}",
                        BODY_TIMEOUT.as_secs()
                    ),
                ));
            }
        };
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            ApiError::new(
                ErrorCode::InvalidRequest,
                format!("the request body is not what this route takes: {error}"),
            )
        })
    }
}

fn too_large() -> ApiError {
    ApiError::new(
        ErrorCode::TooLarge,
        format!("the request body is larger than {} MiB", MAX_BODY >> 20),
    )
}

fn is_too_large(error: &axum::Error) -> bool {
    error
        .source()
        .is_some_and(<dyn Error>::is::<LengthLimitError>)
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(rejection) => Err(ApiError::new(
                ErrorCode::InvalidRequest,
                format!(
                    "cannot read {}: {}",
                    parts.uri.path(),
                    rejection.body_text()
                ),
            )),
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(ApiError::new(
                ErrorCode::InvalidRequest,
                rejection.body_text(),
            )),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        (status, kind, body).into_response()
    }
}

//! Routes that look at single packets.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    body::Body as Answered,
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse as _, Response},
};
use futures_util::stream;

use super::{Caller, audit, connections::Lease, extract::Body, routes::Answer};
use crate::api::{
    Control,
    proto::{ApiError, CaptureRequest, ExplainRequest, Explanation},
};

/// How long a connection may live beyond the time that the capture was to run.
const LAST_PIECES: Duration = Duration::from_mins(1);

pub(super) async fn explain<C: Control>(
    State(control): State<Arc<C>>,
    Body(request): Body<ExplainRequest>,
) -> Answer<Explanation> {
    control.explain(request).await.map(Json)
}

/// Streams a capture: the body ends when the capture does, and the capture ends when the body is dropped.
pub(super) async fn capture<C: Control>(
    State(control): State<Arc<C>>,
    Extension(caller): Extension<Caller>,
    Extension(lease): Extension<Lease>,
    Body(request): Body<CaptureRequest>,
) -> Result<Response, ApiError> {
    let filter = request.filter.to_string();
    let (seconds, count) = (request.seconds, request.count);
    let packets = if filter.is_empty() {
        "every packet"
    } else {
        &filter
    };
    let what = format!("capture of {packets}, at most {count} frames in {seconds} s");
    let begun = control.capture(request).await;
    audit::note(&caller, &what, &begun);
    let file = begun?;
    let seconds = seconds.min(CaptureRequest::MAX_SECONDS);
    lease.extend(Duration::from_secs(seconds) + LAST_PIECES);
    let pieces = stream::unfold(file, |mut file| async {
        let piece = file.recv().await?;
        Some((Ok::<_, Infallible>(piece), file))
    });
    let kind = [(CONTENT_TYPE, "application/x-pcapng")];
    Ok((kind, Answered::from_stream(pieces)).into_response())
}

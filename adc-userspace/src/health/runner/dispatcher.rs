//! Hands changed verdicts to the reader, one after the other.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{HealthEvent, board::Board};

/// Ends when the reader is gone; probes and snapshots go on.
pub(super) async fn run(board: Arc<Board>, events: mpsc::Sender<HealthEvent>) {
    // The place in the channel comes first, so that what is told is as new as can be.
    while let Ok(place) = events.reserve().await {
        let event = board.next_event().await;
        tracing::info!(
            pool = %event.key.pool,
            backend = %event.key.backend,
            health = event.health.name(),
            detail = event.detail,
            "backend health changed"
        );
        place.send(event);
    }
}

//! `/api/v1/announcements`: VIPs that a routing daemon announces.

use std::sync::Arc;

use axum::{Json, extract::State};

use super::routes::Answer;
use crate::api::{Control, proto::AnnouncementView};

pub(super) async fn list<C: Control>(
    State(control): State<Arc<C>>,
) -> Answer<Vec<AnnouncementView>> {
    control.announcements().await.map(Json)
}

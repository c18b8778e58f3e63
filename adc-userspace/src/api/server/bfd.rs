//! `/api/v1/bfd`: BFD sessions.

use std::sync::Arc;

use axum::{Json, extract::State};

use super::routes::Answer;
use crate::api::{Control, proto::BfdView};

pub(super) async fn view<C: Control>(State(control): State<Arc<C>>) -> Answer<BfdView> {
    control.bfd().await.map(Json)
}

//! `/api/v1/ha`: groups, and what people want of them.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};

use super::{Caller, audit, extract::Segments, routes::Answer};
use crate::{
    api::{
        Control,
        proto::{ApiError, ErrorCode, HaGroupView, HaOrder, HaView},
    },
    model::GroupName,
};

pub(super) async fn view<C: Control>(State(control): State<Arc<C>>) -> Answer<HaView> {
    control.ha().await.map(Json)
}

pub(super) async fn failover<C: Control>(
    State(control): State<Arc<C>>,
    Extension(caller): Extension<Caller>,
    Segments(group): Segments<GroupName>,
) -> Answer<HaGroupView> {
    order(control, caller, group, HaOrder::Failover).await
}

pub(super) async fn hold<C: Control>(
    State(control): State<Arc<C>>,
    Extension(caller): Extension<Caller>,
    Segments(group): Segments<GroupName>,
) -> Answer<HaGroupView> {
    order(control, caller, group, HaOrder::Hold).await
}

pub(super) async fn release<C: Control>(
    State(control): State<Arc<C>>,
    Extension(caller): Extension<Caller>,
    Segments(group): Segments<GroupName>,
) -> Answer<HaGroupView> {
    order(control, caller, group, HaOrder::Release).await
}

/// Runs to its end and is recorded even if the caller hangs up.
async fn order<C: Control>(
    control: Arc<C>,
    caller: Caller,
    group: GroupName,
    order: HaOrder,
) -> Answer<HaGroupView> {
    let task = tokio::spawn(async move {
        let what = format!("HA group {group}: {}", order.name());
        let result = control.ha_order(group, order).await;
        audit::note(&caller, &what, &result);
        result
    });
    let result = task.await.map_err(|error| {
        let what = format!("the order did not run to its end: {error}; see the agent's log");
        ApiError::new(ErrorCode::Internal, what)
    })?;
    result.map(Json)
}

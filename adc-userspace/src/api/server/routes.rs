//! The routes of `/api/v1`.

use std::{future::Future, sync::Arc};

use axum::{
    Extension, Json, Router,
    extract::{Request, State},
    http::{Method, Uri},
    middleware::{self, Next},
    response::Response,
    routing::{delete, get, patch, post},
};

use super::{
    Caller, announce, audit, bfd,
    extract::{Body, Change, Params, Segments},
    ha, packets,
};
use crate::{
    api::{
        Control,
        proto::{
            ApiError, Applied, BackendFilter, BackendPatch, BackendView, ConfigApply, ConfigCheck,
            ConfigChecked, ConfigDiff, ConfigView, Edit, ErrorCode, FlowCount, FlowFilter,
            FlowPage, NewBackend, NewPool, NewService, ReasonRow, ServiceView, Status,
        },
    },
    model::{BackendName, PoolName, ServiceName},
};

pub(super) type Answer<T> = Result<Json<T>, ApiError>;

pub(super) fn router<C: Control>(control: Arc<C>) -> Router {
    let routes = Router::new()
        .route("/status", get(status::<C>))
        .route("/services", get(services::<C>).post(add_service::<C>))
        .route(
            "/services/{service}",
            get(service::<C>).delete(remove_service::<C>),
        )
        .route("/backends", get(backends::<C>))
        .route("/pools", post(add_pool::<C>))
        .route("/pools/{pool}", delete(remove_pool::<C>))
        .route("/pools/{pool}/backends", post(add_backend::<C>))
        .route(
            "/pools/{pool}/backends/{backend}",
            patch(change_backend::<C>)
                .get(backend::<C>)
                .delete(remove_backend::<C>),
        )
        .route("/config", get(config::<C>).put(apply_config::<C>))
        .route("/config/diff", get(diff_config::<C>))
        .route("/config/check", post(check_config::<C>))
        .route("/flows", get(flows::<C>))
        .route("/flows/count", get(flow_count::<C>))
        .route("/drops", get(drops::<C>))
        .route("/explain", post(packets::explain::<C>))
        .route("/capture", post(packets::capture::<C>))
        .route("/announcements", get(announce::list::<C>))
        .route("/bfd", get(bfd::view::<C>))
        .route("/ha", get(ha::view::<C>))
        .route("/ha/{group}/failover", post(ha::failover::<C>))
        .route("/ha/{group}/hold", post(ha::hold::<C>))
        .route("/ha/{group}/release", post(ha::release::<C>))
        .route("/stop", post(stop::<C>));
    Router::new()
        .nest("/api/v1", routes)
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn(authorise))
        .with_state(control)
}

async fn authorise(
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if caller.admitted {
        return Ok(next.run(request).await);
    }
    Err(ApiError::new(
        ErrorCode::NotPermitted,
        format!(
            "user {} may not control this agent: run as root, or join group {} and log in again",
            caller.uid,
            super::GROUP
        ),
    ))
}

async fn no_route(uri: Uri) -> ApiError {
    ApiError::not_found(format!("this agent has no {}", uri.path()))
}

async fn no_method(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        ErrorCode::MethodNotAllowed,
        format!("{} does not take {method}", uri.path()),
    )
}

async fn status<C: Control>(State(control): State<Arc<C>>) -> Answer<Status> {
    control.status().await.map(Json)
}

async fn stop<C: Control>(
    State(control): State<Arc<C>>,
    Extension(caller): Extension<Caller>,
) -> Answer<()> {
    // To its end, even if the caller hangs up.
    let task = tokio::spawn(async move {
        let result = control.stop().await;
        audit::note(&caller, "adc stopped", &result);
        result
    });
    let result = task.await.map_err(|error| {
        let what = format!("stopping did not run to its end: {error}; see the agent's log");
        ApiError::new(ErrorCode::Internal, what)
    })?;
    result.map(Json)
}

async fn services<C: Control>(State(control): State<Arc<C>>) -> Answer<Vec<ServiceView>> {
    control.services().await.map(Json)
}

async fn service<C: Control>(
    State(control): State<Arc<C>>,
    Segments(name): Segments<ServiceName>,
) -> Answer<ServiceView> {
    control.service(name).await.map(Json)
}

async fn backends<C: Control>(
    State(control): State<Arc<C>>,
    Params(filter): Params<BackendFilter>,
) -> Answer<Vec<BackendView>> {
    control.backends(filter).await.map(Json)
}

async fn backend<C: Control>(
    State(control): State<Arc<C>>,
    Segments((pool, name)): Segments<(PoolName, BackendName)>,
) -> Answer<BackendView> {
    let missing = format!("pool {pool} has no backend {name}: `adc backend list` shows all");
    let filter = BackendFilter {
        pool: Some(pool),
        name: Some(name),
        service: None,
    };
    let found = control.backends(filter).await?.into_iter().next();
    found.map(Json).ok_or(ApiError::not_found(missing))
}

async fn config<C: Control>(State(control): State<Arc<C>>) -> Answer<ConfigView> {
    control.config_show().await.map(Json)
}

async fn diff_config<C: Control>(State(control): State<Arc<C>>) -> Answer<ConfigDiff> {
    control.config_diff().await.map(Json)
}

async fn check_config<C: Control>(
    State(control): State<Arc<C>>,
    Body(request): Body<ConfigCheck>,
) -> Answer<ConfigChecked> {
    control.config_check(request.text).await.map(Json)
}

async fn flows<C: Control>(
    State(control): State<Arc<C>>,
    Params(filter): Params<FlowFilter>,
) -> Answer<FlowPage> {
    let limit = filter.limit.min(FlowFilter::MAX_LIMIT);
    control
        .flows(FlowFilter { limit, ..filter })
        .await
        .map(Json)
}

async fn flow_count<C: Control>(State(control): State<Arc<C>>) -> Answer<FlowCount> {
    control.flow_count().await.map(Json)
}

async fn drops<C: Control>(State(control): State<Arc<C>>) -> Answer<Vec<ReasonRow>> {
    control.drops().await.map(Json)
}

async fn add_service<C: Control>(
    State(control): State<Arc<C>>,
    Extension(caller): Extension<Caller>,
    Params(change): Params<Change>,
    Body(new): Body<NewService>,
) -> Answer<Applied> {
    edit(control, caller, new.into(), change).await
}

async fn remove_service<C: Control>(
    State(control): State<Arc<C>>,
    Extension(caller): Extension<Caller>,
    Segments(name): Segments<ServiceName>,
    Params(change): Params<Change>,
) -> Answer<Applied> {
    edit(control, caller, Edit::ServiceRemove { name }, change).await
}

async fn add_pool<C: Control>(
    State(control): State<Arc<C>>,
    Extension(caller): Extension<Caller>,
    Params(change): Params<Change>,
    Body(new): Body<NewPool>,
) -> Answer<Applied> {
    edit(control, caller, new.into(), change).await
}

async fn remove_pool<C: Control>(
    State(control): State<Arc<C>>,
    Extension(caller): Extension<Caller>,
    Segments(name): Segments<PoolName>,
    Params(change): Params<Change>,
) -> Answer<Applied> {
    edit(control, caller, Edit::PoolRemove { name }, change).await
}

async fn add_backend<C: Control>(
    State(control): State<Arc<C>>,
    Extension(caller): Extension<Caller>,
    Segments(pool): Segments<PoolName>,
    Params(change): Params<Change>,
    Body(new): Body<NewBackend>,
) -> Answer<Applied> {
    let invalid = |error| ApiError::new(ErrorCode::InvalidRequest, format!("name: {error}"));
    let request = new
        .into_edit(pool)
        .map_err(|error| invalid(error.to_string()))?;
    edit(control, caller, request, change).await
}

async fn change_backend<C: Control>(
    State(control): State<Arc<C>>,
    Extension(caller): Extension<Caller>,
    Segments((pool, name)): Segments<(PoolName, BackendName)>,
    Params(change): Params<Change>,
    Body(patch): Body<BackendPatch>,
) -> Answer<Applied> {
    edit(control, caller, patch.into_edit(pool, name), change).await
}

async fn remove_backend<C: Control>(
    State(control): State<Arc<C>>,
    Extension(caller): Extension<Caller>,
    Segments((pool, name)): Segments<(PoolName, BackendName)>,
    Params(change): Params<Change>,
) -> Answer<Applied> {
    let request = Edit::BackendRemove { pool, name };
    edit(control, caller, request, change).await
}

async fn apply_config<C: Control>(
    State(control): State<Arc<C>>,
    Extension(caller): Extension<Caller>,
    Params(change): Params<Change>,
    Body(request): Body<ConfigApply>,
) -> Answer<Applied> {
    let from = match &request.source {
        Some(source) => format!("{}", source.path.display()),
        None => "the agent's file".into(),
    };
    let reset = if request.reset_edits {
        ", runtime edits reset"
    } else {
        ""
    };
    let what = format!("configuration applied from {from}{reset}");
    let run = async move { control.config_apply(request, change.dry_run).await };
    audited(caller, what, run).await
}

async fn edit<C: Control>(
    control: Arc<C>,
    caller: Caller,
    request: Edit,
    change: Change,
) -> Answer<Applied> {
    let what = request.to_string();
    let run = async move { control.edit(request, change.dry_run).await };
    audited(caller, what, run).await
}

/// Runs a change to its end and records it, even if the caller hangs up: hyper drops a handler whose
/// connection is gone, and a change that was made but not recorded must not exist.
async fn audited(
    caller: Caller,
    what: String,
    run: impl Future<Output = Result<Applied, ApiError>> + Send + 'static,
) -> Answer<Applied> {
    let task = tokio::spawn(async move {
        let result = run.await;
        audit::record(&caller, &what, &result);
        result
    });
    match task.await {
        Ok(result) => result.map(Json),
        Err(error) => Err(ApiError::new(
            ErrorCode::Internal,
            format!("the change did not run to its end: {error}; see the agent's log"),
        )),
    }
}

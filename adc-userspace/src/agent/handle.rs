//! The control API's way to the agent.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::{configure::internal, state::Agent};
use crate::{
    api::{
        Control,
        proto::{
            ApiError, Applied, BackendFilter, BackendView, ConfigApply, ConfigChecked, ConfigDiff,
            ConfigView, Edit, FlowCount, FlowFilter, FlowPage, ReasonRow, ServiceView, Status,
        },
    },
    model::ServiceName,
    telemetry::MetricsSnapshot,
};

/// The running agent, shared with the servers.
pub(super) struct Handle(Arc<Mutex<Agent>>);

impl Handle {
    pub(super) fn new(agent: Arc<Mutex<Agent>>) -> Self {
        Self(agent)
    }
}

impl Control for Handle {
    async fn status(&self) -> Result<Status, ApiError> {
        self.0
            .lock()
            .await
            .status()
            .map_err(|error| internal(&error))
    }

    async fn services(&self) -> Result<Vec<ServiceView>, ApiError> {
        let mut agent = self.0.lock().await;
        agent
            .sweep_now()
            .and_then(|()| agent.service_views())
            .map_err(|error| internal(&error))
    }

    async fn service(&self, name: ServiceName) -> Result<ServiceView, ApiError> {
        let mut services = self.services().await?;
        let place = services.iter().position(|service| service.name == name);
        place
            .map(|place| services.swap_remove(place))
            .ok_or_else(|| {
                ApiError::not_found(format!(
                    "there is no service `{name}`; `adc service list` shows all"
                ))
            })
    }

    async fn backends(&self, filter: BackendFilter) -> Result<Vec<BackendView>, ApiError> {
        let mut agent = self.0.lock().await;
        agent.sweep_now().map_err(|error| internal(&error))?;
        agent.backend_views(&filter)
    }

    async fn edit(&self, edit: Edit, dry_run: bool) -> Result<Applied, ApiError> {
        self.0.lock().await.edit(edit, dry_run).await
    }

    async fn config_show(&self) -> Result<ConfigView, ApiError> {
        Ok(self.0.lock().await.config_view())
    }

    async fn config_diff(&self) -> Result<ConfigDiff, ApiError> {
        self.0.lock().await.config_diff()
    }

    async fn config_check(&self, text: String) -> Result<ConfigChecked, ApiError> {
        Ok(ConfigChecked::from(&Agent::config_check(&text)?))
    }

    async fn config_apply(&self, request: ConfigApply, dry_run: bool) -> Result<Applied, ApiError> {
        self.0.lock().await.config_apply(request, dry_run).await
    }

    async fn flows(&self, filter: FlowFilter) -> Result<FlowPage, ApiError> {
        self.0
            .lock()
            .await
            .flows(&filter)
            .map_err(|error| internal(&error))
    }

    async fn flow_count(&self) -> Result<FlowCount, ApiError> {
        self.0
            .lock()
            .await
            .flow_count()
            .map_err(|error| internal(&error))
    }

    async fn drops(&self) -> Result<Vec<ReasonRow>, ApiError> {
        self.0
            .lock()
            .await
            .reasons()
            .map_err(|error| internal(&error))
    }

    async fn metrics_snapshot(&self) -> Result<MetricsSnapshot, ApiError> {
        self.0
            .lock()
            .await
            .metrics_snapshot()
            .map_err(|error| internal(&error))
    }
}

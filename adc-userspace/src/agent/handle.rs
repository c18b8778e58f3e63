//! The control API's way to the agent.

use std::sync::Arc;

use anyhow::Result;
use hyper::body::Bytes;
use tokio::sync::{Mutex, mpsc, watch};

use super::{capture, configure::internal, state::Agent};
use crate::{
    api::{
        Control,
        proto::{
            AnnouncementView, ApiError, Applied, BackendFilter, BackendView, CaptureRequest,
            ConfigApply, ConfigChecked, ConfigDiff, ConfigView, Edit, ExplainRequest, Explanation,
            FlowCount, FlowFilter, FlowPage, HaGroupView, HaOrder, HaView, ReasonRow, ServiceView,
            Status,
        },
    },
    ha::HaControl,
    model::{GroupName, ServiceName},
    telemetry::MetricsSnapshot,
};

/// The running agent, shared with the servers.
pub(super) struct Handle {
    agent: Arc<Mutex<Agent>>,
    /// Turns true when the servers have to end.
    stopped: watch::Receiver<bool>,
    /// Told when the agent has been stopped, and is to end.
    stopping: mpsc::Sender<()>,
}

impl Handle {
    pub(super) fn new(
        agent: Arc<Mutex<Agent>>,
        stopped: watch::Receiver<bool>,
        stopping: mpsc::Sender<()>,
    ) -> Self {
        Self {
            agent,
            stopped,
            stopping,
        }
    }

    async fn control(&self) -> HaControl {
        self.agent.lock().await.ha.clone()
    }

    /// Looks at the agent. Off the runtime's own threads: a look may walk a million flows, and probes go on.
    async fn look<T>(&self, look: impl FnOnce(&mut Agent) -> Result<T>) -> Result<T, ApiError> {
        let mut agent = self.agent.lock().await;
        tokio::task::block_in_place(|| look(&mut agent)).map_err(|error| internal(&error))
    }
}

impl Control for Handle {
    async fn status(&self) -> Result<Status, ApiError> {
        self.look(Agent::status).await
    }

    async fn services(&self) -> Result<Vec<ServiceView>, ApiError> {
        self.look(|agent| {
            agent.sweep_now()?;
            agent.service_views()
        })
        .await
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
        self.look(|agent| {
            agent.sweep_now()?;
            Ok(agent.backend_views(&filter))
        })
        .await?
    }

    async fn edit(&self, edit: Edit, dry_run: bool) -> Result<Applied, ApiError> {
        self.agent.lock().await.edit(edit, dry_run).await
    }

    async fn config_show(&self) -> Result<ConfigView, ApiError> {
        Ok(self.agent.lock().await.config_view())
    }

    async fn config_diff(&self) -> Result<ConfigDiff, ApiError> {
        let agent = self.agent.lock().await;
        tokio::task::block_in_place(|| agent.config_diff())
    }

    async fn config_check(&self, text: String) -> Result<ConfigChecked, ApiError> {
        Ok(ConfigChecked::from(&Agent::config_check(&text)?))
    }

    async fn config_apply(&self, request: ConfigApply, dry_run: bool) -> Result<Applied, ApiError> {
        self.agent.lock().await.config_apply(request, dry_run).await
    }

    async fn flows(&self, filter: FlowFilter) -> Result<FlowPage, ApiError> {
        self.look(|agent| agent.flows(&filter)).await
    }

    async fn flow_count(&self) -> Result<FlowCount, ApiError> {
        self.look(|agent| {
            agent.sweep_now()?;
            Ok(agent.flow_count())
        })
        .await
    }

    async fn drops(&self) -> Result<Vec<ReasonRow>, ApiError> {
        self.look(|agent| agent.reasons()).await
    }

    async fn ha(&self) -> Result<HaView, ApiError> {
        // The groups' thread is asked without the agent's lock: it may need the agent itself.
        let view = self.control().await.view().await?;
        let sync = self.look(|agent| Ok(agent.sync_view())).await?;
        Ok(HaView { sync, ..view })
    }

    async fn announcements(&self) -> Result<Vec<AnnouncementView>, ApiError> {
        Ok(self.agent.lock().await.announcement_views())
    }

    async fn ha_order(&self, group: GroupName, order: HaOrder) -> Result<HaGroupView, ApiError> {
        let ha = self.control().await;
        ha.order(group.clone(), order).await?;
        let groups = ha.view().await?.groups.into_iter();
        let mut found = groups.filter(|view| view.name == group);
        found
            .next()
            .ok_or_else(|| ApiError::not_found(format!("there is no HA group `{group}` any more")))
    }

    async fn explain(&self, request: ExplainRequest) -> Result<Explanation, ApiError> {
        self.look(|agent| Ok(agent.explain(&request))).await?
    }

    async fn capture(&self, request: CaptureRequest) -> Result<mpsc::Receiver<Bytes>, ApiError> {
        capture::begin(Arc::clone(&self.agent), request, self.stopped.clone()).await
    }

    async fn stop(&self) -> Result<(), ApiError> {
        let stopped = self.agent.lock().await.shut_down().await;
        // Whatever came of it, nothing can be changed any more. One that waits already is as good.
        self.stopping.try_send(()).ok();
        stopped.map_err(|error| internal(&error))
    }

    async fn metrics_snapshot(&self) -> Result<MetricsSnapshot, ApiError> {
        self.look(Agent::metrics_snapshot).await
    }
}

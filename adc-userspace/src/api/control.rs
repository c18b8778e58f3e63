//! The seam between the API and the agent.

use std::future::Future;

use hyper::body::Bytes;
use tokio::sync::mpsc;

use super::proto::{
    AnnouncementView, ApiError, Applied, BackendFilter, BackendView, BfdView, CaptureRequest,
    ConfigApply, ConfigChecked, ConfigDiff, ConfigView, Edit, ExplainRequest, Explanation,
    FlowCount, FlowFilter, FlowPage, HaGroupView, HaOrder, HaView, ReasonRow, ServiceView, Status,
};
use crate::{
    model::{GroupName, ServiceName},
    telemetry::MetricsSnapshot,
};

/// What a running agent can be asked. One implementation, the agent's handle; tests have a fake.
///
/// Mutations return what they did (or, on a dry run, would do) and must be all or nothing: an error
/// means that nothing changed. Implementations need not authorise or audit: the server has done the
/// first and does the second.
pub trait Control: Send + Sync + 'static {
    /// The node at a glance, what is wrong first.
    fn status(&self) -> impl Future<Output = Result<Status, ApiError>> + Send;

    /// Every service with its backends, by name.
    fn services(&self) -> impl Future<Output = Result<Vec<ServiceView>, ApiError>> + Send;

    /// One service. [`super::proto::ErrorCode::NotFound`] if there is none of that name.
    fn service(
        &self,
        name: ServiceName,
    ) -> impl Future<Output = Result<ServiceView, ApiError>> + Send;

    /// Backends that match `filter`, by pool and name, each once: counters are summed over the
    /// services that share a pool, or are of the one service that the filter names.
    fn backends(
        &self,
        filter: BackendFilter,
    ) -> impl Future<Output = Result<Vec<BackendView>, ApiError>> + Send;

    /// Applies one runtime edit and keeps it over restarts; on a dry run only plans it.
    fn edit(
        &self,
        edit: Edit,
        dry_run: bool,
    ) -> impl Future<Output = Result<Applied, ApiError>> + Send;

    /// What runs, and what it was made of.
    fn config_show(&self) -> impl Future<Output = Result<ConfigView, ApiError>> + Send;

    /// What runs against what the file says now.
    fn config_diff(&self) -> impl Future<Output = Result<ConfigDiff, ApiError>> + Send;

    /// Whether this agent would accept `text`, all errors at once.
    fn config_check(
        &self,
        text: String,
    ) -> impl Future<Output = Result<ConfigChecked, ApiError>> + Send;

    /// Makes a configuration the running one; the same path as a file reload.
    fn config_apply(
        &self,
        request: ConfigApply,
        dry_run: bool,
    ) -> impl Future<Output = Result<Applied, ApiError>> + Send;

    /// Flows that match `filter`, at most `filter.limit` of them, and how many match in all.
    fn flows(&self, filter: FlowFilter) -> impl Future<Output = Result<FlowPage, ApiError>> + Send;

    /// How full the flow tables are.
    fn flow_count(&self) -> impl Future<Output = Result<FlowCount, ApiError>> + Send;

    /// Every reason with its counters, in the order of `adc_common::abi::Reason::ALL`.
    fn drops(&self) -> impl Future<Output = Result<Vec<ReasonRow>, ApiError>> + Send;

    /// Every HA group as it is now, by name, and the heartbeat.
    fn ha(&self) -> impl Future<Output = Result<HaView, ApiError>> + Send;

    /// Every BFD session as it is now, by peer.
    fn bfd(&self) -> impl Future<Output = Result<BfdView, ApiError>> + Send;

    /// Every VIP that is announced while it is served, by address; empty = nothing is announced.
    fn announcements(&self)
    -> impl Future<Output = Result<Vec<AnnouncementView>, ApiError>> + Send;

    /// Passes on what somebody wants of an HA group; gives the group as it is right after.
    fn ha_order(
        &self,
        group: GroupName,
        order: HaOrder,
    ) -> impl Future<Output = Result<HaGroupView, ApiError>> + Send;

    /// Where a packet would go, and why. Changes nothing: no flow, no counter.
    fn explain(
        &self,
        request: ExplainRequest,
    ) -> impl Future<Output = Result<Explanation, ApiError>> + Send;

    /// Begins a capture. The file comes out of the channel in pieces, and is whole when the channel ends; dropping the
    /// receiver ends the capture. Packets go their way as they would without it.
    fn capture(
        &self,
        request: CaptureRequest,
    ) -> impl Future<Output = Result<mpsc::Receiver<Bytes>, ApiError>> + Send;

    /// Stops everything: roles are given up, addresses taken off, the program detached, pins removed. Returns when that is
    /// done; then the agent ends.
    fn stop(&self) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// All that `/metrics` and `/readyz` show.
    fn metrics_snapshot(&self) -> impl Future<Output = Result<MetricsSnapshot, ApiError>> + Send;
}

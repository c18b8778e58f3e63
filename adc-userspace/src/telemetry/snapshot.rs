//! What a scrape shows.

use adc_common::abi::{SelfCheckCounters, TableCounters};

use crate::api::proto::{
    AnnouncementView, BackendView, BfdView, FlowCount, HaView, InterfaceView, ReasonRow,
    ServiceView, SnatUse, Timestamp,
};
use crate::dataplane::OrphanTotals;

/// Everything that `/metrics` and `/readyz` show, taken at one moment.
#[derive(Clone, Debug)]
pub struct MetricsSnapshot {
    /// Name of the node.
    pub node: String,
    /// Version of the agent.
    pub version: String,
    /// When the agent started.
    pub started: Timestamp,
    /// Why the agent is not ready to forward; empty = it is ready: attached, and a configuration applied.
    pub not_ready: Vec<String>,
    /// Where the program is attached.
    pub interfaces: Vec<InterfaceView>,
    /// Every service; its backends carry the counters of that service.
    pub services: Vec<ServiceView>,
    /// Every backend of every pool once: weights, states, monitors.
    pub backends: Vec<BackendView>,
    /// Ports of local addresses, by service and backend.
    pub snat: Vec<SnatUse>,
    /// Every reason.
    pub reasons: Vec<ReasonRow>,
    /// Flow tables.
    pub flows: FlowCount,
    /// What the packet walk did to the flow tables.
    pub tables: TableCounters,
    /// What came of verifying checksums.
    pub self_checks: SelfCheckCounters,
    /// What became of fragments that came before their first.
    pub held_fragments: OrphanTotals,
    /// HA groups and the heartbeat.
    pub ha: HaView,
    /// VIPs that a routing daemon announces.
    pub announcements: Vec<AnnouncementView>,
    /// BFD sessions.
    pub bfd: BfdView,
    /// Generation of the running configuration.
    pub config_generation: u64,
    /// Runtime edits on top of the file.
    pub config_edits: usize,
    /// Whether the last reload was accepted.
    pub last_reload_successful: bool,
    /// When a reload was last accepted.
    pub last_reload_success: Timestamp,
}

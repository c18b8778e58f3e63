//! Backends as people see them.

use std::ops::AddAssign;

use adc_common::abi::BackendCounters;
use serde::{Deserialize, Serialize};

use super::{Origin, Timestamp};
use crate::model::{
    AdminState, BackendAddress, BackendName, Health, MonitorName, PoolName, ServiceName, Weight,
};

/// Which backends; every given field must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendFilter {
    /// In this pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolName>,
    /// In the pool of this service, with the counters of this service only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// Of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<BackendName>,
}

/// One backend: what is configured, what people and checks say, what follows, what it carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendView {
    /// Its pool.
    pub pool: PoolName,
    /// Its name in the pool.
    pub name: BackendName,
    /// Where it listens.
    pub address: BackendAddress,
    /// From the file, or added at run time.
    pub origin: Origin,
    /// Its share of new flows and why.
    pub weight: WeightView,
    /// What people decided.
    pub admin: AdminState,
    /// What the file says about `admin`, if people decided otherwise at run time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_in_file: Option<AdminState>,
    /// What checks found.
    pub health: HealthView,
    /// Each check on its own.
    pub monitors: Vec<MonitorView>,
    /// Live flows bound to it, half-open ones included.
    pub flows: u64,
    /// Packets, bytes and flows since the maps were created.
    pub traffic: Traffic,
}

/// Weights, 0 ..= 1 000: what the file says, what people said since, what the ring uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightView {
    /// In the file, or as added.
    pub configured: Weight,
    /// Set at run time.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none", default)]
    pub runtime: Option<Weight>,
    /// In the ring; 0 = gets no new flows.
    pub effective: Weight,
    /// Why the effective weight is what it is.
    pub reason: String,
}

/// What checks found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthView {
    /// The verdict.
    pub state: Health,
    /// What the last check found, in words; empty if there is none.
    pub detail: String,
    /// When the state last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// One monitor's view of one backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorView {
    /// The monitor.
    pub monitor: MonitorName,
    /// `tcp`, `icmp`, `http` or `https`.
    pub kind: String,
    /// Its verdict.
    pub health: HealthView,
    /// Checks that succeeded since the agent started.
    pub succeeded: u64,
    /// Checks that failed since the agent started.
    pub failed: u64,
    /// How long the last check took, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_micros: Option<u64>,
}

/// What a backend or a service carried since the maps were created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Packets to backends.
    pub forward_packets: u64,
    /// Bytes to backends, Ethernet headers included.
    pub forward_bytes: u64,
    /// Packets to clients.
    pub reply_packets: u64,
    /// Bytes to clients, Ethernet headers included.
    pub reply_bytes: u64,
    /// New flows scheduled.
    pub flows_scheduled: u64,
    /// Flows whose handshake (TCP) or first reply (UDP) was seen.
    pub flows_established: u64,
    /// TCP segments with which clients said that they have no room for more data.
    #[serde(default)]
    pub forward_zero_windows: u64,
    /// TCP segments with which backends said so.
    #[serde(default)]
    pub reply_zero_windows: u64,
}

impl From<BackendCounters> for Traffic {
    fn from(counters: BackendCounters) -> Self {
        Self {
            forward_packets: counters.forward_packets,
            forward_bytes: counters.forward_bytes,
            reply_packets: counters.reply_packets,
            reply_bytes: counters.reply_bytes,
            flows_scheduled: counters.flows_scheduled,
            flows_established: counters.flows_established,
            forward_zero_windows: counters.forward_zero_windows,
            reply_zero_windows: counters.reply_zero_windows,
        }
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.forward_packets += other.forward_packets;
        self.forward_bytes += other.forward_bytes;
        self.reply_packets += other.reply_packets;
        self.reply_bytes += other.reply_bytes;
        self.flows_scheduled += other.flows_scheduled;
        self.flows_established += other.flows_established;
        self.forward_zero_windows += other.forward_zero_windows;
        self.reply_zero_windows += other.reply_zero_windows;
    }
}

impl BackendView {
    /// Whether it gets new flows.
    pub fn available(&self) -> bool {
        self.weight.effective > Weight(0)
    }

    /// Whether people changed it since the file was applied.
    pub fn differs_from_file(&self) -> bool {
        self.origin == Origin::Runtime
            || self.weight.runtime.is_some()
            || self.admin_in_file.is_some()
    }
}

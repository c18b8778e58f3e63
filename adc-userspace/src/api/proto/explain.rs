//! Where a packet would go, and why.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{ReasonKind, TcpFlags};
use crate::model::{
    AdminState, BackendAddress, BackendName, Health, PoolName, ServiceName, TransportProtocol,
    Weight,
};

/// A packet to explain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// Which.
    pub packet: ExplainPacket,
    /// Interface that it comes in by; without it the agent takes the likeliest, and says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

/// A packet, described or recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ExplainPacket {
    /// By what can be said of it in a line.
    Tuple(PacketTuple),
    /// Byte by byte.
    Frame(RecordedFrame),
}

/// A packet without payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PacketTuple {
    /// TCP or UDP.
    pub protocol: TransportProtocol,
    /// Source.
    pub source: SocketAddr,
    /// Destination.
    pub destination: SocketAddr,
    /// TCP flags; without them `syn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flags: Option<TcpFlags>,
    /// Who sent the frame; without it the agent takes what it knows of the sender, or makes one up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_mac: Option<String>,
    /// VLAN ids, outer first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vlans: Vec<u16>,
    /// TTL or hop limit; without it 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u8>,
}

/// A packet from a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedFrame {
    /// The bytes that were recorded, from the Ethernet header on, in hexadecimal digits.
    pub bytes: String,
    /// Bytes that the frame had; more than were recorded if the recording cut it.
    pub length: usize,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The packet in a line.
    pub packet: String,
    /// Interface that it came in by.
    pub interface: String,
    /// What was not given and had to be assumed.
    pub assumed: Vec<String>,
    /// `transmit` (by the interface it came in by), `redirect` (by another), `pass` or `drop`.
    pub verdict: String,
    /// Why; the name in metrics and in `adc drops`.
    pub reason: String,
    /// Forwarded, passed or dropped.
    pub class: ReasonKind,
    /// What the reason means.
    pub meaning: String,
    /// What to do about it; absent if nothing is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The service, if the walk came to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// The backend, if the walk came to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<ExplainedBackend>,
    /// Slot of the ring that was looked at, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring_slot: Option<usize>,
    /// Interface that it would leave by; absent if it is not forwarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves_by: Option<String>,
    /// What the walk asked and was told, in its order.
    pub steps: Vec<ExplainStep>,
    /// Headers as it came.
    pub before: Vec<HeaderView>,
    /// Headers as it would leave; absent if it is not forwarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<HeaderView>>,
    /// What differs between the two.
    pub changes: Vec<HeaderChange>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// The frame as it came, in hexadecimal digits.
    pub frame_before: String,
    /// The frame as it would leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_after: Option<String>,
}

/// A backend and what it is in just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedBackend {
    /// Where packets are sent.
    pub address: BackendAddress,
    /// Its pool; absent if it was removed and its flows live on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolName>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<BackendName>,
    /// What people set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<AdminState>,
    /// What checks say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Weight in the ring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Weight>,
    /// Why it has that weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One step of the walk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainStep {
    /// What kind of step.
    pub step: String,
    /// In words.
    pub text: String,
}

/// A header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderView {
    /// `ethernet`, `vlan`, `ipv4`, `ipv6`, `tcp`, `udp`, ...
    pub header: String,
    /// Its fields, in their order.
    pub fields: Vec<FieldView>,
}

/// A field of a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldView {
    /// Its name.
    pub name: String,
    /// What it says.
    pub value: String,
}

/// A field that is rewritten, or a header that comes or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderChange {
    /// In which header.
    pub header: String,
    /// Which field; absent = the whole header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// As it came; absent = the header is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// As it leaves; absent = the header is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

//! Services.

use std::{collections::BTreeSet, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{MssClamp, PoolName, Ports, ProxyProtocol, Tunnel};

pub use adc_common::abi::MAX_SNAT_ADDRESSES;
use adc_common::abi::Protocol;

/// A virtual server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Address clients connect to.
    pub vip: IpAddr,
    /// Ports clients connect to.
    pub port: Ports,
    /// TCP, UDP or SCTP.
    pub protocol: TransportProtocol,
    /// Where flows go.
    pub pool: PoolName,
    /// How packets reach the backend.
    pub mode: Mode,
    /// Mode `full-nat`: local addresses to send from, at most [`MAX_SNAT_ADDRESSES`]; empty in the other modes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub snat: BTreeSet<IpAddr>,
    /// Modes `dsr-ipip` and `dsr-gue`: how packets are wrapped.
    #[serde(default, skip_serializing_if = "Tunnel::is_default")]
    pub tunnel: Tunnel,
    /// Limit of the TCP segment size.
    #[serde(default, skip_serializing_if = "MssClamp::is_off")]
    pub mss_clamp: MssClamp,
    /// Whether each stream to a backend begins with a PROXY protocol header, and of which version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How a backend is chosen for a new flow.
    pub scheduler: Scheduler,
    /// What the scheduler hashes.
    pub hash: Hash,
    /// Whether the VIP answers echo requests. One service that says no is enough to silence it.
    #[serde(default = "answers_ping")]
    pub ping: bool,
    /// Idle timeouts.
    pub timeouts: Timeouts,
}

/// A VIP answers echo requests unless it is told not to.
pub(crate) const fn answers_ping() -> bool {
    true
}

/// Protocol of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransportProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP, single-homed.
    Sctp,
}

/// Forwarding mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// DNAT; replies return through us.
    Nat,
    /// DNAT and SNAT: the backend sees a local address of ours, and replies return through us wherever it is.
    FullNat,
    /// Direct server return: the frame is sent to the backend's MAC.
    DsrL2,
    /// Direct server return: the packet is sent inside an IP packet.
    DsrIpip,
    /// Direct server return: the packet is sent inside UDP (Generic UDP Encapsulation).
    DsrGue,
}

/// Scheduler of new flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheduler {
    /// Consistent hashing on a Maglev ring.
    Maglev,
}

/// What the scheduler hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hash {
    /// Addresses, ports and protocol: every connection on its own.
    FiveTuple,
    /// Source address: one client, one backend.
    Source,
}

/// Idle timeouts of a service's flows, whole seconds, 1 ..= 604 800 (a week).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Timeouts {
    /// Handshake of TCP or SCTP (default 30).
    pub handshake: u32,
    /// TCP or SCTP established (default 7 440 = 2 h 4 min, RFC 5382 REQ-5).
    pub established: u32,
    /// TCP after one FIN, SCTP after one SHUTDOWN (default 7 440).
    pub half_closed: u32,
    /// TCP after both FINs, SCTP after SHUTDOWN and its answer (default 60).
    pub closed: u32,
    /// TCP after RST, SCTP after ABORT (default 10).
    pub reset: u32,
    /// UDP before a reply (default 30).
    pub udp_unreplied: u32,
    /// UDP after a reply (default 120, RFC 4787 REQ-5).
    pub udp_replied: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: 30,
            established: 7_440,
            half_closed: 7_440,
            closed: 60,
            reset: 10,
            udp_unreplied: 30,
            udp_replied: 120,
        }
    }
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 5] = [
        Self::Nat,
        Self::FullNat,
        Self::DsrL2,
        Self::DsrIpip,
        Self::DsrGue,
    ];

    /// As written in config, CLI and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nat => "nat",
            Self::FullNat => "full-nat",
            Self::DsrL2 => "dsr-l2",
            Self::DsrIpip => "dsr-ipip",
            Self::DsrGue => "dsr-gue",
        }
    }

    /// Whether packets to backends are wrapped in others.
    pub const fn is_tunnel(self) -> bool {
        match self {
            Self::Nat | Self::FullNat | Self::DsrL2 => false,
            Self::DsrIpip | Self::DsrGue => true,
        }
    }

    /// Whether backends answer clients directly, from the VIP: then neither address nor port is translated.
    pub const fn is_dsr(self) -> bool {
        match self {
            Self::Nat | Self::FullNat => false,
            Self::DsrL2 | Self::DsrIpip | Self::DsrGue => true,
        }
    }
}

impl TransportProtocol {
    /// Every protocol.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// Its number in IP headers and tables.
    pub const fn number(self) -> Protocol {
        match self {
            Self::Tcp => Protocol::TCP,
            Self::Udp => Protocol::UDP,
            Self::Sctp => Protocol::SCTP,
        }
    }

    /// The protocol of this number, if it is one.
    pub fn of(number: Protocol) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.number() == number)
    }

    /// As written in config, CLI and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

//! Pools and their backends.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use adc_common::abi::BackendEntry;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{BackendName, MonitorName};

/// A named set of backends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Monitors; a backend is up while all of them say so. Empty = always up.
    pub monitors: Vec<MonitorName>,
    /// What becomes of the flows of a backend that goes down.
    #[serde(default)]
    pub on_down: OnDown,
    /// Backends by name.
    pub backends: BTreeMap<BackendName, Backend>,
}

/// One address:port of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Address and port: its identity in the pool (a renamed backend keeps its flows).
    pub address: BackendAddress,
    /// Share of new flows.
    pub weight: Weight,
    /// Set by people.
    pub admin: AdminState,
}

/// Where a backend listens; port 0 = on every port that the service has. Written with the port, or without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendAddress(pub SocketAddr);

/// Share of new flows, 0 ..= 1 000; 0 = none. Default 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(pub u16);

/// What becomes of the flows of a backend that goes down. Down is what monitors say; an admin state, a lost next hop
/// and a removed backend leave flows alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDown {
    /// Both ends of TCP get a RST, at once even if they are silent; UDP as with `reselect`.
    Reset,
    /// What clients send is scheduled anew: UDP goes on elsewhere, TCP ends with the RST of a backend that does not
    /// know the connection.
    Reselect,
    /// They stay bound to it, and go on when it comes back.
    #[default]
    Keep,
}

/// What people decided about a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdminState {
    /// In use, if healthy.
    Enabled,
    /// Keeps its flows, gets no new ones.
    Draining,
    /// Gets no new flows; checks go on; its flows are left to end.
    Maintenance,
}

impl Weight {
    /// Largest weight.
    pub const MAX: Self = Self(1_000);
}

impl Default for Weight {
    fn default() -> Self {
        Self(100)
    }
}

impl BackendAddress {
    /// The address without the port.
    pub fn ip(self) -> IpAddr {
        self.0.ip()
    }

    /// The port; 0 = packets keep the one that the client asked for.
    pub fn port(self) -> u16 {
        self.0.port()
    }

    /// Whether packets keep the port that the client asked for.
    pub fn keeps_ports(self) -> bool {
        self.port() == 0
    }

    /// Where a backend in the tables listens.
    pub fn of(entry: &BackendEntry) -> Self {
        Self(SocketAddr::new(entry.address.into(), entry.port.host()))
    }
}

impl fmt::Display for BackendAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.keeps_ports() {
            self.ip().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}

/// Text that is no backend address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// Neither an address nor an address with a port.
    #[error("not an IP address, with or without a port")]
    Form,
    /// Port 0 is reserved (RFC 6335 §6).
    #[error("port 0 is no port")]
    PortZero,
}

impl FromStr for BackendAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if let Ok(ip) = bare.unwrap_or(text).parse() {
            return Ok(Self(SocketAddr::new(ip, 0)));
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() == 0 => Err(InvalidAddress::PortZero),
            Ok(address) => Ok(Self(address)),
            Err(_) => Err(InvalidAddress::Form),
        }
    }
}

impl Serialize for BackendAddress {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BackendAddress {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse()
            .map_err(|error| de::Error::custom(format_args!("`{text}`: {error}")))
    }
}

impl OnDown {
    /// As written in config, CLI and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Reselect => "reselect",
            Self::Keep => "keep",
        }
    }
}

impl AdminState {
    /// As written in config, CLI and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Draining => "draining",
            Self::Maintenance => "maintenance",
        }
    }
}

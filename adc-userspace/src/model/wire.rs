//! What a service does to packets on the wire beside forwarding them.

use std::{collections::BTreeSet, net::IpAddr};

use serde::{Deserialize, Serialize};

/// How packets are wrapped in the modes that do (`dsr-ipip`, `dsr-gue`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tunnel {
    /// UDP port that backends take GUE on.
    pub port: u16,
    /// Where outer packets come from, at most one address per family; a family without one sends from the address that
    /// the route to the backend prefers.
    pub source: BTreeSet<IpAddr>,
}

/// Limit of the segment size that a SYN announces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MssClamp {
    /// None.
    #[default]
    Off,
    /// What fits the MTU of the interfaces that the SYN comes in and leaves by.
    Auto,
    /// So many bytes.
    Bytes(u16),
}

impl Tunnel {
    /// IANA's port of GUE.
    pub const DEFAULT_PORT: u16 = 6080;

    /// Whether nothing is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The address to send from to this backend, if one is set.
    pub fn source_to(&self, backend: IpAddr) -> Option<IpAddr> {
        let same = |ip: &&IpAddr| ip.is_ipv4() == backend.to_canonical().is_ipv4();
        self.source.iter().find(same).copied()
    }
}

impl Default for Tunnel {
    fn default() -> Self {
        Self {
            port: Self::DEFAULT_PORT,
            source: BTreeSet::new(),
        }
    }
}

/// Version of the PROXY protocol header that tells backends who their client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyProtocol {
    /// Version 2, the binary one.
    V2,
}

impl ProxyProtocol {
    /// As written in config, CLI and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V2 => "v2",
        }
    }
}

impl MssClamp {
    /// Whether segments are left alone.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
    pub const fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }
}

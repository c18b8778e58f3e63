//! Health-check definitions.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// A reusable health check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Monitor {
    /// What is probed.
    pub kind: MonitorKind,
    /// Time between the starts of two probes of one backend (default 2 s, 100 ms ..= 1 h).
    #[serde(with = "humantime_duration")]
    pub interval: Duration,
    /// A probe without an answer after this long has failed (default 1 s, <= interval).
    #[serde(with = "humantime_duration")]
    pub timeout: Duration,
    /// Successes in a row that take a backend up (default 2).
    pub rise: u32,
    /// Failures in a row that take it down (default 3).
    pub fall: u32,
    /// Random spread of each interval, in percent of it, 0 ..= 50 (default 10).
    pub jitter_percent: u8,
    /// What a backend is before its first verdict.
    pub initial: InitialState,
    /// Probe this port instead of the backend's own.
    pub port: Option<u16>,
    /// Begin each connection with a PROXY protocol header (version 2, `LOCAL`); never for `icmp`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub send_proxy: bool,
}

/// Which kind of probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MonitorKind {
    /// A TCP handshake.
    Tcp,
    /// ICMP or ICMPv6 echo.
    Icmp,
    /// An HTTP/1.1 request, over TLS if `tls` is set.
    Http(HttpCheck),
    /// A BFD session with each backend, in place of probes.
    Bfd(BfdCheck),
}

/// What a BFD monitor has beside its interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdCheck {
    /// So many missing packets are silence, 1 ..= 255.
    pub multiplier: u8,
}

/// Request and expectation of an HTTP monitor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// Request method (default GET).
    pub method: String,
    /// Path and query (default `/`).
    pub path: String,
    /// `Host` header; default: the backend's address.
    pub host: Option<String>,
    /// Acceptable status codes (default 200-299).
    pub status: Vec<StatusRange>,
    /// What the body must hold (first 64 KiB are looked at).
    pub body: Option<BodyMatch>,
    /// HTTPS.
    pub tls: Option<TlsVerify>,
}

/// How an HTTPS monitor treats the backend's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsVerify {
    /// Name in SNI and for verification; default: `host`.
    pub sni: Option<String>,
    /// Verify chain and name (default true).
    pub verify: bool,
    /// PEM file with the trusted CAs; default: the system's.
    pub ca_file: Option<PathBuf>,
}

/// Inclusive range of HTTP status codes, 100 ..= 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRange {
    /// First acceptable code.
    pub first: u16,
    /// Last acceptable code.
    pub last: u16,
}

/// What a response body is searched for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BodyMatch {
    /// Contains this text.
    Text(String),
    /// Matches this regular expression (syntax already checked).
    Regex(String),
}

/// Health before the first verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitialState {
    /// Takes traffic at once.
    Up,
    /// Takes none until it has risen (the default); the first probe decides alone.
    Down,
}

pub(super) mod humantime_duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in super::super) fn serialize<S: Serializer>(
        value: &Duration,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*value))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_duration(&text).map_err(D::Error::custom)
    }
}

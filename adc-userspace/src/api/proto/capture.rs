//! Which packets to capture, and how many.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{AddressRange, ReasonKind};
use crate::model::{BackendName, ServiceName};
use adc_common::abi::{MAX_SNAPLEN, Reason};

/// A capture to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureRequest {
    /// Which packets.
    #[serde(default)]
    pub filter: CaptureFilter,
    /// Ends after this many frames.
    #[serde(default = "CaptureRequest::default_count")]
    pub count: u64,
    /// Ends after this many seconds.
    #[serde(default = "CaptureRequest::default_seconds")]
    pub seconds: u64,
    /// Ends when the file would be larger, bytes.
    #[serde(default = "CaptureRequest::default_bytes")]
    pub max_bytes: u64,
    /// Bytes of each frame that are kept.
    #[serde(default = "CaptureRequest::default_snaplen")]
    pub snaplen: u32,
    /// Rewritten packets twice: as they came, and as they left.
    #[serde(default)]
    pub after: bool,
}

/// Terms that all must hold; none = every packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CaptureFilter(pub Vec<FilterTerm>);

/// One thing that is asked of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterTerm {
    /// `host A`: from or to this address.
    Host(IpAddr),
    /// `net A/LENGTH`: from or to an address in this prefix.
    Net(AddressRange),
    /// `port N`: from or to this TCP or UDP port.
    Port(u16),
    /// `proto tcp|udp|sctp|icmp|icmp6|NUMBER`.
    Protocol(u8),
    /// `vip`: from or to the VIP of any service.
    Vip,
    /// `service NAME`: of a flow of this service, or addressed to it.
    Service(ServiceName),
    /// `backend NAME`: to or from a backend of this name.
    Backend(BackendName),
    /// `reason NAME`.
    Reason(Reason),
    /// `class forwarded|passed|dropped`.
    Class(ReasonKind),
}

/// Every term, for error messages and help.
pub const FILTER_HELP: &str = "host ADDRESS, net ADDRESS/LENGTH, port N, proto tcp|udp|sctp|icmp|icmp6|NUMBER, vip, service NAME, backend NAME, reason NAME, class forwarded|passed|dropped, joined by `and`";

impl CaptureRequest {
    /// Most frames.
    pub const MAX_COUNT: u64 = 10_000_000;
    /// Longest capture, seconds.
    pub const MAX_SECONDS: u64 = 3600;
    /// Largest file, bytes.
    pub const MAX_BYTES: u64 = 10 << 30;

    /// Frames unless told otherwise.
    pub const fn default_count() -> u64 {
        10_000
    }

    /// Seconds unless told otherwise.
    pub const fn default_seconds() -> u64 {
        60
    }

    /// Bytes unless told otherwise.
    pub const fn default_bytes() -> u64 {
        100 << 20
    }

    /// Whole frames unless told otherwise.
    pub const fn default_snaplen() -> u32 {
        MAX_SNAPLEN
    }
}

impl FromStr for CaptureFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace().peekable();
        let mut terms = Vec::new();
        while let Some(word) = words.next() {
            let mut argument = || {
                words
                    .next()
                    .ok_or_else(|| format!("`{word}` wants a value: {FILTER_HELP}"))
            };
            terms.push(match word {
                "host" => FilterTerm::Host(parsed(word, argument()?, "an address")?),
                "net" => FilterTerm::Net(argument()?.parse()?),
                "port" => FilterTerm::Port(parsed(word, argument()?, "a number up to 65535")?),
                "proto" => FilterTerm::Protocol(protocol(argument()?)?),
                "vip" => FilterTerm::Vip,
                "service" => FilterTerm::Service(named(argument()?)?),
                "backend" => FilterTerm::Backend(named(argument()?)?),
                "reason" => FilterTerm::Reason(reason(argument()?)?),
                "class" => FilterTerm::Class(class(argument()?)?),
                "or" | "not" | "(" | ")" => return Err(not_understood(word)),
                _ => return Err(format!("`{word}` is no filter: {FILTER_HELP}")),
            });
            match words.next() {
                None => break,
                Some("and") if words.peek().is_some() => {}
                Some("and") => return Err(format!("something must follow `and`: {FILTER_HELP}")),
                Some(other @ ("or" | "not" | "(" | ")")) => return Err(not_understood(other)),
                Some(other) => {
                    return Err(format!(
                        "`and` was expected instead of `{other}`: {FILTER_HELP}"
                    ));
                }
            }
        }
        Ok(Self(terms))
    }
}

fn not_understood(word: &str) -> String {
    format!(
        "`{word}` is not understood: terms can only be joined by `and`; capture more, and narrow it down in Wireshark or tshark"
    )
}

fn parsed<T: FromStr>(word: &str, text: &str, wanted: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_why| format!("`{word}` wants {wanted}, not `{text}`"))
}

fn named<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn protocol(text: &str) -> Result<u8, String> {
    match text {
        "tcp" => Ok(6),
        "udp" => Ok(17),
        "sctp" => Ok(132),
        "icmp" => Ok(1),
        "icmp6" => Ok(58),
        _ => parsed(
            "proto",
            text,
            "tcp, udp, sctp, icmp, icmp6 or a number up to 255",
        ),
    }
}

fn reason(text: &str) -> Result<Reason, String> {
    let found = Reason::ALL.iter().find(|reason| reason.name() == text);
    found
        .copied()
        .ok_or_else(|| format!("`{text}` is no reason: `adc drops --all` lists them"))
}

fn class(text: &str) -> Result<ReasonKind, String> {
    let kinds = [
        ReasonKind::Forwarded,
        ReasonKind::Passed,
        ReasonKind::Dropped,
    ];
    let found = kinds.into_iter().find(|kind| kind.name() == text);
    found.ok_or_else(|| format!("`class` wants forwarded, passed or dropped, not `{text}`"))
}

impl TryFrom<String> for CaptureFilter {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<CaptureFilter> for String {
    fn from(filter: CaptureFilter) -> Self {
        filter.to_string()
    }
}

impl fmt::Display for CaptureFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&terms.join(" and "))
    }
}

impl fmt::Display for FilterTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(address) => write!(f, "host {address}"),
            Self::Net(range) => write!(f, "net {range}"),
            Self::Port(port) => write!(f, "port {port}"),
            Self::Protocol(6) => f.write_str("proto tcp"),
            Self::Protocol(17) => f.write_str("proto udp"),
            Self::Protocol(1) => f.write_str("proto icmp"),
            Self::Protocol(132) => f.write_str("proto sctp"),
            Self::Protocol(58) => f.write_str("proto icmp6"),
            Self::Protocol(number) => write!(f, "proto {number}"),
            Self::Vip => f.write_str("vip"),
            Self::Service(name) => write!(f, "service {name}"),
            Self::Backend(name) => write!(f, "backend {name}"),
            Self::Reason(reason) => write!(f, "reason {}", reason.name()),
            Self::Class(kind) => write!(f, "class {}", kind.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_shown_as_it_is_read() {
        for text in [
            "",
            "host 192.0.2.1",
            "host 2001:db8::1 and port 443",
            "net 192.0.2.0/24 and proto udp and vip",
            "service www and backend web1 and reason no_backend",
            "class dropped and proto 47",
        ] {
            let filter: CaptureFilter = text.parse().unwrap();
            assert_eq!(filter.to_string(), text);
        }
    }

    #[test]
    fn what_is_not_understood_is_named_with_what_would_be() {
        for (text, says) in [
            ("host", "wants a value"),
            ("host web1", "an address"),
            ("port 70000", "65535"),
            ("port 80 or port 81", "`or` is not understood"),
            ("not vip", "Wireshark"),
            ("port 80 and", "follow"),
            ("port 80 port 81", "expected"),
            ("reason nothing", "adc drops --all"),
            ("class lost", "forwarded, passed or dropped"),
            ("tcp", "host ADDRESS"),
        ] {
            let error = text.parse::<CaptureFilter>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}

//! Probes: one question to one backend, bounded in time. The only module of `health` with sockets.

pub(crate) mod echo;
mod failure;
mod http;
mod icmp;
mod reply_filter;
mod request;
mod tcp;
mod tls;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use tokio::time::Instant;

use crate::model::{Monitor, MonitorKind};

use super::Finding;
use failure::{Deadline, Failure};

/// A monitor made ready to run: pattern compiled, certificates loaded. Made once, used for every probe.
#[derive(Debug)]
pub struct Probe {
    kind: Kind,
    timeout: Duration,
    port: Option<u16>,
    opening: tcp::Opening,
}

#[derive(Debug)]
enum Kind {
    Tcp,
    Icmp,
    Http(Box<http::HttpProbe>),
}

/// What one probe found, and how long that took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeOutcome {
    /// What the probe found.
    pub finding: Finding,
    /// From the start of the probe to the finding.
    pub elapsed: Duration,
}

/// A monitor cannot be made ready; the text says what to change.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMonitor {
    /// Not probed at all.
    #[error("a bfd monitor probes nothing: its backend's BFD session says how it is")]
    NotProbed,
    /// Not a method token of RFC 9110 section 9.
    #[error("`{0}` is not an HTTP method; use GET, HEAD, OPTIONS or any other but CONNECT")]
    Method(String),
    /// Not an origin-form request target of RFC 9112 section 3.2.1.
    #[error(
        "`{0}` is not a request path; it must start with `/` and hold no spaces or control characters"
    )]
    Path(String),
    /// Not usable as `Host` header.
    #[error("`{0}` is not a host; use a name or address, with `:port` if need be")]
    Host(String),
    /// Neither a DNS name nor an address.
    #[error("`{0}` cannot be a TLS server name; set `sni` to a DNS name or an IP address")]
    ServerName(String),
    /// The body pattern does not compile.
    #[error("the body pattern cannot be compiled; correct it or use a plain text match")]
    Pattern(#[source] regex::Error),
    /// The CA file cannot be opened, or is not PEM.
    #[error("cannot read CA certificates from {path}; `ca_file` must be a readable PEM file")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The CA file is readable and holds none.
    #[error(
        "{path} holds no certificate; `ca_file` must have at least one PEM block `CERTIFICATE`"
    )]
    EmptyCaFile {
        /// The file.
        path: PathBuf,
    },
    /// A certificate of the CA file is broken.
    #[error("a certificate in {path} cannot be used as a CA; replace it")]
    CaCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
    /// No system trust store was found.
    #[error(
        "this system has no usable CA certificates; install `ca-certificates`, or set `ca_file`, or `verify = false`"
    )]
    NoSystemRoots,
    /// The TLS library refused its own settings.
    #[error("the TLS client cannot be set up")]
    Tls(#[source] rustls::Error),
}

impl Probe {
    /// Makes a monitor ready. Reads the CA file or the system's trust store if it needs one.
    pub fn new(monitor: &Monitor) -> Result<Self, InvalidMonitor> {
        let kind = match &monitor.kind {
            MonitorKind::Tcp => Kind::Tcp,
            MonitorKind::Icmp => Kind::Icmp,
            MonitorKind::Http(check) => Kind::Http(Box::new(http::HttpProbe::new(check)?)),
            MonitorKind::Bfd(_) => return Err(InvalidMonitor::NotProbed),
        };
        Ok(Self {
            kind,
            timeout: monitor.timeout,
            port: monitor.port,
            opening: if monitor.send_proxy {
                tcp::Opening::ProxyHeader
            } else {
                tcp::Opening::Plain
            },
        })
    }

    /// Probes the backend at `address`; returns within the monitor's timeout.
    ///
    /// Dropping the future closes its socket.
    pub async fn run(&self, address: SocketAddr) -> ProbeOutcome {
        let mut address = address;
        if let Some(port) = self.port {
            address.set_port(port);
        }
        let started = Instant::now();
        let deadline = Deadline::after(started, self.timeout);
        // Boxed: tens of thousands of tasks wait between probes, only the few that probe need this memory.
        let answer: Result<String, Failure> = match &self.kind {
            Kind::Tcp => Box::pin(tcp::probe(address, self.opening, deadline)).await,
            Kind::Icmp => Box::pin(icmp::probe(address, deadline)).await,
            Kind::Http(http) => Box::pin(http.probe(address, self.opening, deadline)).await,
        };
        ProbeOutcome {
            finding: answer.map_or_else(Failure::into_finding, Finding::Passed),
            elapsed: started.elapsed(),
        }
    }
}

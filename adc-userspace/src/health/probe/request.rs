//! The request of an HTTP monitor and what its answer must be. Pure: no sockets here.

use std::net::SocketAddr;

use http_body_util::Empty;
use hyper::{
    Method, Request, Uri,
    body::Bytes,
    header::{CONNECTION, HOST, HeaderValue, USER_AGENT},
    http::uri::Authority,
};
use regex::bytes::Regex;

use crate::model::{BodyMatch, HttpCheck, StatusRange};

use super::{
    InvalidMonitor,
    failure::{Excerpt, Failure},
};

/// How much of a body is looked at, in bytes.
pub(super) const BODY_LIMIT: usize = 64 * 1024;

/// Sent by every HTTP probe.
const AGENT: &str = concat!("adc/", env!("CARGO_PKG_VERSION"));

/// The parts of the request that are equal for all backends.
#[derive(Debug)]
pub(super) struct RequestTemplate {
    method: Method,
    path: Uri,
    host: Option<Authority>,
}

/// What the answer must be.
#[derive(Debug)]
pub(super) struct Expectation {
    status: Vec<StatusRange>,
    pub(super) body: Option<Pattern>,
}

/// What the body must hold.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    /// Length of a plain text in bytes; `None` for a regular expression, whose anchors can only be
    /// judged on the whole.
    text_len: Option<usize>,
    shown: String,
}

impl RequestTemplate {
    pub(super) fn new(check: &HttpCheck) -> Result<Self, InvalidMonitor> {
        let method = Method::from_bytes(check.method.as_bytes())
            .ok()
            // CONNECT asks for a tunnel and has no path (RFC 9110 section 9.3.6).
            .filter(|method| method != Method::CONNECT)
            .ok_or_else(|| InvalidMonitor::Method(check.method.clone()))?;
        let path = check
            .path
            .parse::<Uri>()
            .ok()
            .filter(|uri| uri.authority().is_none() && check.path.starts_with('/'))
            .ok_or_else(|| InvalidMonitor::Path(check.path.clone()))?;
        let host = check.host.as_deref().map(authority).transpose()?;
        Ok(Self { method, path, host })
    }

    /// The name in `Host`, without port and brackets.
    pub(super) fn host_name(&self) -> Option<&str> {
        let host = self.host.as_ref()?.host();
        Some(host.trim_start_matches('[').trim_end_matches(']'))
    }

    /// The request for one backend.
    pub(super) fn build(
        &self,
        address: SocketAddr,
        default_port: u16,
    ) -> Result<Request<Empty<Bytes>>, Failure> {
        let host = match &self.host {
            Some(host) => HeaderValue::from_str(host.as_str()),
            None => HeaderValue::from_str(&host_of(address, default_port)),
        };
        let host = host.map_err(|error| Failure::Answer(format!("http request: {error}")))?;
        let mut request = Request::new(Empty::new());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, host);
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        Ok(request)
    }
}

fn authority(host: &str) -> Result<Authority, InvalidMonitor> {
    let invalid = || InvalidMonitor::Host(host.to_owned());
    host.parse::<Authority>()
        .ok()
        // User information is no part of a Host field (RFC 9110 section 7.2).
        .filter(|authority| !authority.as_str().contains('@') && !authority.host().is_empty())
        .ok_or_else(invalid)
}

/// `Host` for an address: the port is left out where it is the scheme's own (RFC 9110 section 7.2),
/// and an IPv6 zone is never sent (RFC 6874 section 4).
fn host_of(address: SocketAddr, default_port: u16) -> String {
    let port = address.port();
    match address {
        SocketAddr::V4(v4) if port == default_port => v4.ip().to_string(),
        SocketAddr::V4(v4) => format!("{}:{port}", v4.ip()),
        SocketAddr::V6(v6) if port == default_port => format!("[{}]", v6.ip()),
        SocketAddr::V6(v6) => format!("[{}]:{port}", v6.ip()),
    }
}

impl Expectation {
    pub(super) fn new(check: &HttpCheck) -> Result<Self, InvalidMonitor> {
        Ok(Self {
            status: check.status.clone(),
            body: check.body.as_ref().map(Pattern::new).transpose()?,
        })
    }

    pub(super) fn check_status(&self, status: u16) -> Result<(), Failure> {
        let accepted = |range: &StatusRange| (range.first..=range.last).contains(&status);
        if self.status.iter().any(accepted) {
            return Ok(());
        }
        let ranges: Vec<String> = self.status.iter().copied().map(shown_range).collect();
        Err(Failure::Answer(format!(
            "http: status {status}, expected {}",
            ranges.join(", ")
        )))
    }
}

fn shown_range(range: StatusRange) -> String {
    if range.first == range.last {
        range.first.to_string()
    } else {
        format!("{}-{}", range.first, range.last)
    }
}

impl Pattern {
    fn new(body: &BodyMatch) -> Result<Self, InvalidMonitor> {
        let (source, text_len, shown) = match body {
            BodyMatch::Text(text) => (
                regex::escape(text),
                Some(text.len()),
                Excerpt(text).to_string(),
            ),
            BodyMatch::Regex(source) => (
                source.clone(),
                None,
                format!("a match of {}", Excerpt(source)),
            ),
        };
        let regex = Regex::new(&source).map_err(InvalidMonitor::Pattern)?;
        Ok(Self {
            regex,
            text_len,
            shown,
        })
    }

    /// Whether the answer is already certain after `body` grew from `seen` bytes to its present length.
    /// Only what is new is searched, so a body that comes in single bytes costs no more.
    pub(super) fn found_early(&self, body: &[u8], seen: usize) -> bool {
        self.text_len.is_some_and(|len| {
            let from = seen.saturating_sub(len.saturating_sub(1));
            body.get(from..)
                .is_some_and(|fresh| self.regex.is_match(fresh))
        })
    }

    /// Judges the whole body (or its first [`BODY_LIMIT`] bytes).
    pub(super) fn check(&self, body: &[u8]) -> Result<(), Failure> {
        if self.regex.is_match(body) {
            return Ok(());
        }
        Err(Failure::Answer(format!(
            "http: body lacks {} (looked at {} bytes)",
            self.shown,
            body.len()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_at_once_wherever_the_reads_split_it() {
        let pattern = Pattern::new(&BodyMatch::Text("ready".into())).unwrap();
        let body = b"all ready";
        for seen in 0..body.len() {
            assert!(!pattern.found_early(&body[..seen], 0), "{seen} bytes");
            assert!(pattern.found_early(body, seen), "split at {seen}");
        }
    }

    #[test]
    fn a_regular_expression_is_only_judged_on_the_whole() {
        let pattern = Pattern::new(&BodyMatch::Regex("^ok$".into())).unwrap();
        assert!(!pattern.found_early(b"ok", 0));
        assert!(pattern.check(b"ok").is_ok());
        assert!(pattern.check(b"okay").is_err());
    }

    #[test]
    fn the_host_header_leaves_out_the_default_port_and_the_zone() {
        for (address, default_port, host) in [
            ("192.0.2.1:80", 80, "192.0.2.1"),
            ("192.0.2.1:443", 80, "192.0.2.1:443"),
            ("[2001:db8::1]:443", 443, "[2001:db8::1]"),
            ("[fe80::1%3]:8080", 80, "[fe80::1]:8080"),
        ] {
            assert_eq!(host_of(address.parse().unwrap(), default_port), host);
        }
    }
}

//! `[monitor.NAME]`.

use std::{collections::BTreeMap, time::Duration};

use super::{
    super::{
        bounds,
        error::Fault,
        words::{METHODS, MonitorType},
    },
    bfd,
    node::absolute_path,
    section::{Section, wrong_value_type},
};
use crate::model::{
    BodyMatch, HttpCheck, InitialState, Monitor, MonitorKind, MonitorName, StatusRange, TlsVerify,
};

const HTTP_KEYS: [&str; 6] = ["method", "path", "host", "status", "body", "body_regex"];
const TLS_KEYS: [&str; 3] = ["sni", "tls_verify", "ca_file"];
const DEFAULT_INTERVAL: Duration = Duration::from_secs(2);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
const DEFAULT_JITTER_PERCENT: u8 = 10;

pub(super) fn monitors(root: &Section<'_>) -> BTreeMap<MonitorName, Monitor> {
    let mut monitors = BTreeMap::new();
    for (name, section) in root.named("monitor") {
        if let Some(name) = section.name::<MonitorName>(name) {
            monitors.insert(name, monitor(&section));
        }
        section.finish();
    }
    monitors
}

fn monitor(section: &Section<'_>) -> Monitor {
    section.require("type", "tcp, http, https, icmp, bfd");
    let kind = section.word::<MonitorType>("type");
    if kind == Some(MonitorType::Bfd) {
        refuse(section, &HTTP_KEYS, "http and https");
        refuse(section, &TLS_KEYS, "https");
        return bfd::monitor(section);
    }
    refuse(section, &["multiplier"], "bfd");
    let interval = section.duration("interval", bounds::INTERVAL);
    let timeout = section.duration("timeout", bounds::PROBE_TIMEOUT);
    let interval = interval.unwrap_or(DEFAULT_INTERVAL);
    // A short interval alone shortens the timeout with it.
    let timeout_or_default = timeout.unwrap_or(DEFAULT_TIMEOUT.min(interval));
    if timeout_or_default > interval {
        let shown = humantime::format_duration;
        let problem = "longer than the interval, so probes of one backend would overlap";
        let fault = Fault::new(problem).value(shown(timeout_or_default).to_string());
        let allowed = format!("at most {}, the interval", shown(interval));
        section.fault("timeout", fault.allowed(allowed));
    }
    let port = section.integer("port", bounds::PORT);
    if kind == Some(MonitorType::Icmp) && section.has("port") {
        section.fault("port", Fault::new("an icmp monitor has no port; remove it"));
    }
    let send_proxy = section.boolean("send_proxy").unwrap_or(false);
    if kind == Some(MonitorType::Icmp) && send_proxy {
        let problem = "an icmp monitor opens no connection that a PROXY protocol header could begin; remove it, or use type tcp, http or https";
        section.fault("send_proxy", Fault::new(problem).value("true"));
    }
    Monitor {
        kind: monitor_kind(section, kind),
        interval,
        timeout: timeout_or_default,
        rise: section.integer("rise", bounds::RISE_FALL).unwrap_or(2),
        fall: section.integer("fall", bounds::RISE_FALL).unwrap_or(3),
        jitter_percent: section
            .percent("jitter", bounds::JITTER_PERCENT)
            .unwrap_or(DEFAULT_JITTER_PERCENT),
        initial: section.word("initial").unwrap_or(InitialState::Down),
        port,
        send_proxy,
    }
}

/// The kind of probe; without a readable type every key is read, so that its errors are found too.
fn monitor_kind(section: &Section<'_>, kind: Option<MonitorType>) -> MonitorKind {
    match kind {
        Some(MonitorType::Tcp) => {
            refuse(section, &HTTP_KEYS, "http and https");
            refuse(section, &TLS_KEYS, "https");
            MonitorKind::Tcp
        }
        Some(MonitorType::Icmp) => {
            refuse(section, &HTTP_KEYS, "http and https");
            refuse(section, &TLS_KEYS, "https");
            MonitorKind::Icmp
        }
        Some(MonitorType::Bfd) => bfd::monitor(section).kind,
        Some(MonitorType::Http) => {
            refuse(section, &TLS_KEYS, "https");
            MonitorKind::Http(http_check(section, None))
        }
        Some(MonitorType::Https) | None => {
            let tls = tls_verify(section);
            MonitorKind::Http(http_check(section, Some(tls)))
        }
    }
}

fn refuse(section: &Section<'_>, keys: &[&'static str], kinds: &str) {
    for key in keys {
        if section.takes_and_has(key) {
            let problem = format!("only monitors of type {kinds} have this key; remove it");
            section.fault(key, Fault::new(problem));
        }
    }
}

fn http_check(section: &Section<'_>, tls: Option<TlsVerify>) -> HttpCheck {
    let method = section.choice("method", METHODS, &[]).unwrap_or("GET");
    let check = HttpCheck {
        method: method.to_owned(),
        path: visible_text(
            section,
            "path",
            "a path that starts with /, other characters than visible ASCII as %XX",
            |text| text.starts_with('/'),
        )
        .unwrap_or_else(|| "/".to_owned()),
        host: visible_text(
            section,
            "host",
            "a host name or address, with a port if need be",
            |text| !text.contains('/'),
        ),
        status: status(section),
        body: body(section),
        tls,
    };
    if method == "HEAD" && check.body.is_some() {
        let problem = "an answer to HEAD has no body to look at";
        section.fault(
            "method",
            Fault::new(problem)
                .value(method)
                .allowed("GET, OPTIONS, POST, PUT"),
        );
    }
    check
}

/// A non-empty string of visible ASCII (it goes into a request line or a header) that is `good`.
fn visible_text(
    section: &Section<'_>,
    key: &'static str,
    allowed: &str,
    good: impl FnOnce(&str) -> bool,
) -> Option<String> {
    let text = section.text(key)?;
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) && good(text) {
        return Some(text.to_owned());
    }
    section.fault(
        key,
        Fault::new("not valid here").value(text).allowed(allowed),
    );
    None
}

fn status(section: &Section<'_>) -> Vec<StatusRange> {
    let allowed = "an array of status codes 100 to 599 and ranges, such as [200, \"300-399\"]";
    let given = section.array("status", allowed);
    if section.is_empty_array("status") {
        section.fault(
            "status",
            Fault::new("is empty: no answer could pass").allowed(allowed),
        );
    }
    if given.is_empty() {
        return vec![StatusRange {
            first: 200,
            last: 299,
        }];
    }
    let mut ranges = Vec::new();
    for (path, value) in given {
        let range = match (value.as_integer(), value.as_str()) {
            (Some(code), _) => u16::try_from(code).ok().map(|code| (code, code)),
            (None, Some(text)) => status_range(text),
            (None, None) => {
                section.fault_at(&path, wrong_value_type(value, allowed));
                continue;
            }
        };
        let valid = |(first, last): &(u16, u16)| {
            first <= last && bounds::STATUS.contains(first) && bounds::STATUS.contains(last)
        };
        if let Some((first, last)) = range.filter(valid) {
            ranges.push(StatusRange { first, last });
        } else {
            let shown = value.clone().decorated("", "").to_string();
            let fault = Fault::new("not a status code or range").value(shown);
            section.fault_at(&path, fault.allowed(allowed));
        }
    }
    ranges
}

fn status_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}

fn body(section: &Section<'_>) -> Option<BodyMatch> {
    let text = section.text("body");
    let regex = section.text("body_regex");
    if section.has("body") && section.has("body_regex") {
        let problem = "`body` and `body_regex` are both given; remove one";
        section.fault("body_regex", Fault::new(problem));
    }
    for (key, value) in [("body", text), ("body_regex", regex)] {
        if value == Some("") {
            section.fault(
                key,
                Fault::new("is empty, so every answer would pass; remove it"),
            );
        }
    }
    if let Some(pattern) = regex {
        if let Err(error) = regex::Regex::new(pattern) {
            let error = error.to_string();
            let cause = error.lines().last().unwrap_or_default();
            let cause = cause.trim_start_matches("error: ");
            let fault = Fault::new(format!("not a regular expression: {cause}")).value(pattern);
            section.fault(
                "body_regex",
                fault.allowed("the syntax of the Rust `regex` crate"),
            );
        }
        return Some(BodyMatch::Regex(pattern.to_owned()));
    }
    text.map(|text| BodyMatch::Text(text.to_owned()))
}

fn tls_verify(section: &Section<'_>) -> TlsVerify {
    let tls = TlsVerify {
        sni: visible_text(section, "sni", "a host name", |text| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        }),
        verify: section.boolean("tls_verify").unwrap_or(true),
        ca_file: absolute_path(section, "ca_file"),
    };
    if !tls.verify && tls.ca_file.is_some() {
        let problem = "has no effect, since `tls_verify = false` trusts every certificate; remove one of the two";
        section.fault("ca_file", Fault::new(problem));
    }
    tls
}

//! Why a machine or an interface will not do, and how to mend it. Needs no running agent.
//!
//! [`examine`] looks (the modules `host`, `links`, `xdp_features`, `ethtool` and `pins` do the looking) and `judge`, which
//! is pure, turns what was seen into findings.

mod ethtool;
mod host;
mod judge;
mod links;
mod netlink;
mod pins;
#[cfg(test)]
mod tests;
mod xdp_features;

use std::{collections::BTreeMap, fmt, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{model::AttachMode, neighbours::LinkKind};

use judge::{Interface, Peer};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: `host`, or the name of an interface.
    pub subject: String,
    /// What was found, in one sentence.
    pub what: String,
    /// How to mend it, in one sentence; `None` if there is nothing to mend.
    pub remedy: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Works, but worse than it could, or not in every case.
    Warning,
    /// adc can not work like this.
    Error,
}

/// Whether this kernel is known to be older than adc supports.
pub(crate) fn kernel_is_too_old() -> bool {
    host::kernel_is_too_old()
}

/// How the XDP program on an interface is attached; `None` if there is none, or not in one of adc's modes.
pub(crate) fn attach_mode(interface: &str) -> io::Result<Option<AttachMode>> {
    let links = links::Links::list()?;
    let attached = links.named(interface).and_then(|found| found.attached);
    Ok(attached.and_then(|attached| match attached.mode {
        "native" => Some(AttachMode::Native),
        "skb" => Some(AttachMode::Skb),
        _ => None,
    }))
}

/// Every device and the XDP program on it, by name: the program's id, `None` = there is no program.
///
/// # Errors
/// The devices can not be listed.
pub(crate) fn programs() -> io::Result<BTreeMap<String, Option<u32>>> {
    let links = links::Links::list()?;
    let programs = links.iter().map(|found| {
        let program = found.attached.as_ref().map(|attached| attached.program);
        (found.link.name.clone(), program)
    });
    Ok(programs.collect())
}

/// Examines this host and the interfaces (of the calling thread's network namespace); `pin_path` is
/// `dataplane.pin_path`. Host findings come first, then each interface's, in the order that attaching meets them.
pub fn examine(interfaces: &[String], pin_path: &Path) -> Vec<Finding> {
    let mut findings = host::findings(pin_path);
    if interfaces.is_empty() {
        return findings;
    }
    match links::Links::list() {
        Ok(links) => {
            for name in interfaces {
                findings.extend(examine_interface(&links, interfaces, name, pin_path));
            }
        }
        Err(error) => findings.push(Finding::error(
            "host",
            format!("the network devices can not be listed: {error}"),
            "check that netlink sockets are permitted (seccomp, container policy)",
        )),
    }
    findings
}

/// One sentence that says why adc could not be attached to `interface`, with the remedy. For use after an
/// attach has failed: it looks for the cause, and says so if it finds none.
pub fn attach_refusal(interface: &str, pin_path: &Path) -> String {
    let findings = examine(&[interface.to_owned()], pin_path);
    let worst = |severity| findings.iter().find(|finding| finding.severity == severity);
    let bpffs = || {
        findings
            .iter()
            .find(|finding| host::is_missing_bpffs(finding))
    };
    match worst(Severity::Error).or_else(bpffs) {
        Some(finding) => format!("can not attach to {interface}: {}", finding.sentence()),
        None => format!(
            "can not attach to {interface}: the kernel refused for a reason adc does not recognise; \
             look at the last lines of `dmesg`, or set dataplane.attach = \"skb\" to do without the driver"
        ),
    }
}

/// Why native mode would not do on a device that has others below it, and which of those to attach to; `None` for any
/// other device, or if it can not be looked at.
pub(crate) fn below(interface: &str) -> Option<String> {
    let links = links::Links::list().ok()?;
    let found = links.named(interface)?;
    let ports = links.ports_of(found.link.index);
    let lower = links.lower_of(&found.link);
    let (what, remedy) = judge::stacked(&found.link, &ports, lower.as_deref());
    (!what.is_empty()).then(|| format!("{what}; {remedy}"))
}

fn examine_interface(
    links: &links::Links,
    all: &[String],
    name: &str,
    pin_path: &Path,
) -> Vec<Finding> {
    let Some(found) = links.named(name) else {
        return vec![Finding::error(
            name,
            "there is no such interface here".into(),
            &format!(
                "correct the name in dataplane.interfaces (there are: {})",
                links.names()
            ),
        )];
    };
    let interface = Interface {
        link: found.link.clone(),
        ports: links.ports_of(found.link.index),
        lower: links.lower_of(&found.link),
        attached: found.attached,
        ours: found
            .attached
            .map(|attached| pins::holds(pin_path, found.link.index, attached.program)),
        driver: ethtool::driver(name).ok(),
        features: ethtool::features(name).ok(),
        channels: ethtool::channels(name).ok(),
        queues: found.rx_queues,
        xdp: xdp_features::of(found.link.index),
        peer: peer(links, found),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        page_size: host::page_size(),
        bond: links.bond_of(&found.link, all),
        vlans: links.vlans_on(&found.link),
        alone: all.len() == 1,
    };
    judge::interface(&interface)
}

fn peer(links: &links::Links, found: &links::Found) -> Option<Peer> {
    if !matches!(found.link.kind, LinkKind::Veth { .. }) {
        return None;
    }
    Some(match links.peer_of(&found.link) {
        Some(name) => Peer::Here {
            features: ethtool::features(&name).ok(),
            program: links
                .named(&name)
                .is_some_and(|peer| peer.attached.is_some()),
            name,
        },
        None => Peer::Elsewhere,
    })
}

impl Finding {
    fn ok(subject: &str, what: String) -> Self {
        Self {
            severity: Severity::Ok,
            subject: subject.into(),
            what,
            remedy: None,
        }
    }

    fn warning(subject: &str, what: String, remedy: &str) -> Self {
        Self {
            severity: Severity::Warning,
            subject: subject.into(),
            what,
            remedy: Some(remedy.into()),
        }
    }

    fn error(subject: &str, what: String, remedy: &str) -> Self {
        Self {
            severity: Severity::Error,
            ..Self::warning(subject, what, remedy)
        }
    }

    /// Finding and remedy in one sentence.
    pub fn sentence(&self) -> String {
        match &self.remedy {
            Some(remedy) => format!("{}; {remedy}", self.what),
            None => self.what.clone(),
        }
    }
}

impl Severity {
    /// As written in CLI and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

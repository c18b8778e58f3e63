//! Plans as people read them: one line per change.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
    net::IpAddr,
};

use adc_common::abi::{
    BackendEntry, BackendFlags, BackendId, ForwardingMode, HashOn, Hop, Phase, ServiceEntry,
    ServiceId, ServiceKey, Tick, VlanId,
};

use super::{Change, Plan, RingSpec, ServiceLabel, groups::SlotText};
use crate::model::{BackendAddress, Mode, Ports, ProxyProtocol, TransportProtocol, Weight};

/// How many backends a ring's line names before it only counts.
const RING_DETAILS: usize = 6;

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            writeln!(f, "{}", self.line(change))?;
        }
        for kept in &self.draining_out {
            let backend = self.backend(kept.id, &kept.entry);
            writeln!(
                f,
                "= {backend} drains out: kept until its last flow has ended"
            )?;
        }
        match self.changes.len() {
            0 => write!(f, "No changes: the tables hold what is configured."),
            1 => write!(f, "1 change."),
            count => write!(f, "{count} changes."),
        }
    }
}

impl Plan {
    /// One change as a line: `+` is new, `~` changes, `-` goes.
    pub fn line(&self, change: &Change) -> String {
        match change {
            Change::RemoveIndex { key, .. } => format!("- {}", IndexText(*key)),
            Change::PutService { id, entry, before } => {
                self.service_line(*id, entry, before.as_deref())
            }
            Change::PutBackend { id, entry, before } => {
                let backend = self.backend(*id, entry);
                let after = HopText(entry);
                match before {
                    None => format!("+ {backend}: {after}"),
                    Some(before) => format!("~ {backend}: {} → {after}", HopText(before)),
                }
            }
            Change::PutRing {
                service,
                spec,
                before,
            } => self.ring_line(*service, spec, before.as_ref()),
            Change::ClearRing { service, before } => {
                let what = self.ring_line(*service, &RingSpec::default(), before.as_ref());
                format!("{what}; no backend takes new flows")
            }
            Change::PutIndex { key, id } if *id == ServiceId(0) => format!("+ {}", IndexText(*key)),
            Change::PutIndex { key, id } => format!("+ {} (id {})", IndexText(*key), id.0),
            Change::ClearBackend { id, before } => format!("- {}", self.backend(*id, before)),
            Change::ClearService { id } => format!("- service {}", self.service(*id, true)),
            Change::Group(change) => change.to_string(),
        }
    }

    /// `www 203.0.113.10:80/tcp (id 3)`, as far as it is known and asked for.
    pub(super) fn service(&self, id: ServiceId, full: bool) -> String {
        match self.labels.get(&id) {
            None if full => format!("id {}", id.0),
            None => format!("service id {}", id.0),
            Some(ServiceLabel { key, .. }) if !full => service_text(*key),
            Some(ServiceLabel { key, name: None }) => {
                format!("{} (id {})", service_text(*key), id.0)
            }
            Some(ServiceLabel {
                key,
                name: Some(name),
            }) => {
                format!("{name} {} (id {})", service_text(*key), id.0)
            }
        }
    }

    fn backend(&self, id: BackendId, entry: &BackendEntry) -> String {
        let service = self.service(entry.service, false);
        format!(
            "backend {} of {service} (id {})",
            BackendAddress::of(entry),
            id.0
        )
    }

    fn service_line(
        &self,
        id: ServiceId,
        entry: &ServiceEntry,
        before: Option<&ServiceEntry>,
    ) -> String {
        let service = self.service(id, true);
        match before {
            None => format!("+ service {service}"),
            Some(before) => format!("~ service {service}: {}", parameters(before, entry)),
        }
    }

    fn ring_line(&self, id: ServiceId, spec: &RingSpec, before: Option<&RingSpec>) -> String {
        let service = self.service(id, false);
        let count = Count(spec.members.len());
        let Some(before) = before else {
            let details = Details(moves(&RingSpec::default(), spec));
            return format!("+ ring of {service}: {count}{details}");
        };
        let old = before.members.len();
        let details = Details(moves(before, spec));
        format!("~ ring of {service}: {old} → {count}{details}")
    }
}

/// `203.0.113.10:80/tcp`.
pub(super) fn service_text(key: ServiceKey) -> String {
    let place = place_text(key);
    match TransportProtocol::of(key.protocol) {
        Some(protocol) => format!("{place}/{}", protocol.name()),
        None => format!("{place}/{}", key.protocol.0),
    }
}

/// `203.0.113.10:80`, `203.0.113.10:5000-5100` or `203.0.113.10:any`.
fn place_text(key: ServiceKey) -> String {
    let vip = IpAddr::from(key.vip);
    let (first, last) = key.ports().unwrap_or((key.port.host(), key.port.host()));
    let ports = match (first, last) {
        (0, u16::MAX) => Ports::Any,
        (first, last) if first == last => Ports::One(first),
        (first, last) => Ports::Range { first, last },
    };
    if vip.is_ipv4() {
        format!("{vip}:{ports}")
    } else {
        format!("[{vip}]:{ports}")
    }
}

/// What a key of the index is.
struct IndexText(ServiceKey);

impl Display for IndexText {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(key) = self;
        if *key == ServiceKey::vip_marker(key.vip) {
            write!(f, "VIP {}", IpAddr::from(key.vip))
        } else if *key == ServiceKey::ping_refusal(key.vip) {
            write!(f, "VIP {}: no answer to pings", IpAddr::from(key.vip))
        } else if *key == ServiceKey::snat_marker(key.vip) {
            write!(f, "SNAT address {}", IpAddr::from(key.vip))
        } else {
            write!(f, "index {}", service_text(*key))
        }
    }
}

/// The next hop of a backend.
struct HopText<'a>(&'a BackendEntry);

impl Display for HopText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(entry) = self;
        if !entry.flags.contains(BackendFlags::HOP_RESOLVED) {
            f.write_str("no next hop")?;
            return write!(f, "{}{}", down_text(entry.flags), SlotText(entry.group));
        }
        let Hop {
            mac,
            vlan,
            inner_vlan,
            interface,
        } = entry.hop;
        f.write_str("next hop ")?;
        for (index, byte) in mac.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        write!(f, " on interface {}", interface.0)?;
        for tag in [vlan, inner_vlan] {
            if tag != VlanId::NONE {
                write!(f, " vlan {tag}")?;
            }
        }
        write!(f, "{}{}", down_text(entry.flags), SlotText(entry.group))
    }
}

/// What becomes of the flows of a backend.
fn down_text(flags: BackendFlags) -> &'static str {
    if flags.contains(BackendFlags::DOWN_RESET) {
        ", down: its flows are reset"
    } else if flags.contains(BackendFlags::DOWN_RESELECT) {
        ", down: its flows are scheduled anew"
    } else {
        ""
    }
}

struct Count(usize);

impl Display for Count {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 backend"),
            count => write!(f, "{count} backends"),
        }
    }
}

/// Weight of each backend before and after, where they differ; 0 = not in the ring.
fn moves(before: &RingSpec, after: &RingSpec) -> Vec<(BackendAddress, Weight, Weight)> {
    let mut weights: BTreeMap<BackendAddress, (Weight, Weight)> = BTreeMap::new();
    let none = (Weight(0), Weight(0));
    for member in &before.members {
        weights
            .entry(BackendAddress(member.identity))
            .or_insert(none)
            .0 = member.weight;
    }
    for member in &after.members {
        weights
            .entry(BackendAddress(member.identity))
            .or_insert(none)
            .1 = member.weight;
    }
    weights
        .into_iter()
        .filter(|(_, (old, new))| old != new)
        .map(|(address, (old, new))| (address, old, new))
        .collect()
}

struct Details(Vec<(BackendAddress, Weight, Weight)>);

impl Display for Details {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (address, Weight(old), Weight(new)) in self.0.iter().take(RING_DETAILS) {
            match (old, new) {
                (0, new) => write!(f, ", +{address} weight {new}")?,
                (_, 0) => write!(f, ", -{address}")?,
                (old, new) => write!(f, ", {address} weight {old} → {new}")?,
            }
        }
        match self.0.len().saturating_sub(RING_DETAILS) {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

/// What differs between two contents of a service's slot.
fn parameters(before: &ServiceEntry, after: &ServiceEntry) -> String {
    let mut parts = Vec::new();
    if before.key != after.key {
        parts.push(format!(
            "{} → {}",
            service_text(before.key),
            service_text(after.key)
        ));
    }
    if before.mode != after.mode {
        let (old, new) = (mode_text(before.mode), mode_text(after.mode));
        parts.push(format!("mode {old} → {new}"));
    }
    if before.snat != after.snat {
        let (old, new) = (snat_text(before), snat_text(after));
        parts.push(format!("snat {old} → {new}"));
    }
    if before.proxy_protocol != after.proxy_protocol {
        let (old, new) = (proxy_text(before), proxy_text(after));
        parts.push(format!("PROXY protocol {old} → {new}"));
    }
    if before.group != after.group {
        let (old, new) = (before.group.0, after.group.0);
        parts.push(format!("HA group slot {old} → {new}"));
    }
    if before.hash_on != after.hash_on {
        let (old, new) = (hash_text(before.hash_on), hash_text(after.hash_on));
        parts.push(format!("hash {old} → {new}"));
    }
    if before.hash_seed != after.hash_seed {
        parts.push(format!(
            "hash seed {:08x} → {:08x}",
            before.hash_seed, after.hash_seed
        ));
    }
    for (phase, (old, new)) in (0..).zip(before.timeouts.iter().zip(&after.timeouts)) {
        if old != new {
            let (old, new) = (seconds(*old), seconds(*new));
            parts.push(format!("{} timeout {old} s → {new} s", Phase(phase).name()));
        }
    }
    parts.join(", ")
}

fn mode_text(mode: ForwardingMode) -> &'static str {
    match mode {
        ForwardingMode::NAT => Mode::Nat.name(),
        ForwardingMode::FULL_NAT => Mode::FullNat.name(),
        ForwardingMode::DSR_L2 => Mode::DsrL2.name(),
        ForwardingMode::DSR_IPIP => Mode::DsrIpip.name(),
        ForwardingMode::DSR_GUE => Mode::DsrGue.name(),
        ForwardingMode(_) => "unknown",
    }
}

fn snat_text(entry: &ServiceEntry) -> String {
    let set = entry.snat.iter().filter(|address| !address.is_unset());
    let addresses: Vec<_> = set.map(|a| IpAddr::from(*a).to_string()).collect();
    if addresses.is_empty() {
        "none".to_owned()
    } else {
        addresses.join(" ")
    }
}

const fn proxy_text(entry: &ServiceEntry) -> &'static str {
    if entry.proxy_protocol == 0 {
        "off"
    } else {
        ProxyProtocol::V2.name()
    }
}

fn hash_text(hash: HashOn) -> &'static str {
    match hash {
        HashOn::FIVE_TUPLE => "five-tuple",
        HashOn::SOURCE => "source",
        HashOn(_) => "unknown",
    }
}

/// Whole seconds were rounded up to ticks, so rounding down gives them back.
fn seconds(tick: Tick) -> u64 {
    tick.nanos() / 1_000_000_000
}

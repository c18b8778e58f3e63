//! From what was seen of an interface to findings. Pure.

mod above;
mod stalls;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, io};

use crate::neighbours::{Link, LinkKind};

use super::{Finding, ethtool::Channels, links::Attached, xdp_features::XdpFeatures};

/// Bytes of a page that are not payload when one page holds one packet: XDP headroom (256), the tail kept for
/// `skb_shared_info` (320), the Ethernet header (14) and room for two VLAN tags (8). 4 096-byte pages leave 3 498,
/// the limit that most drivers enforce; veth counts no tags and takes 8 bytes more.
const PAGE_OVERHEAD: u32 = 256 + 320 + 14 + 8;

pub(super) use above::Bond;

/// What was seen of an interface.
pub(super) struct Interface {
    pub(super) link: Link,
    /// Names of its ports, if it is a bond or a bridge.
    pub(super) ports: String,
    /// Name of its lower device, if it is a VLAN.
    pub(super) lower: Option<String>,
    /// The XDP program on it.
    pub(super) attached: Option<Attached>,
    /// Whether that program is ours.
    pub(super) ours: Option<io::Result<bool>>,
    /// The driver's name.
    pub(super) driver: Option<String>,
    /// Features that are on.
    pub(super) features: Option<BTreeSet<String>>,
    /// Receive queues, if the driver tells.
    pub(super) channels: Option<Channels>,
    /// Receive queues it was made with.
    pub(super) queues: Option<u32>,
    /// What the driver can do for XDP.
    pub(super) xdp: XdpFeatures,
    /// The other end, if it is a veth.
    pub(super) peer: Option<Peer>,
    /// CPUs that can process packets.
    pub(super) cpus: usize,
    /// Bytes per memory page.
    pub(super) page_size: u32,
    /// The bond that it is a port of.
    pub(super) bond: Option<Bond>,
    /// Names of the VLAN devices on it, or on its bond.
    pub(super) vlans: Vec<String>,
    /// It is the only one: clients and backends are behind it.
    pub(super) alone: bool,
}

/// The other end of a veth.
pub(super) enum Peer {
    /// In this namespace too.
    Here {
        /// Its name.
        name: String,
        /// Its features that are on.
        features: Option<BTreeSet<String>>,
        /// Whether an XDP program is on it.
        program: bool,
    },
    /// In another namespace, where it can not be looked at.
    Elsewhere,
}

/// All findings about an interface, in the order that attaching to it meets them.
pub(super) fn interface(seen: &Interface) -> Vec<Finding> {
    let mut findings = vec![
        kind(seen),
        state(seen),
        program(seen),
        driver(seen),
        mtu(seen),
    ];
    findings.extend(aggregation(seen));
    findings.extend(veth(seen));
    findings.extend(stalls::one_arm(seen));
    findings.extend(stalls::merged(seen));
    findings.extend(above::bond(seen));
    findings.extend(above::tags(seen));
    findings.extend(queues(seen));
    findings
}

fn kind(seen: &Interface) -> Finding {
    let name = &seen.link.name;
    match seen.link.kind {
        LinkKind::Macvlan { .. } => Finding::ok(
            name,
            "macvlan, by which no frames to other MACs come: HA groups on it can not have virtual_mac"
                .into(),
        ),
        LinkKind::Plain if seen.link.mac.is_none() => Finding::error(
            name,
            "it is no Ethernet device, and adc writes Ethernet headers".into(),
            "put the Ethernet interface below it into dataplane.interfaces instead",
        ),
        LinkKind::Plain | LinkKind::Veth { .. } => {
            let driver = seen.driver.as_deref().unwrap_or("unknown");
            Finding::ok(name, format!("Ethernet device with driver {driver}"))
        }
        LinkKind::Loopback => Finding::error(
            name,
            "it is the loopback, by which no client comes".into(),
            "put the interface that clients come in by into dataplane.interfaces",
        ),
        LinkKind::Vlan { .. } | LinkKind::Bond { .. } | LinkKind::Bridge => {
            let (what, remedy) = stacked(&seen.link, &seen.ports, seen.lower.as_deref());
            Finding::error(name, what, &remedy)
        }
    }
}

/// What a device is that has others below it, and what to do about it. Empty for any other device.
pub(super) fn stacked(link: &Link, ports: &str, lower: Option<&str>) -> (String, String) {
    let its_ports = format!("put its ports ({ports}) into dataplane.interfaces instead");
    match link.kind {
        LinkKind::Vlan { id, .. } => {
            let lower = lower.unwrap_or("its lower device");
            (
                format!("it is VLAN {id} on {lower}, and VLAN devices run no native XDP"),
                format!(
                    "put {lower} into dataplane.interfaces instead, and set dataplane.vip_interface = \"{}\" if the VIPs are to be there: adc reads and writes the tags itself; or set dataplane.attach = \"skb\", which is slower",
                    link.name
                ),
            )
        }
        // Since Linux 5.15, in some modes, the bond hands the program to its ports (`bond_xdp_set`,
        // drivers/net/bonding/bond_main.c): packets then come in by a port, and that adc must know.
        LinkKind::Bond { .. } => (
            format!("it is a bond of {ports}, and packets reach native XDP by its ports"),
            format!(
                "{its_ports}, all of them, and set dataplane.vip_interface = \"{}\": adc follows routes by the bond to them",
                link.name
            ),
        ),
        LinkKind::Bridge => (
            format!("it is a bridge of {ports}, and bridges run no native XDP"),
            format!("{its_ports}, or set dataplane.attach = \"skb\", which is slower"),
        ),
        LinkKind::Plain | LinkKind::Loopback | LinkKind::Veth { .. } | LinkKind::Macvlan { .. } => {
            Default::default()
        }
    }
}

fn state(seen: &Interface) -> Finding {
    let name = &seen.link.name;
    if !seen.link.up {
        return Finding::warning(
            name,
            "it is down".into(),
            &format!("run `ip link set {name} up`"),
        );
    }
    if !seen.link.carrier {
        return Finding::warning(
            name,
            "it has no carrier".into(),
            "check the cable and the switch port, or set the peer up",
        );
    }
    Finding::ok(name, "it is up".into())
}

fn program(seen: &Interface) -> Finding {
    let name = &seen.link.name;
    let Some(Attached { program, mode }) = seen.attached else {
        return Finding::ok(name, "no XDP program is attached".into());
    };
    match &seen.ours {
        Some(Ok(true)) => Finding::ok(
            name,
            format!("adc's own XDP program is attached (id {program}, {mode} mode)"),
        ),
        Some(Ok(false)) | None => Finding::error(
            name,
            format!(
                "an XDP program that is not adc's is attached (id {program}, {mode} mode), and an interface takes one"
            ),
            &format!(
                "stop what owns it (`bpftool prog show id {program}` names it), or take it off with `ip link set dev {name} xdp off`"
            ),
        ),
        Some(Err(error)) => Finding::warning(
            name,
            format!(
                "an XDP program is attached (id {program}, {mode} mode); whether it is adc's can not be seen: {error}"
            ),
            "run the doctor as root",
        ),
    }
}

fn driver(seen: &Interface) -> Finding {
    let name = &seen.link.name;
    let driver = seen.driver.as_deref().unwrap_or("unknown");
    match seen.xdp {
        XdpFeatures::Unknown => Finding::ok(
            name,
            format!(
                "whether driver {driver} runs XDP is not told by this kernel (6.3 and later do), and will be found out at attach"
            ),
        ),
        XdpFeatures::Known { basic: false, .. } => Finding::error(
            name,
            format!("driver {driver} runs no native XDP"),
            "set dataplane.attach = \"skb\" (works everywhere, slower), or use a network card whose driver does",
        ),
        XdpFeatures::Known {
            redirect: false, ..
        } => Finding::warning(
            name,
            format!(
                "driver {driver} runs native XDP, but can not redirect: packets can only leave by the interface they came in by"
            ),
            "use one interface for clients and backends (one-arm), or set dataplane.attach = \"skb\"",
        ),
        XdpFeatures::Known { target: false, .. } if seen.peer.is_none() => Finding::ok(
            name,
            format!(
                "driver {driver} runs native XDP; it takes packets redirected from other interfaces only once a program is attached, which adc does"
            ),
        ),
        XdpFeatures::Known { .. } => Finding::ok(
            name,
            format!("driver {driver} runs native XDP, with redirects"),
        ),
    }
}

fn mtu(seen: &Interface) -> Finding {
    let (name, mtu) = (&seen.link.name, seen.link.mtu);
    let most = seen.page_size.saturating_sub(PAGE_OVERHEAD);
    if mtu <= most {
        return Finding::ok(
            name,
            format!("MTU {mtu} fits into one XDP buffer (at most {most})"),
        );
    }
    Finding::error(
        name,
        format!(
            "MTU {mtu} is too large: a packet must fit into one XDP buffer, a memory page less its overhead, {most} bytes"
        ),
        &format!("run `ip link set {name} mtu {most}`, or set dataplane.attach = \"skb\""),
    )
}

/// Packets merged by the hardware are no longer the packets that were sent, and most drivers refuse XDP then.
fn aggregation(seen: &Interface) -> Option<Finding> {
    const MERGING: [(&str, &str); 2] = [("rx-lro", "lro"), ("rx-gro-hw", "rx-gro-hw")];
    let name = &seen.link.name;
    let features = seen.features.as_ref()?;
    let on: Vec<&str> = MERGING
        .iter()
        .filter(|(feature, _)| features.contains(*feature))
        .map(|(_, option)| *option)
        .collect();
    if on.is_empty() {
        return Some(Finding::ok(
            name,
            "the card does not merge received packets".into(),
        ));
    }
    let options: Vec<String> = on.iter().map(|option| format!("{option} off")).collect();
    Some(Finding::error(
        name,
        format!(
            "the card merges received packets ({}), and most drivers refuse XDP then",
            on.join(", ")
        ),
        &format!("run `ethtool -K {name} {}`", options.join(" ")),
    ))
}

fn veth(seen: &Interface) -> Vec<Finding> {
    match &seen.peer {
        None => Vec::new(),
        Some(peer) => vec![partial_checksums(seen, peer), receiver(seen, peer)],
    }
}

/// A veth hands over packets as their sender left them: with transmit checksum offload, the checksum holds only the
/// pseudo-header's part, for a card to complete that is not there.
fn partial_checksums(seen: &Interface, peer: &Peer) -> Finding {
    const OFFLOADS: [&str; 3] = [
        "tx-checksum-ip-generic",
        "tx-checksum-ipv4",
        "tx-checksum-ipv6",
    ];
    let name = &seen.link.name;
    match peer {
        Peer::Here {
            name: peer,
            features: Some(features),
            ..
        } => {
            if OFFLOADS.iter().any(|offload| features.contains(*offload)) {
                return Finding::warning(
                    name,
                    format!("its peer {peer} sends packets with unfinished checksums (transmit checksum offload)"),
                    &format!("run `ethtool -K {peer} tx off`"),
                );
            }
            Finding::ok(name, format!("its peer {peer} finishes checksums before sending"))
        }
        Peer::Here { .. } | Peer::Elsewhere => Finding::warning(
            name,
            "its peer can not be looked at from here, and by default a veth sends packets with unfinished checksums".into(),
            "run `ethtool -K PEER tx off` in the peer's network namespace",
        ),
    }
}

/// What XDP sends out of a veth is dropped unless the other end has an XDP program or GRO on; the kernel then does
/// not call this end a target for redirects.
fn receiver(seen: &Interface, peer: &Peer) -> Finding {
    let name = &seen.link.name;
    let peer = match peer {
        Peer::Here { name, .. } => name.as_str(),
        Peer::Elsewhere => "PEER",
    };
    match seen.xdp {
        XdpFeatures::Unknown => Finding::warning(
            name,
            "whether its peer takes packets sent by XDP is not told by this kernel (6.3 and later do)".into(),
            &format!("run `ethtool -K {peer} gro on` where the peer is"),
        ),
        XdpFeatures::Known { target: false, .. } => Finding::warning(
            name,
            "its peer drops packets sent by XDP: it has neither an XDP program nor GRO".into(),
            &format!("run `ethtool -K {peer} gro on` where the peer is"),
        ),
        XdpFeatures::Known { target: true, .. } => {
            Finding::ok(name, "its peer takes packets sent by XDP".into())
        }
    }
}

fn queues(seen: &Interface) -> Option<Finding> {
    let name = &seen.link.name;
    let cpus = seen.cpus;
    let used = seen
        .channels
        .map(|channels| channels.receive)
        .or(seen.queues)?;
    let more = seen.channels.map_or(0, |channels| channels.most);
    let wanted = u32::try_from(cpus).unwrap_or(u32::MAX).min(more);
    if used >= wanted {
        return Some(Finding::ok(
            name,
            format!("{used} receive queues, {cpus} CPUs"),
        ));
    }
    let kind = if seen.peer.is_some() {
        "rx"
    } else {
        "combined"
    };
    Some(Finding::warning(
        name,
        format!(
            "{used} of {more} possible receive queues are used, so at most {used} of {cpus} CPUs process packets"
        ),
        &format!("run `ethtool -L {name} {kind} {wanted}`"),
    ))
}

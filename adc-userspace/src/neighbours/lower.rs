//! From the device that a route names down to the interface that adc is attached to.
//!
//! Supported: the attached interface itself, whatever it is; one or two VLAN devices on it, 802.1Q or 802.1ad; bonds whose ports are attached (the active port, or in the balancing modes the first one
//! that is up and not kept in reserve: the switch accepts a bond's frames on any port). Not supported: bridges, because only the
//! bridge knows which port a MAC is behind.

use std::collections::{BTreeMap, BTreeSet};

use adc_common::abi::{Mac, VlanId};

use super::{Link, LinkKind, Obstacle, virtual_mac::VirtualDevice};

/// More layers than anybody stacks; a loop in the facts ends here.
const MAX_DEPTH: usize = 8;

/// Where packets leave, and with which tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exit {
    /// The attached interface.
    pub(super) ifindex: u32,
    /// Outer tag.
    pub(super) vlan: VlanId,
    /// Inner tag.
    pub(super) inner_vlan: VlanId,
}

/// Follows the devices below `oif` to an attached one.
pub(super) fn exit(
    links: &BTreeMap<u32, Link>,
    attached: &BTreeSet<String>,
    oif: u32,
) -> Result<Exit, Obstacle> {
    let mut tags = Vec::new();
    let mut device = existing(links, oif)?;
    for _ in 0..MAX_DEPTH {
        usable(device)?;
        if attached.contains(&device.name) {
            let (vlan, inner_vlan) = written(&tags, || name_of(links, oif))?;
            return Ok(Exit {
                ifindex: device.index,
                vlan,
                inner_vlan,
            });
        }
        device = match device.kind {
            LinkKind::Vlan {
                id,
                service_tag,
                lower,
            } => {
                tags.push(if service_tag {
                    VlanId::service(id)
                } else {
                    VlanId(id)
                });
                let lower = lower.ok_or_else(|| Obstacle::Vlan {
                    device: device.name.clone(),
                    why: "its lower device is in another network namespace",
                })?;
                existing(links, lower)?
            }
            LinkKind::Bond { active } => bond_port(links, attached, device, active)?,
            LinkKind::Bridge => return Err(Obstacle::Bridge(device.name.clone())),
            // An address of a group may be the only one that this machine has on a link.
            LinkKind::Macvlan { .. } => match VirtualDevice::of(device) {
                Some(above) => existing(links, above.lower)?,
                None => return Err(Obstacle::NotAttached(device.name.clone())),
            },
            LinkKind::Plain | LinkKind::Loopback | LinkKind::Veth { .. } => {
                return Err(Obstacle::NotAttached(device.name.clone()));
            }
        };
    }
    Err(Obstacle::NotAttached(name_of(links, oif)))
}

/// `device` and those on top of it: VLANs, and the bond or bridge that it is a port of. Frames to their MACs are this machine's as
/// well. Not a macvlan: what sits on that is another host to this one, or an HA group, whose virtual MAC the tables know.
fn stack(links: &BTreeMap<u32, Link>, device: &Link) -> BTreeSet<u32> {
    let mut above = BTreeSet::from([device.index]);
    for _ in 0..MAX_DEPTH {
        let stacked = |link: &&Link| match link.kind {
            LinkKind::Vlan { lower, .. } => lower.is_some_and(|lower| above.contains(&lower)),
            LinkKind::Bond { .. } | LinkKind::Bridge => links
                .values()
                .any(|port| above.contains(&port.index) && port.controller == Some(link.index)),
            LinkKind::Plain
            | LinkKind::Loopback
            | LinkKind::Veth { .. }
            | LinkKind::Macvlan { .. } => false,
        };
        let found: Vec<u32> = links.values().filter(stacked).map(|l| l.index).collect();
        let before = above.len();
        above.extend(found);
        if above.len() == before {
            break;
        }
    }
    above
}

/// The names of [`stack`].
pub(super) fn names_above(links: &BTreeMap<u32, Link>, device: &Link) -> BTreeSet<String> {
    let stack = stack(links, device).into_iter();
    stack
        .filter_map(|index| Some(links.get(&index)?.name.clone()))
        .collect()
}

/// The MACs of [`stack`] that differ from that of `device`.
pub(super) fn macs_above(links: &BTreeMap<u32, Link>, device: &Link) -> Vec<Mac> {
    let macs = stack(links, device)
        .into_iter()
        .filter_map(|index| links.get(&index)?.mac)
        .filter(|mac| Some(*mac) != device.mac);
    macs.collect::<BTreeSet<Mac>>().into_iter().collect()
}

fn existing(links: &BTreeMap<u32, Link>, index: u32) -> Result<&Link, Obstacle> {
    links.get(&index).ok_or(Obstacle::NoDevice(index))
}

fn name_of(links: &BTreeMap<u32, Link>, index: u32) -> String {
    links
        .get(&index)
        .map_or_else(|| format!("interface {index}"), |link| link.name.clone())
}

fn usable(device: &Link) -> Result<(), Obstacle> {
    if !device.up {
        return Err(Obstacle::Down(device.name.clone()));
    }
    if !device.carrier {
        return Err(Obstacle::NoCarrier(device.name.clone()));
    }
    Ok(())
}

/// The port that packets for `port` leave by, if that is a port of a bond and the bond would not send by it now: the
/// active one, or one that is up. Flows remember by which port their client's packets came, and a client that only
/// listens would otherwise wait for what is sent into a cable that is cut.
pub(super) fn deputy<'a>(
    links: &'a BTreeMap<u32, Link>,
    attached: &BTreeSet<String>,
    port: &Link,
) -> Option<&'a Link> {
    let bond = links.get(&port.controller?)?;
    let LinkKind::Bond { active } = bond.kind else {
        return None;
    };
    if sends(port, active) {
        return None;
    }
    bond_port(links, attached, bond, active).ok()
}

/// Whether a bond with this active port, or in a mode that uses all, sends by `port`.
fn sends(port: &Link, active: Option<u32>) -> bool {
    let chosen = match active {
        Some(active) => port.index == active,
        None => !port.standby,
    };
    chosen && port.usable()
}

fn bond_port<'a>(
    links: &'a BTreeMap<u32, Link>,
    attached: &BTreeSet<String>,
    bond: &Link,
    active: Option<u32>,
) -> Result<&'a Link, Obstacle> {
    let ports = || {
        links
            .values()
            .filter(|link| link.controller == Some(bond.index))
    };
    ports()
        .find(|port| sends(port, active) && attached.contains(&port.name))
        .ok_or_else(|| Obstacle::BondNotAttached {
            bond: bond.name.clone(),
            ports: ports()
                .map(|port| port.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        })
}

/// The tags as (outer, inner); collected from the top device down, so the inner one comes first.
fn written(tags: &[VlanId], device: impl Fn() -> String) -> Result<(VlanId, VlanId), Obstacle> {
    match *tags {
        [] => Ok((VlanId::NONE, VlanId::NONE)),
        [tag] => Ok((tag, VlanId::NONE)),
        [inner, outer] => Ok((outer, inner)),
        _ => Err(Obstacle::Vlan {
            device: device(),
            why: "more than two tags",
        }),
    }
}

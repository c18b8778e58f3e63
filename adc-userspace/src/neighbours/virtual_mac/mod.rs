//! Devices with the MAC of a virtual router (RFC 9568 §7.3): macvlans on the interface that a group is on.
//!
//! The kernel then answers ARP and neighbour solicitations for the group's addresses with the virtual MAC, and the NIC takes
//! frames to it. A device is down while this node is not active: a macvlan that is down has no MAC on the NIC.
//!
//! Its mode is `vepa`. In mode `private` a multicast or broadcast whose *source* is the device's MAC is delivered to the device
//! and not to the interface (`macvlan_handle_frame`, drivers/net/macvlan.c, Linux 6.18): two nodes that are both active after a
//! partition would not hear each other's adverts, which all come from the virtual MAC.

mod device;
mod settings;
#[cfg(test)]
mod tests;

use std::path::Path;

use futures_util::TryStreamExt;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, MacVlanMode};
use rtnetlink::{LinkMacVlan, LinkMessageBuilder, LinkUnspec};

use self::settings::Arp;
use super::{
    Link, LinkKind, NeighbourError, decode,
    kernel::{Kernel, answered, errno},
};

pub(crate) use device::VirtualDevice;

/// Every device of the machine, as the kernel tells of it.
struct Seen(Vec<LinkMessage>);

/// Makes a device, down, and the interface below ready for it. One that is there is told what it does not do yet, so whoever was
/// interrupted can begin anew; nothing else, as all that is told wakes those who follow devices, who may be trying again.
///
/// # Errors
/// The interface can not have one, which the error explains, or the kernel refuses something.
pub(crate) async fn make(device: VirtualDevice) -> Result<(), NeighbourError> {
    let kernel = Kernel::connect()?;
    let seen = Seen::look(&kernel).await?;
    let lower = seen.by_index(device.lower);
    let (message, link) = lower.ok_or_else(|| gone(device))?;
    fits(&link)?;
    let now = Arp::of(message)
        .ok_or_else(|| refused(&link.name, "the kernel does not tell how it does ARP"))?;
    let before = seen.before(device.lower).unwrap_or(now);
    let name = device.name();
    let index = there_or_added(&kernel, &seen, device, &link).await?;
    // The note first: whatever happens from here on, somebody will know what the interface was like.
    let there = seen.by_name(&name).map(|(message, _)| message);
    let note = before.note(&link.name);
    if there.and_then(alias) != Some(note.as_str()) {
        set(&kernel, index, &name, vec![LinkAttribute::IfAlias(note)]).await?;
    }
    let raised = now.below_virtual();
    if raised != now {
        set(&kernel, link.index, &link.name, vec![raised.attribute()]).await?;
    }
    for attribute in settings::of_device(message, there) {
        set(&kernel, index, &name, vec![attribute]).await?;
    }
    settings::write_files(device, &link.name).map_err(|error| {
        refused(
            &name,
            &format!("writing /proc/sys/net/ipv6/conf/{name}: {error}; the service's unit must let adc write there (ReadWritePaths)"),
        )
    })
}

/// Sets a device up or down.
///
/// # Errors
/// It is not there, or the kernel refuses.
pub(crate) async fn set_up(device: VirtualDevice, up: bool) -> Result<(), NeighbourError> {
    let kernel = Kernel::connect()?;
    let name = device.name();
    let link = kernel.link(&name).await?;
    if link.up == up {
        return Ok(());
    }
    let what = if up { "up" } else { "down" };
    let request = switch(&kernel, link.index, up);
    answered(&format!("set {name} {what}"), request).await
}

/// Takes a device away, and gives the interface below its settings back if it was the last there.
///
/// # Errors
/// The kernel refuses. That the device has gone meanwhile is no error.
pub(crate) async fn remove(device: VirtualDevice) -> Result<(), NeighbourError> {
    let kernel = Kernel::connect()?;
    let seen = Seen::look(&kernel).await?;
    let name = device.name();
    let there = seen.by_name(&name);
    let Some((_, link)) = there.filter(|(_, link)| VirtualDevice::of(link) == Some(device)) else {
        return Ok(());
    };
    if link.up {
        let request = unless_gone(switch(&kernel, link.index, false));
        answered(&format!("set {name} down"), request).await?;
    }
    // While the device is there, which knows what they were: somebody who is interrupted here can begin anew.
    restore(&kernel, &seen, device).await?;
    let request = kernel.handle().link().del(link.index).execute();
    answered(&format!("take {name} away"), unless_gone(request)).await
}

/// Takes all such devices away: what a keeper left that runs no more. Gives their names.
///
/// # Errors
/// The kernel refuses something; what came before is done.
pub(crate) async fn remove_all() -> Result<Vec<String>, NeighbourError> {
    let links = Kernel::connect()?.links().await?;
    let mut removed = Vec::new();
    for device in links.iter().filter_map(VirtualDevice::of) {
        remove(device).await?;
        removed.push(device.name());
    }
    Ok(removed)
}

impl Seen {
    async fn look(kernel: &Kernel) -> Result<Self, NeighbourError> {
        let all = kernel.handle().link().get().execute();
        let all = answered("list network devices", all.try_collect::<Vec<_>>()).await?;
        Ok(Self(all))
    }

    fn find(&self, is_it: impl Fn(&Link) -> bool) -> Option<(&LinkMessage, Link)> {
        let mut all = self.0.iter();
        all.find_map(|message| {
            let link = decode::link(message).filter(&is_it)?;
            Some((message, link))
        })
    }

    fn by_index(&self, index: u32) -> Option<(&LinkMessage, Link)> {
        self.find(|link| link.index == index)
    }

    fn by_name(&self, name: &str) -> Option<(&LinkMessage, Link)> {
        self.find(|link| link.name == name)
    }

    /// The devices with virtual MACs on an interface.
    fn virtual_on(&self, lower: u32) -> Vec<(VirtualDevice, &LinkMessage)> {
        let of = |message| VirtualDevice::of(&decode::link(message)?);
        let all = self.0.iter();
        let devices = all.filter_map(|message| of(message).map(|device| (device, message)));
        devices
            .filter(|(device, _)| device.lower == lower)
            .collect()
    }

    /// How an interface dealt with ARP before it had such devices.
    fn before(&self, lower: u32) -> Option<Arp> {
        let devices = self.virtual_on(lower);
        let mut notes = devices.iter().filter_map(|(_, message)| alias(message));
        notes.find_map(Arp::noted)
    }
}

/// What is noted at a device.
fn alias(message: &LinkMessage) -> Option<&str> {
    message.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::IfAlias(note) = attribute {
            Some(note.as_str())
        } else {
            None
        }
    })
}

/// Whether a virtual MAC can be had on an interface.
fn fits(link: &Link) -> Result<(), NeighbourError> {
    let why = match link.kind {
        LinkKind::Macvlan { .. } => {
            "it is a macvlan itself: frames to another MAC do not come by it"
        }
        LinkKind::Loopback => "it is the loopback",
        LinkKind::Plain
        | LinkKind::Veth { .. }
        | LinkKind::Vlan { .. }
        | LinkKind::Bond { .. }
        | LinkKind::Bridge
            if link.mac.is_none() =>
        {
            "it is no Ethernet device"
        }
        LinkKind::Plain if is_wireless(&link.name) => {
            "it is wireless, and an access point takes frames of one MAC only"
        }
        LinkKind::Plain
        | LinkKind::Veth { .. }
        | LinkKind::Vlan { .. }
        | LinkKind::Bond { .. }
        | LinkKind::Bridge => return Ok(()),
    };
    Err(refused(&link.name, why))
}

fn is_wireless(name: &str) -> bool {
    Path::new("/sys/class/net")
        .join(name)
        .join("phy80211")
        .exists()
}

/// Index of a device, which is made if it is not there.
async fn there_or_added(
    kernel: &Kernel,
    seen: &Seen,
    device: VirtualDevice,
    lower: &Link,
) -> Result<u32, NeighbourError> {
    let name = device.name();
    if let Some((_, there)) = seen.by_name(&name) {
        if VirtualDevice::of(&there) == Some(device) {
            return Ok(there.index);
        }
        let why = format!(
            "there is another device called {name}, or somebody changed it: `ip link delete {name}`"
        );
        return Err(refused(&lower.name, &why));
    }
    let wanted = LinkMacVlan::new(&name, device.lower, MacVlanMode::Vepa)
        .address(device.mac.0.to_vec())
        .build();
    let added = kernel.handle().link().add(wanted).execute();
    answered(&format!("put {name} on {}", lower.name), added).await?;
    Ok(kernel.link(&name).await?.index)
}

/// Gives the interface below a device its settings back, unless there are other devices on it.
async fn restore(
    kernel: &Kernel,
    seen: &Seen,
    device: VirtualDevice,
) -> Result<(), NeighbourError> {
    let there = seen.virtual_on(device.lower);
    if there.iter().any(|(other, _)| *other != device) {
        return Ok(());
    }
    let lower = seen.by_index(device.lower);
    let (Some(before), Some((message, link))) = (seen.before(device.lower), lower) else {
        return Ok(());
    };
    let Some(now) = Arp::of(message) else {
        return Ok(());
    };
    let restored = before.after_virtual(now);
    if restored == now {
        return Ok(());
    }
    set(kernel, link.index, &link.name, vec![restored.attribute()]).await
}

/// Asks to set a device up or down.
async fn switch(kernel: &Kernel, index: u32, up: bool) -> Result<(), rtnetlink::Error> {
    let change = LinkUnspec::new_with_index(index);
    let change = if up { change.up() } else { change.down() };
    let request = kernel.handle().link().set(change.build());
    request.execute().await
}

/// Does what is asked of a device; that it has gone meanwhile is no error.
async fn unless_gone(
    request: impl Future<Output = Result<(), rtnetlink::Error>>,
) -> Result<(), rtnetlink::Error> {
    match request.await {
        Ok(()) => Ok(()),
        Err(error) if errno(&error) == Some(libc::ENODEV) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn set(
    kernel: &Kernel,
    index: u32,
    name: &str,
    attributes: Vec<LinkAttribute>,
) -> Result<(), NeighbourError> {
    let mut change = LinkMessageBuilder::<LinkUnspec>::new().index(index);
    for attribute in attributes {
        change = change.append_extra_attribute(attribute);
    }
    let request = kernel.handle().link().set(change.build()).execute();
    answered(&format!("change {name}"), request).await
}

fn refused(name: &str, why: &str) -> NeighbourError {
    NeighbourError::NoVirtualMac {
        interface: name.to_owned(),
        why: why.to_owned(),
    }
}

fn gone(device: VirtualDevice) -> NeighbourError {
    NeighbourError::NoInterface(format!("interface {}", device.lower))
}

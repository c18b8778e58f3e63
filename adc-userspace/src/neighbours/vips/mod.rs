//! VIPs on an interface, so that the kernel answers ARP and neighbour solicitations for them.
//!
//! Every address that adc adds carries adc's mark in `IFA_PROTO` (kernel 5.18 and later), and only addresses
//! with the mark are ever removed: one that an operator put there stays, whatever the configuration says.

mod group;
#[cfg(test)]
mod tests;

pub(super) use group::all_addresses;
pub(crate) use group::{put, take};

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use futures_util::TryStreamExt;
use netlink_packet_route::{
    AddressFamily,
    address::{
        AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol,
        CacheInfo,
    },
};
use tracing::{debug, warn};

use super::{
    Link, NeighbourError,
    announce::{self, Announcer},
    kernel::{Kernel, answered, errno},
};

/// The mark: value of `IFA_PROTO` on the addresses that adc added (`proto 0xad` in `ip address`). The kernel
/// itself uses 1 to 3 and leaves the rest to user space.
pub const OUR_PROTOCOL: u8 = 0xad;

/// What [`reconcile`] found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Added, and announced on the link.
    pub added: BTreeSet<IpAddr>,
    /// Removed: ours, and no longer wanted.
    pub removed: BTreeSet<IpAddr>,
    /// Wanted, but already there without our mark: somebody else's, and left alone.
    pub foreign: BTreeSet<IpAddr>,
}

/// Makes the addresses with our mark on `interface` exactly `wanted`: VIPs become /32 or /128.
///
/// IPv6 VIPs skip duplicate address detection, so that they are usable at once, and are deprecated (preferred
/// lifetime 0), so that the machine's own connections do not use them as source (RFC 6724 §5 rule 3).
pub async fn reconcile(
    interface: &str,
    wanted: &BTreeSet<IpAddr>,
) -> Result<Reconciled, NeighbourError> {
    let wanted = wanted.iter().map(|ip| (*ip, whole(*ip))).collect();
    reconcile_prefixes(interface, &wanted).await
}

/// The same, each address with the length of its prefix.
pub(crate) async fn reconcile_prefixes(
    interface: &str,
    wanted: &BTreeMap<IpAddr, u8>,
) -> Result<Reconciled, NeighbourError> {
    let kernel = Kernel::connect()?;
    let link = kernel.link(interface).await?;
    let present = addresses(&kernel, &link).await?;
    let ours: BTreeSet<IpAddr> = present
        .iter()
        .filter(|held| held.ours)
        .map(|held| held.ip)
        .collect();
    let theirs: BTreeSet<IpAddr> = present
        .iter()
        .filter(|held| !held.ours)
        .map(|held| held.ip)
        .collect();

    let mut done = Reconciled {
        foreign: wanted
            .keys()
            .filter(|ip| theirs.contains(ip))
            .copied()
            .collect(),
        ..Reconciled::default()
    };
    for held in present
        .iter()
        .filter(|held| held.ours && !wanted.contains_key(&held.ip))
    {
        if remove(&kernel, interface, held).await? {
            done.removed.insert(held.ip);
        }
    }
    for (&ip, &length) in wanted {
        if ours.contains(&ip) || theirs.contains(&ip) {
            continue;
        }
        if add(&kernel, &link, ip, length).await? {
            done.added.insert(ip);
        } else {
            done.foreign.insert(ip);
        }
    }
    announce(&link, &done.added);
    Ok(done)
}

/// Takes every address with our mark off `interface`; at clean shutdown, or when another interface is to
/// carry the VIPs. Gives those removed.
pub async fn remove_all_ours(interface: &str) -> Result<BTreeSet<IpAddr>, NeighbourError> {
    Ok(reconcile(interface, &BTreeSet::new()).await?.removed)
}

/// Those of `addresses` that are on an interface without our mark, and on which: somebody else's.
///
/// # Errors
/// The kernel can not be asked.
pub async fn foreign(
    addresses: &BTreeSet<IpAddr>,
) -> Result<BTreeMap<IpAddr, String>, NeighbourError> {
    let mut foreign = BTreeMap::new();
    if addresses.is_empty() {
        return Ok(foreign);
    }
    let kernel = Kernel::connect()?;
    let links = kernel.links().await?;
    let request = kernel.handle().address().get().execute();
    let all = answered("list addresses", request.try_collect::<Vec<_>>()).await?;
    for held in all.into_iter().filter_map(held) {
        if held.ours || !addresses.contains(&held.ip) {
            continue;
        }
        let index = held.message.header.index;
        let link = links.iter().find(|link| link.index == index);
        let name = link.map_or_else(|| format!("interface {index}"), |link| link.name.clone());
        foreign.insert(held.ip, name);
    }
    Ok(foreign)
}

/// Length of the prefix that is one address.
pub(crate) fn whole(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

struct Held {
    ip: IpAddr,
    ours: bool,
    message: AddressMessage,
}

async fn addresses(kernel: &Kernel, link: &Link) -> Result<Vec<Held>, NeighbourError> {
    let request = kernel
        .handle()
        .address()
        .get()
        .set_link_index_filter(link.index)
        .execute()
        .try_collect::<Vec<_>>();
    let messages = answered(&format!("list the addresses of {}", link.name), request).await?;
    Ok(messages.into_iter().filter_map(held).collect())
}

fn held(message: AddressMessage) -> Option<Held> {
    let (mut local, mut address, mut ours) = (None, None, false);
    for attribute in &message.attributes {
        if let AddressAttribute::Local(ip) = attribute {
            local = Some(*ip);
        } else if let AddressAttribute::Address(ip) = attribute {
            // On a point-to-point link this is the peer's; then there is a local one too.
            address = Some(*ip);
        } else if let AddressAttribute::Protocol(protocol) = attribute {
            ours = *protocol == AddressProtocol::Other(OUR_PROTOCOL);
        }
    }
    Some(Held {
        ip: local.or(address)?,
        ours,
        message,
    })
}

/// Adds a VIP; `false` if it turned up there meanwhile.
async fn add(kernel: &Kernel, link: &Link, ip: IpAddr, length: u8) -> Result<bool, NeighbourError> {
    let mut request = kernel.handle().address().add(link.index, ip, length);
    let message = request.message_mut();
    let mark = AddressAttribute::Protocol(AddressProtocol::Other(OUR_PROTOCOL));
    message.attributes.push(mark);
    if message.header.family == AddressFamily::Inet6 {
        message.header.flags |= AddressHeaderFlags::Nodad;
        message
            .attributes
            .push(AddressAttribute::Flags(AddressFlags::Nodad));
        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_preferred = 0;
        lifetimes.ifa_valid = u32::MAX;
        message
            .attributes
            .push(AddressAttribute::CacheInfo(lifetimes));
    }
    let exists = async {
        match request.execute().await {
            Ok(()) => Ok(true),
            Err(error) if errno(&error) == Some(libc::EEXIST) => Ok(false),
            Err(error) => Err(error),
        }
    };
    answered(&format!("add VIP {ip} to {}", link.name), exists).await
}

/// Removes a VIP; `false` if it had gone meanwhile.
async fn remove(kernel: &Kernel, interface: &str, held: &Held) -> Result<bool, NeighbourError> {
    let request = kernel.handle().address().del(held.message.clone());
    let gone = async {
        match request.execute().await {
            Ok(()) => Ok(true),
            Err(error) if errno(&error) == Some(libc::EADDRNOTAVAIL) => Ok(false),
            Err(error) => Err(error),
        }
    };
    answered(&format!("remove VIP {} from {interface}", held.ip), gone).await
}

fn announce(link: &Link, vips: &BTreeSet<IpAddr>) {
    if vips.is_empty() {
        return;
    }
    let Some(mac) = link.mac.filter(|_| link.usable()) else {
        debug!(
            interface = link.name,
            ?vips,
            "not announced: no Ethernet device, or down"
        );
        return;
    };
    let router = announce::is_router(&link.name);
    let sent = Announcer::open().and_then(|announcer| {
        vips.iter()
            .try_for_each(|ip| announcer.send(link.index, &announce::frame(mac, *ip, router)))
    });
    if let Err(error) = sent {
        warn!(interface = link.name, %error, "announcing VIPs failed; hosts that knew them elsewhere may send there until their entries expire");
    }
}

//! VIPs on an interface, so that the kernel answers ARP and neighbour solicitations for them.
//!
//! Every address that adc adds carries a mark of its `Owner` in `IFA_PROTO` (kernel 5.18 and later), and only addresses
//! with the mark are ever removed: one that an operator put there stays, whatever the configuration says. Agent and
//! keeper each remove their own, so they need no lock between them.

mod group;
#[cfg(test)]
mod tests;

pub(super) use group::all_addresses;
pub(crate) use group::{Kept, keep, put, remove_all_kept, take};

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

/// Which process of adc put an address on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The agent: VIPs in no HA group, local addresses of `full-nat`.
    Agent,
    /// The keeper: addresses of HA groups.
    Keeper,
}

impl Owner {
    /// The mark: value of `IFA_PROTO` (`proto 0xad` in `ip address`). The kernel itself uses 1 to 3 and leaves the rest
    /// to user space.
    fn mark(self) -> u8 {
        match self {
            Self::Agent => 0xad,
            Self::Keeper => 0xae,
        }
    }

    fn of_mark(mark: u8) -> Option<Self> {
        let owners = [Self::Agent, Self::Keeper];
        owners.into_iter().find(|owner| owner.mark() == mark)
    }
}

/// What [`reconcile`] found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Added, and announced on the link.
    pub added: BTreeSet<IpAddr>,
    /// Removed: the agent's, and no longer wanted.
    pub removed: BTreeSet<IpAddr>,
    /// Wanted, but already there without the agent's mark: somebody else's, and left alone.
    pub foreign: BTreeSet<IpAddr>,
}

/// Makes the addresses with the agent's mark on `interface` exactly `wanted`: VIPs become /32 or /128.
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
    let is_ours = |held: &Held| held.owner == Some(Owner::Agent);
    let (ours, theirs): (Vec<&Held>, Vec<&Held>) = present.iter().partition(|held| is_ours(held));
    let ours: BTreeSet<IpAddr> = ours.iter().map(|held| held.ip).collect();
    let theirs: BTreeSet<IpAddr> = theirs.iter().map(|held| held.ip).collect();

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
        .filter(|held| is_ours(held) && !wanted.contains_key(&held.ip))
    {
        if remove(&kernel, interface, held).await? {
            done.removed.insert(held.ip);
        }
    }
    for (&ip, &length) in wanted {
        if ours.contains(&ip) || theirs.contains(&ip) {
            continue;
        }
        if add(&kernel, &link, Owner::Agent, ip, length).await? {
            done.added.insert(ip);
        } else {
            done.foreign.insert(ip);
        }
    }
    announce(&link, &done.added);
    Ok(done)
}

/// Takes every address with the agent's mark off `interface`; at clean shutdown, or when another interface is to
/// carry the VIPs. Gives those removed.
pub async fn remove_all_ours(interface: &str) -> Result<BTreeSet<IpAddr>, NeighbourError> {
    Ok(reconcile(interface, &BTreeSet::new()).await?.removed)
}

/// Those of `addresses` that are on an interface without a mark of adc, and on which: somebody else's.
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
        if held.owner.is_some() || !addresses.contains(&held.ip) {
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
    owner: Option<Owner>,
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
    let (mut local, mut address, mut owner) = (None, None, None);
    for attribute in &message.attributes {
        if let AddressAttribute::Local(ip) = attribute {
            local = Some(*ip);
        } else if let AddressAttribute::Address(ip) = attribute {
            // On a point-to-point link this is the peer's; then there is a local one too.
            address = Some(*ip);
        } else if let AddressAttribute::Protocol(AddressProtocol::Other(mark)) = attribute {
            owner = Owner::of_mark(*mark);
        }
    }
    Some(Held {
        ip: local.or(address)?,
        owner,
        message,
    })
}

/// Adds a VIP; `false` if it turned up there meanwhile.
async fn add(
    kernel: &Kernel,
    link: &Link,
    owner: Owner,
    ip: IpAddr,
    length: u8,
) -> Result<bool, NeighbourError> {
    let mut request = kernel.handle().address().add(link.index, ip, length);
    mark(request.message_mut(), owner);
    let exists = async {
        match request.execute().await {
            Ok(()) => Ok(true),
            Err(error) if errno(&error) == Some(libc::EEXIST) => Ok(false),
            Err(error) => Err(error),
        }
    };
    answered(&format!("add VIP {ip} to {}", link.name), exists).await
}

/// What makes an address a VIP of `owner`.
fn mark(message: &mut AddressMessage, owner: Owner) {
    let mark = AddressAttribute::Protocol(AddressProtocol::Other(owner.mark()));
    message.attributes.push(mark);
    if message.header.family == AddressFamily::Inet6 {
        message.header.flags |= AddressHeaderFlags::Nodad;
        let nodad = AddressAttribute::Flags(AddressFlags::Nodad);
        message.attributes.push(nodad);
        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_preferred = 0;
        lifetimes.ifa_valid = u32::MAX;
        let lifetimes = AddressAttribute::CacheInfo(lifetimes);
        message.attributes.push(lifetimes);
    }
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

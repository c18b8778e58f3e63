//! Addresses of an HA group: put on and taken off at once, whatever else is on the interface.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use futures_util::TryStreamExt;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags};

use super::{
    super::{
        Link, NeighbourError,
        kernel::{Kernel, answered},
    },
    Held, Owner, add, addresses, held, mark, remove,
};

/// What [`keep`] found and mended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Was missing, and is back.
    pub(crate) added: BTreeSet<IpAddr>,
    /// Was there, and should not have been.
    pub(crate) removed: BTreeSet<IpAddr>,
}

/// Puts addresses on `interface`, with their prefix lengths, and gives those that were not there. Those that are stay
/// as they are; one that the agent put there becomes the keeper's. Announces nothing.
///
/// # Errors
/// The kernel refuses one; those before it are there.
pub(crate) async fn put(
    interface: &str,
    wanted: &BTreeMap<IpAddr, u8>,
) -> Result<BTreeSet<IpAddr>, NeighbourError> {
    let kernel = Kernel::connect()?;
    let link = kernel.link(interface).await?;
    let present = addresses(&kernel, &link).await?;
    let mut added = BTreeSet::new();
    for (ip, length) in wanted {
        match present.iter().find(|held| held.ip == *ip) {
            None => {
                if add(&kernel, &link, Owner::Keeper, *ip, *length).await? {
                    added.insert(*ip);
                }
            }
            Some(held) if held.owner == Some(Owner::Agent) => {
                take_over(&kernel, &link, held).await?;
            }
            Some(_) => {}
        }
    }
    Ok(added)
}

/// Takes addresses off `interface`; those without a mark of adc stay.
///
/// # Errors
/// The kernel refuses one; others may still be there.
pub(crate) async fn take(
    interface: &str,
    unwanted: &BTreeSet<IpAddr>,
) -> Result<(), NeighbourError> {
    let kernel = Kernel::connect()?;
    let link = kernel.link(interface).await?;
    for held in addresses(&kernel, &link).await? {
        if held.owner.is_some() && unwanted.contains(&held.ip) {
            remove(&kernel, interface, &held).await?;
        }
    }
    Ok(())
}

/// Mends what others did: `wanted` is put on, what else has the keeper's mark is taken off, but for what is `undecided`.
///
/// # Errors
/// The kernel refuses something; what came before is done.
pub(crate) async fn keep(
    interface: &str,
    wanted: &BTreeMap<IpAddr, u8>,
    undecided: &BTreeSet<IpAddr>,
) -> Result<Kept, NeighbourError> {
    let kernel = Kernel::connect()?;
    let link = kernel.link(interface).await?;
    let mut kept = Kept::default();
    for held in addresses(&kernel, &link).await? {
        let stays = wanted.contains_key(&held.ip) || undecided.contains(&held.ip);
        if held.owner == Some(Owner::Keeper) && !stays && remove(&kernel, interface, &held).await? {
            kept.removed.insert(held.ip);
        }
    }
    kept.added = put(interface, wanted).await?;
    Ok(kept)
}

/// Takes everything with the keeper's mark off `interface`: what a keeper left that runs no more.
///
/// # Errors
/// The kernel refuses one; others may still be there.
pub(crate) async fn remove_all_kept(interface: &str) -> Result<BTreeSet<IpAddr>, NeighbourError> {
    let kept = keep(interface, &BTreeMap::new(), &BTreeSet::new()).await?;
    Ok(kept.removed)
}

/// Makes an address of the agent's the keeper's, without a moment in which it is not there.
async fn take_over(kernel: &Kernel, link: &Link, held: &Held) -> Result<(), NeighbourError> {
    let length = held.message.header.prefix_len;
    let addresses = kernel.handle().address();
    let mut request = addresses.add(link.index, held.ip, length).replace();
    mark(request.message_mut(), Owner::Keeper);
    let what = format!("take over VIP {} on {}", held.ip, link.name);
    answered(&what, request.execute()).await
}

/// Every address of the machine that can be sent from: the index of its device, the address, whose it is.
pub(in super::super) async fn all_addresses(
    kernel: &Kernel,
) -> Result<Vec<(u32, IpAddr, Option<Owner>)>, NeighbourError> {
    let request = kernel.handle().address().get().execute();
    let all = answered("list addresses", request.try_collect::<Vec<_>>()).await?;
    let ready = all.into_iter().filter_map(held).filter(is_ready);
    Ok(ready
        .map(|held| (held.message.header.index, held.ip, held.owner))
        .collect())
}

/// Not in doubt: duplicate address detection is done and found nobody.
fn is_ready(held: &Held) -> bool {
    let doubt = AddressFlags::Tentative | AddressFlags::Dadfailed;
    let in_header = AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed;
    let doubted = held.message.attributes.iter().any(|attribute| {
        if let AddressAttribute::Flags(flags) = attribute {
            flags.intersects(doubt)
        } else {
            false
        }
    });
    !doubted && !held.message.header.flags.intersects(in_header)
}

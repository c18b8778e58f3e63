//! Addresses of an HA group: put on and taken off at once, whatever else is on the interface.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use futures_util::TryStreamExt;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags};

use super::{
    super::{
        NeighbourError,
        kernel::{Kernel, answered},
    },
    Held, add, addresses, held, remove,
};

/// Puts addresses on `interface`, with their prefix lengths; those that are there stay as they are. Announces nothing.
///
/// # Errors
/// The kernel refuses one; those before it are there.
pub(crate) async fn put(
    interface: &str,
    wanted: &BTreeMap<IpAddr, u8>,
) -> Result<(), NeighbourError> {
    let kernel = Kernel::connect()?;
    let link = kernel.link(interface).await?;
    let present = addresses(&kernel, &link).await?;
    let present: BTreeSet<IpAddr> = present.iter().map(|held| held.ip).collect();
    for (ip, length) in wanted {
        if !present.contains(ip) {
            add(&kernel, &link, *ip, *length).await?;
        }
    }
    Ok(())
}

/// Takes addresses off `interface`; those without adc's mark stay.
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
        if held.ours && unwanted.contains(&held.ip) {
            remove(&kernel, interface, &held).await?;
        }
    }
    Ok(())
}

/// Every address of the machine that can be sent from: the index of its device, the address, whether it has adc's mark.
pub(in super::super) async fn all_addresses(
    kernel: &Kernel,
) -> Result<Vec<(u32, IpAddr, bool)>, NeighbourError> {
    let request = kernel.handle().address().get().execute();
    let all = answered("list addresses", request.try_collect::<Vec<_>>()).await?;
    let ready = all.into_iter().filter_map(held).filter(is_ready);
    Ok(ready
        .map(|held| (held.message.header.index, held.ip, held.ours))
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

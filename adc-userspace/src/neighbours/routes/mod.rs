//! Routes to VIPs in a routing table of their own, for a routing daemon to announce.
//!
//! Each is a `blackhole` of one address: it leads nowhere, needs no interface, is of a type that routing daemons take in
//! (they ignore `local`), and the kernel never looks at it, as no rule names its table. Each carries adc's mark in
//! `rtm_protocol`, and only those with the mark are ever removed.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use futures_util::TryStreamExt;
use netlink_packet_route::{
    AddressFamily,
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteType},
};
use rtnetlink::{Handle, sys::AsyncSocket};

use super::{
    NeighbourError,
    kernel::{answered, errno},
    vips::whole,
};

/// The mark of our routes (`rtm_protocol`; `proto 173` in `ip route`), as that of the agent's addresses.
const OUR_PROTOCOL: u8 = 0xad;

/// What [`reconcile`] found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reconciled {
    /// Added.
    pub(crate) added: BTreeSet<IpAddr>,
    /// Removed: ours, and no longer wanted.
    pub(crate) removed: BTreeSet<IpAddr>,
    /// Wanted, but somebody else's route to it stands in the table: left alone.
    pub(crate) foreign: BTreeSet<IpAddr>,
}

/// A connection on which the kernel filters what it lists.
struct Routes {
    handle: Handle,
}

/// VIPs whose routes stand in `table` with our mark.
///
/// # Errors
/// The kernel can not be asked.
pub(crate) async fn present(table: u32) -> Result<BTreeSet<IpAddr>, NeighbourError> {
    let ours = Routes::open()?.ours(Some(table)).await?;
    Ok(ours.into_iter().map(|(_, vip)| vip).collect())
}

/// Makes the routes with our mark in `table` exactly `wanted`: first those that go, then those that come.
///
/// # Errors
/// The kernel refuses one; others may be as wanted already.
pub(crate) async fn reconcile(
    table: u32,
    wanted: &BTreeSet<IpAddr>,
) -> Result<Reconciled, NeighbourError> {
    let routes = Routes::open()?;
    let ours = routes.ours(Some(table)).await?;
    let ours: BTreeSet<IpAddr> = ours.into_iter().map(|(_, vip)| vip).collect();
    let mut done = Reconciled::default();
    for vip in ours.difference(wanted) {
        routes.remove(table, *vip).await?;
        done.removed.insert(*vip);
    }
    for vip in wanted.difference(&ours) {
        if routes.add(table, *vip).await? {
            done.added.insert(*vip);
        } else {
            done.foreign.insert(*vip);
        }
    }
    Ok(done)
}

/// Takes our routes out of every table but `kept`; gives those removed, by table.
///
/// # Errors
/// The kernel refuses one; others may be gone already.
pub(crate) async fn remove_elsewhere(
    kept: Option<u32>,
) -> Result<BTreeMap<u32, BTreeSet<IpAddr>>, NeighbourError> {
    let routes = Routes::open()?;
    let mut removed: BTreeMap<u32, BTreeSet<IpAddr>> = BTreeMap::new();
    for (table, vip) in routes.ours(None).await? {
        if Some(table) != kept {
            routes.remove(table, vip).await?;
            removed.entry(table).or_default().insert(vip);
        }
    }
    Ok(removed)
}

impl Routes {
    fn open() -> Result<Self, NeighbourError> {
        let failed = |source| NeighbourError::Open {
            purpose: "announce VIPs by routes",
            source,
        };
        let (mut connection, handle, _) = rtnetlink::new_connection().map_err(failed)?;
        // Without it the kernel (4.20 and later) lists every route of every table, a million on some routers.
        let socket = connection.socket_mut().socket_mut();
        socket.set_netlink_get_strict_chk(true).map_err(failed)?;
        // Ends by itself when the last handle is dropped.
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Our routes with their tables: in one table, or in all.
    async fn ours(&self, table: Option<u32>) -> Result<Vec<(u32, IpAddr)>, NeighbourError> {
        let mut ours = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut question = RouteMessage::default();
            question.header.address_family = family;
            question.header.protocol = RouteProtocol::Other(OUR_PROTOCOL);
            question.attributes.extend(table.map(RouteAttribute::Table));
            let listed = self.handle.route().get(question).execute().try_collect();
            let listed = async {
                match listed.await {
                    // Nobody has put a route into that table yet.
                    Err(error) if errno(&error) == Some(libc::ENOENT) => Ok(Vec::new()),
                    other => other,
                }
            };
            let listed: Vec<RouteMessage> = answered("list the routes to VIPs", listed).await?;
            let found = listed.iter().filter_map(route);
            ours.extend(found.filter(|(of, _)| table.is_none_or(|table| table == *of)));
        }
        Ok(ours)
    }

    /// `false` if somebody else's route to the VIP is there.
    async fn add(&self, table: u32, vip: IpAddr) -> Result<bool, NeighbourError> {
        let request = self.handle.route().add(message(table, vip));
        let added = async {
            match request.execute().await {
                Ok(()) => Ok(true),
                Err(error) if errno(&error) == Some(libc::EEXIST) => Ok(false),
                Err(error) => Err(error),
            }
        };
        let what = format!("add a route to VIP {vip} to table {table}");
        answered(&what, added).await
    }

    async fn remove(&self, table: u32, vip: IpAddr) -> Result<(), NeighbourError> {
        let request = self.handle.route().del(message(table, vip));
        let gone = async {
            match request.execute().await {
                // Somebody was faster.
                Err(error) if errno(&error) == Some(libc::ESRCH) => Ok(()),
                other => other,
            }
        };
        let what = format!("remove the route to VIP {vip} from table {table}");
        answered(&what, gone).await
    }
}

/// Our route to a VIP.
fn message(table: u32, vip: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = match vip {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    header.destination_prefix_length = whole(vip);
    header.protocol = RouteProtocol::Other(OUR_PROTOCOL);
    header.kind = RouteType::BlackHole;
    // The header has a byte for the table, the attribute four.
    message.attributes.push(RouteAttribute::Table(table));
    message
        .attributes
        .push(RouteAttribute::Destination(vip.into()));
    message
}

/// Table and VIP of a route, if it is one of ours.
fn route(message: &RouteMessage) -> Option<(u32, IpAddr)> {
    if message.header.protocol != RouteProtocol::Other(OUR_PROTOCOL) {
        return None;
    }
    let (mut table, mut vip) = (u32::from(message.header.table), None);
    for attribute in &message.attributes {
        if let RouteAttribute::Table(number) = attribute {
            table = *number;
        } else if let RouteAttribute::Destination(RouteAddress::Inet(address)) = attribute {
            vip = Some(IpAddr::from(*address));
        } else if let RouteAttribute::Destination(RouteAddress::Inet6(address)) = attribute {
            vip = Some(IpAddr::from(*address));
        }
    }
    let vip = vip?;
    (message.header.destination_prefix_length == whole(vip)).then_some((table, vip))
}

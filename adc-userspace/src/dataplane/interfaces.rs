//! Writer of `INTERFACES`, `INTERFACE_INDEX` and `REDIRECT`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use adc_common::abi::{InterfaceEntry, InterfaceId, Mac, OTHER_MACS, VIRTUAL_ROUTERS, Vrid};
use aya::maps::{Array, DevMap, HashMap, MapData, MapError};

use super::{
    error::DataplaneError,
    loader::Maps,
    mapped::{Mapped, is_missing},
};
use crate::neighbours::InterfaceFacts;

/// ICMP errors a second that each CPU may send by an interface: what path MTU discovery and traceroute need, and too few
/// to be of use to somebody who forges senders. Linux: 1 000 a second on the whole host (`icmp_msgs_per_sec`).
const ICMP_ERRORS: u16 = 250;

/// What the program must know of an attached interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceRow {
    /// Kernel index of the interface itself: by which its packets come in.
    pub ifindex: u32,
    /// Kernel index of what its packets leave by: the interface itself, or its deputy.
    pub egress: u32,
    /// MTU, bytes, of what its packets leave by.
    pub mtu: u32,
    /// Source MAC of what leaves.
    pub mac: Mac,
    /// See [`InterfaceEntry::other_macs`]: `mac` again where there is none.
    pub other_macs: [Mac; OTHER_MACS],
    /// See [`InterfaceEntry::virtual_routers`].
    pub virtual_routers: [Vrid; VIRTUAL_ROUTERS],
}

impl InterfaceRow {
    /// From what the kernel says. The second half is the MACs for which there is no room.
    pub fn of(facts: &InterfaceFacts) -> (Self, &[Mac]) {
        let own = facts.mac.unwrap_or_default();
        let (egress, mtu, mac) = match &facts.deputy {
            Some(deputy) => (deputy.ifindex, deputy.mtu, deputy.mac.unwrap_or_default()),
            None => (facts.ifindex, facts.mtu, own),
        };
        // The last place is the interface's own MAC's, if that is not the one that it sends with.
        let room = if own == mac {
            OTHER_MACS
        } else {
            OTHER_MACS - 1
        };
        let mut other_macs = [own; OTHER_MACS];
        let (kept, left) = facts.other_macs.split_at(facts.other_macs.len().min(room));
        for (slot, other) in other_macs.iter_mut().zip(kept) {
            *slot = *other;
        }
        let row = Self {
            ifindex: facts.ifindex,
            egress,
            mtu,
            mac,
            other_macs,
            virtual_routers: [Vrid(0); VIRTUAL_ROUTERS],
        };
        (row, left)
    }

    /// With as many of these virtual routers as there is room for.
    pub fn with_routers(mut self, routers: &BTreeSet<Vrid>) -> Self {
        for (slot, router) in self.virtual_routers.iter_mut().zip(routers) {
            *slot = *router;
        }
        self
    }
}

/// The interface maps.
pub struct InterfaceTables {
    pub(super) entries: Array<MapData, Mapped<InterfaceEntry>>,
    pub(super) index: HashMap<MapData, u32, u32>,
    redirect: DevMap<MapData>,
}

impl InterfaceTables {
    pub(super) fn new(maps: &mut Maps<'_>) -> Result<Self, DataplaneError> {
        let fail = |map| move |error: MapError| DataplaneError::map("opening", map, error);
        Ok(Self {
            entries: maps
                .take("INTERFACES")?
                .try_into()
                .map_err(fail("INTERFACES"))?,
            index: maps
                .take("INTERFACE_INDEX")?
                .try_into()
                .map_err(fail("INTERFACE_INDEX"))?,
            redirect: maps
                .take("REDIRECT")?
                .try_into()
                .map_err(fail("REDIRECT"))?,
        })
    }

    /// Ids in use, by kernel index: what flows of an earlier agent refer to. Not from `INTERFACES`, where the index is that
    /// of a deputy if the interface has one.
    pub fn ids(&self) -> Result<BTreeMap<u32, InterfaceId>, DataplaneError> {
        let rows = self.index.iter();
        rows.map(|row| row.map(|(ifindex, id)| (ifindex, interface_id(id))))
            .collect::<Result<_, _>>()
            .map_err(|error| DataplaneError::map("reading", "INTERFACE_INDEX", error))
    }

    /// The virtual routers under an id: after a start, those of the earlier agent.
    pub fn routers(&self, id: InterfaceId) -> Result<BTreeSet<Vrid>, DataplaneError> {
        let entry = self.entries.get(&u32::from(id.0), 0);
        let Mapped(entry) =
            entry.map_err(|error| DataplaneError::map("reading", "INTERFACES", error))?;
        let routers = entry.virtual_routers.into_iter();
        Ok(routers.filter(|router| *router != Vrid(0)).collect())
    }

    /// Writes an interface under an id, target of redirection first, so that nobody is sent to a port that
    /// is not there yet.
    pub fn put(&mut self, id: InterfaceId, row: InterfaceRow) -> Result<(), DataplaneError> {
        let slot = u32::from(id.0);
        // Made anew while no agent looked: the old index is nobody's now.
        let stale = |(ifindex, known): &(u32, InterfaceId)| *known == id && *ifindex != row.ifindex;
        for (ifindex, _) in self.ids()?.into_iter().filter(stale) {
            self.forget_index(ifindex)?;
        }
        self.redirect
            .set(slot, row.egress, None, 0)
            .map_err(|error| DataplaneError::map("writing", "REDIRECT", io::Error::other(error)))?;
        let entry = InterfaceEntry {
            icmp_errors: ICMP_ERRORS,
            other_macs: row.other_macs,
            virtual_routers: row.virtual_routers,
            ..InterfaceEntry::new(row.egress, row.mtu, row.mac)
        };
        self.entries
            .set(slot, Mapped(entry), 0)
            .map_err(|error| DataplaneError::map("writing", "INTERFACES", error))?;
        self.index
            .insert(row.ifindex, slot, 0)
            .map_err(|error| DataplaneError::map("writing", "INTERFACE_INDEX", error))
    }

    /// Takes an interface out. The `REDIRECT` slot stays: nothing names it any more.
    pub fn remove(&mut self, id: InterfaceId, ifindex: u32) -> Result<(), DataplaneError> {
        self.forget_index(ifindex)?;
        self.entries
            .set(u32::from(id.0), Mapped(InterfaceEntry::default()), 0)
            .map_err(|error| DataplaneError::map("clearing", "INTERFACES", error))
    }

    fn forget_index(&mut self, ifindex: u32) -> Result<(), DataplaneError> {
        match self.index.remove(&ifindex) {
            Ok(()) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(DataplaneError::map("removing", "INTERFACE_INDEX", error)),
        }
    }
}

fn interface_id(id: u32) -> InterfaceId {
    InterfaceId(u16::try_from(id).unwrap_or(0))
}

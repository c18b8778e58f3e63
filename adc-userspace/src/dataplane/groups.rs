//! `LEASES` and `GROUP_VIPS`, written for [`super::Tables`] alone. Of a lease that is what makes it somebody's and nobody's;
//! until when it lasts is [`super::LeaseTable`]'s.

use std::collections::BTreeMap;

use adc_common::abi::{Addr16, GroupSlot, LEASE_SLOTS, LeaseEntry};
use aya::maps::{Array, HashMap, MapData, MapError};

use super::{
    error::DataplaneError,
    loader::Maps,
    mapped::{Mapped, is_missing},
};
use crate::plan::GroupChange;

pub(super) const LEASES: &str = "LEASES";
const VIPS: &str = "GROUP_VIPS";

/// HA groups in the data plane.
pub(super) struct Groups {
    pub(super) leases: Array<MapData, Mapped<LeaseEntry>>,
    pub(super) vips: HashMap<MapData, Mapped<Addr16>, u32>,
}

impl Groups {
    pub(super) fn new(maps: &mut Maps<'_>) -> Result<Self, DataplaneError> {
        let fail = |map| move |error: MapError| DataplaneError::map("opening", map, error);
        Ok(Self {
            leases: maps.take(LEASES)?.try_into().map_err(fail(LEASES))?,
            vips: maps.take(VIPS)?.try_into().map_err(fail(VIPS))?,
        })
    }

    /// Which group has which slot.
    pub(super) fn slots(&self) -> Result<BTreeMap<GroupSlot, u64>, DataplaneError> {
        let mut groups = BTreeMap::new();
        for slot in 1..LEASE_SLOTS {
            let Mapped(entry) = self
                .leases
                .get(&slot, 0)
                .map_err(|error| DataplaneError::map("reading", LEASES, error))?;
            if let (Ok(slot), true) = (u8::try_from(slot), entry.group != 0) {
                groups.insert(GroupSlot(slot), entry.group);
            }
        }
        Ok(groups)
    }

    /// Which address belongs to which.
    pub(super) fn vips(&self) -> Result<BTreeMap<Addr16, GroupSlot>, DataplaneError> {
        let mut vips = BTreeMap::new();
        for entry in &self.vips {
            let (Mapped(vip), slot) =
                entry.map_err(|error| DataplaneError::map("reading", VIPS, error))?;
            vips.insert(vip, GroupSlot(u8::try_from(slot).unwrap_or(0)));
        }
        Ok(vips)
    }

    pub(super) fn apply(&mut self, change: &GroupChange) -> Result<(), DataplaneError> {
        match change {
            GroupChange::Claim { slot, name } => {
                let id = LeaseEntry::group_id(name.as_str());
                self.set(*slot, LeaseEntry::uncounted(id))
            }
            GroupChange::Free { slot } => self.set(*slot, LeaseEntry::default()),
            GroupChange::PutVip { vip, slot } => self
                .vips
                .insert(Mapped(*vip), u32::from(slot.0), 0)
                .map_err(|error| DataplaneError::map("writing", VIPS, error)),
            GroupChange::RemoveVip { vip } => match self.vips.remove(&Mapped(*vip)) {
                Ok(()) => Ok(()),
                Err(error) if is_missing(&error) => Ok(()),
                Err(error) => Err(DataplaneError::map("removing", VIPS, error)),
            },
        }
    }

    fn set(&mut self, slot: GroupSlot, entry: LeaseEntry) -> Result<(), DataplaneError> {
        self.leases
            .set(u32::from(slot.0), Mapped(entry), 0)
            .map_err(|error| DataplaneError::map("writing", LEASES, error))
    }
}

//! HA groups in the tables: which slot of `LEASES` each has, and which addresses are whose.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display, Formatter},
    net::IpAddr,
};

use adc_common::abi::{Addr16, GroupSlot, LEASE_SLOTS, LeaseEntry, ServiceId};

use super::{Change, Desired, Observed, PlanError, diff::Target, emit::services_in_use};
use crate::model::{Config, GroupName};

/// One write to `LEASES` or `GROUP_VIPS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupChange {
    /// Write a lease that does not count to `LEASES`.
    Claim {
        /// Slot.
        slot: GroupSlot,
        /// The group.
        name: GroupName,
    },
    /// Write to `GROUP_VIPS`.
    PutVip {
        /// The address.
        vip: Addr16,
        /// The slot of its group.
        slot: GroupSlot,
    },
    /// Delete from `GROUP_VIPS`.
    RemoveVip {
        /// The address.
        vip: Addr16,
    },
    /// Zero a slot of `LEASES`: it may be given out again.
    Free {
        /// Slot.
        slot: GroupSlot,
    },
}

impl GroupChange {
    /// What the API calls it.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Claim { .. } => "claim-group",
            Self::PutVip { .. } => "put-group-vip",
            Self::RemoveVip { .. } => "remove-group-vip",
            Self::Free { .. } => "free-group",
        }
    }
}

impl Display for GroupChange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim { slot, name } => write!(f, "+ HA group {name} (slot {})", slot.0),
            Self::PutVip { vip, slot } => {
                write!(
                    f,
                    "+ {} of the HA group in slot {}",
                    IpAddr::from(*vip),
                    slot.0
                )
            }
            Self::RemoveVip { vip } => write!(f, "- {} of an HA group", IpAddr::from(*vip)),
            Self::Free { slot } => write!(f, "- HA group in slot {}", slot.0),
        }
    }
}

/// The addresses of each configured group.
pub(super) fn groups_of(config: &Config) -> BTreeMap<GroupName, BTreeSet<Addr16>> {
    let groups = config.ha.groups.iter();
    let groups = groups.map(|(name, group)| {
        let vips = group.vips.iter();
        let vips = vips.map(|vip| Addr16::from(vip.address.to_canonical()));
        (name.clone(), vips.collect())
    });
    groups.collect()
}

/// Slots of groups, and of their addresses.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Names by slot.
    pub(super) slots: BTreeMap<GroupSlot, GroupName>,
    /// `GROUP_VIPS`.
    pub(super) vips: BTreeMap<Addr16, GroupSlot>,
}

impl Groups {
    /// The slot of each desired group: the one it has, or a free one.
    pub(super) fn of(desired: &Desired, observed: &Observed) -> Result<Self, PlanError> {
        let known: BTreeMap<u64, GroupSlot> = (observed.groups.iter())
            .map(|(slot, id)| (*id, *slot))
            .collect();
        let limit = LEASE_SLOTS - 1;
        let all = (1..=limit).filter_map(|slot| u8::try_from(slot).ok().map(GroupSlot));
        let mut free = all.filter(|slot| !observed.groups.contains_key(slot));
        let mut groups = Self::default();
        for (name, vips) in &desired.groups {
            let id = LeaseEntry::group_id(name.as_str());
            let Some(slot) = known.get(&id).copied().or_else(|| free.next()) else {
                let ids = desired.groups.keys();
                let ids = ids.map(|name| LeaseEntry::group_id(name.as_str()));
                let reused = ids.filter(|id| known.contains_key(id)).count();
                return Err(PlanError::TooManyGroups {
                    limit,
                    configured: desired.groups.len(),
                    kept: observed.groups.len().saturating_sub(reused),
                });
            };
            groups.slots.insert(slot, name.clone());
            groups.vips.extend(vips.iter().map(|vip| (*vip, slot)));
        }
        Ok(groups)
    }

    /// The slot of the group that an address belongs to; that of none.
    pub(super) fn slot_of(&self, vip: Addr16) -> GroupSlot {
        self.vips.get(&vip).copied().unwrap_or_default()
    }
}

/// Slots are claimed before anything names them.
pub(super) fn claim(target: &Target, observed: &Observed, changes: &mut Vec<Change>) {
    for (slot, name) in &target.groups.slots {
        let id = LeaseEntry::group_id(name.as_str());
        if observed.groups.get(slot) != Some(&id) {
            let (slot, name) = (*slot, name.clone());
            changes.push(Change::Group(GroupChange::Claim { slot, name }));
        }
    }
}

/// Addresses that belong to a group, or to another, or to none any more.
pub(super) fn assign(target: &Target, observed: &Observed, changes: &mut Vec<Change>) {
    let vips = &target.groups.vips;
    for (vip, slot) in vips {
        if observed.group_vips.get(vip) != Some(slot) {
            let (vip, slot) = (*vip, *slot);
            changes.push(Change::Group(GroupChange::PutVip { vip, slot }));
        }
    }
    let gone = observed.group_vips.keys();
    for vip in gone.filter(|vip| !vips.contains_key(*vip)) {
        changes.push(Change::Group(GroupChange::RemoveVip { vip: *vip }));
    }
}

/// Slots are freed when nothing names them, services that only drain out included.
pub(super) fn free(target: &Target, observed: &Observed, changes: &mut Vec<Change>) {
    let in_use = services_in_use(target);
    let draining = |id: &ServiceId| !target.services.contains_key(id) && in_use.contains(id);
    let old = observed.services.iter().filter(|(id, _)| draining(id));
    let named: BTreeSet<GroupSlot> = (target.services.values().map(|entry| entry.group))
        .chain(target.backends.values().map(|entry| entry.group))
        .chain(old.map(|(_, entry)| entry.group))
        .collect();
    for slot in observed.groups.keys() {
        if !target.groups.slots.contains_key(slot) && !named.contains(slot) {
            changes.push(Change::Group(GroupChange::Free { slot: *slot }));
        }
    }
}

/// What of a slot people see behind a backend; nothing of that of no group.
pub(super) struct SlotText(pub(super) GroupSlot);

impl Display for SlotText {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            GroupSlot(0) => Ok(()),
            GroupSlot(slot) => write!(f, ", HA group slot {slot}"),
        }
    }
}

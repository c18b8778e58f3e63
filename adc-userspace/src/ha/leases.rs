//! Leases of groups, written for the data plane. Each thread that decides about groups has its own hold on the map.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use super::{machine::Machine, task::Task};
use crate::{
    dataplane::{DataplaneError, LeaseSlot, LeaseTable},
    model::GroupName,
};

/// The hold on the map of leases.
#[derive(Default)]
pub(super) struct Leases {
    directory: PathBuf,
    table: Option<LeaseTable>,
    slots: BTreeMap<GroupName, LeaseSlot>,
    /// What could not be done has been told.
    told: bool,
}

impl Leases {
    /// Of the data plane that is pinned there, opened when it is first needed.
    pub(super) fn of(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            ..Self::default()
        }
    }

    /// Opens the map anew before the next lease: an agent may have made another, and groups may have other slots.
    pub(super) fn close(&mut self) {
        self.table = None;
        self.slots.clear();
        self.told = false;
    }

    /// The same, of the data plane that is pinned there.
    pub(super) fn reopen(&mut self, directory: &Path) {
        self.close();
        directory.clone_into(&mut self.directory);
    }

    /// Until when the data plane serves a group; `None` = not at all. What can not be written is told once, and the data plane
    /// stops by itself when what was written last runs out. True = the data plane has it.
    pub(super) fn set(&mut self, group: &GroupName, until: Option<Instant>) -> bool {
        let written = self.write(group, until);
        let done = written.is_ok();
        match written {
            Ok(()) => self.told = false,
            Err(error) => {
                if !std::mem::replace(&mut self.told, true) {
                    tracing::error!(%group, "writing the lease: {error}");
                }
                self.table = None;
                self.slots.clear();
            }
        }
        done
    }

    fn write(&mut self, group: &GroupName, until: Option<Instant>) -> Result<(), DataplaneError> {
        let table = match &mut self.table {
            Some(table) => table,
            none => none.insert(LeaseTable::open(&self.directory)?),
        };
        let slot = if let Some(slot) = self.slots.get(group) {
            *slot
        } else {
            // A group that the data plane does not know has nothing to serve.
            let Some(slot) = table.find(group)? else {
                return Ok(());
            };
            self.slots.insert(group.clone(), slot);
            slot
        };
        match until {
            Some(until) => table.grant(slot, until),
            None => table.revoke(slot),
        }
    }
}

impl Task {
    /// Writes the leases of VRRP's groups, whatever was written before.
    pub(super) fn write_leases(&mut self) {
        for router in self.routers.values_mut() {
            if matches!(router.machine, Machine::Vrrp(_)) {
                router.lease = router.machine.lease();
                self.leases.set(&router.name, router.lease);
            }
        }
    }
}

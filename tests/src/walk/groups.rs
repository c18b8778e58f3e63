//! HA groups in the tables, and leases on them.

use std::net::IpAddr;

use adc_common::abi::{Addr16, GroupSlot, LeaseEntry};

use super::Contents;

/// How a lease stands, at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// It does not count.
    Uncounted,
    /// Held for so long that a late clock does not matter.
    Sure,
    /// Held, as the exact clock says.
    Exact,
    /// Run out, or never held.
    Lapsed,
}

impl Lease {
    /// Those with which a group is served.
    pub const SERVING: [Self; 3] = [Self::Uncounted, Self::Sure, Self::Exact];

    fn entry(self, slot: GroupSlot) -> LeaseEntry {
        let group = u64::from(slot.0);
        let (until, sure) = match self {
            Self::Uncounted => return LeaseEntry::uncounted(group),
            Self::Sure => (LeaseEntry::NEVER - 1, LeaseEntry::NEVER - 1),
            Self::Exact => (LeaseEntry::NEVER - 1, 0),
            Self::Lapsed => (0, 0),
        };
        LeaseEntry {
            group,
            until,
            sure,
            given: 0,
        }
    }
}

impl Contents {
    /// Makes an address, and the services and backends behind it, a group's.
    #[must_use]
    pub fn in_group(mut self, slot: GroupSlot, address: IpAddr) -> Self {
        let vip = Addr16::from(address);
        self.group_vips.insert(vip, slot);
        for service in self.services.values_mut().filter(|s| s.key.vip == vip) {
            service.group = slot;
        }
        for backend in self.backends.values_mut() {
            if self.services[&backend.service].key.vip == vip {
                backend.group = slot;
            }
        }
        self
    }

    /// Sets the lease on a group.
    #[must_use]
    pub fn leased(mut self, slot: GroupSlot, lease: Lease) -> Self {
        self.leases.insert(slot, lease.entry(slot));
        self
    }
}

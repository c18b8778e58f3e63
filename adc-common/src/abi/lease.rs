//! Until when this node may serve an HA group.

use super::{abi_newtype, abi_struct};

/// Slots of `LEASES`. Slot 0 is that of no group.
pub const LEASE_SLOTS: u32 = 64;

/// Capacity of `GROUP_VIPS`: 255 addresses per family of as many groups as there are slots.
pub const GROUP_VIPS_MAX: u32 = 2 * 255 * (LEASE_SLOTS - 1);

abi_newtype! {
    /// Index into `LEASES`; 0 = no group, always served. Given out by the agent, at most [`LEASE_SLOTS`] - 1.
    pub struct GroupSlot(pub u8) align 1
}

abi_struct! {
    /// Value of `LEASES`, by [`GroupSlot`]. Zeroed, it is of nobody, and what belonged to it would not be served.
    ///
    /// Its times are nanoseconds of `CLOCK_MONOTONIC` in 64 bits, and no [`super::Tick`]: those wrap, and a lease that ran
    /// out must not come back 26 days later.
    pub struct LeaseEntry [32] {
        /// [`LeaseEntry::group_id`]; 0 = slot unused.
        pub group: u64,
        /// From then on the group is not served; 0 = it is not served now, [`LeaseEntry::NEVER`] = the lease does not count.
        pub until: u64,
        /// Until then a clock that is late needs no second look: `until`, less by how late the packet walk's own clock may be.
        pub sure: u64,
        /// When this was written.
        pub given: u64,
    }
}

impl LeaseEntry {
    /// The time that never comes.
    pub const NEVER: u64 = u64::MAX;

    /// A lease that does not count: the group is served, whoever has the role.
    pub const fn uncounted(group: u64) -> Self {
        Self {
            group,
            until: Self::NEVER,
            sure: Self::NEVER,
            given: 0,
        }
    }

    /// What a group is known by, of its name: the same in every process. FNV-1a, 64 bits; never 0.
    pub const fn group_id(name: &str) -> u64 {
        let bytes = name.as_bytes();
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let mut rest = bytes;
        while let [byte, tail @ ..] = rest {
            hash = (hash ^ *byte as u64).wrapping_mul(0x0100_0000_01b3);
            rest = tail;
        }
        if hash == 0 { 1 } else { hash }
    }
}

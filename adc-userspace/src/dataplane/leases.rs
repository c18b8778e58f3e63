//! Leases on HA groups, for whoever decides about roles: any process, by the pinned map.
//!
//! A lease lasts until a time. The packet walk judges by that time exactly, but asks the exact clock only where its own, which
//! stands still between timer ticks, would not be sure: so a lease may be as short as one likes, and what a coarse tick
//! costs is the exact clock for every packet, 20 ns, if leases are shorter than some ticks.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use adc_common::abi::{GroupSlot, LEASE_SLOTS, LeaseEntry};
use aya::maps::{Array, Map, MapData, MapError};
use nix::time::{ClockId, clock_getres};

use super::{clock::nanos, error::DataplaneError, groups::LEASES, mapped::Mapped};
use crate::model::GroupName;

/// How many timer ticks the packet walk's clock may be late. While the CPU that counts them stands still, the others wait for
/// five (`MAX_STALLED_JIFFIES`, kernel/time/tick-sched.c) before one of them counts on.
const LATE_TICKS: u32 = 6;

/// The slot of a group, as it was when it was looked up: valid until the group is removed from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseSlot {
    slot: GroupSlot,
    group: u64,
}

/// What a lease says now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// It does not count: nobody has granted or revoked it yet.
    Uncounted,
    /// The group is served for so long.
    Held(Duration),
    /// The group is not served.
    Lapsed,
}

/// The leases of this node's data plane.
pub struct LeaseTable {
    leases: Array<MapData, Mapped<LeaseEntry>>,
    /// How late the packet walk's clock may be.
    late: Duration,
}

impl LeaseTable {
    /// Opens the map that an agent has pinned in `directory`, that of the ABI version.
    ///
    /// # Errors
    /// There is none, or this process may not open it.
    pub fn open(directory: &Path) -> Result<Self, DataplaneError> {
        let fail = |error: MapError| DataplaneError::map("opening", LEASES, error);
        let data = MapData::from_pin(directory.join(LEASES)).map_err(fail)?;
        let leases = Array::try_from(Map::Array(data)).map_err(fail)?;
        Ok(Self {
            leases,
            late: tick() * LATE_TICKS,
        })
    }

    /// Where the lease of a group is; `None` if the data plane knows no such group (yet).
    ///
    /// # Errors
    /// The map can not be read.
    pub fn find(&self, name: &GroupName) -> Result<Option<LeaseSlot>, DataplaneError> {
        let group = LeaseEntry::group_id(name.as_str());
        for slot in (1..LEASE_SLOTS).filter_map(|slot| u8::try_from(slot).ok()) {
            let slot = GroupSlot(slot);
            if self.entry(slot)?.group == group {
                return Ok(Some(LeaseSlot { slot, group }));
            }
        }
        Ok(None)
    }

    /// The group may be served until then, and no packet longer. One system call, no allocation, no lock.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn grant(&mut self, slot: LeaseSlot, until: Instant) -> Result<(), DataplaneError> {
        // In this order: what passes in between shortens the lease.
        let given = nanos();
        let left = until.saturating_duration_since(Instant::now());
        self.put(slot, lease(slot.group, given, left, self.late))
    }

    /// The group is not served from now on.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn revoke(&mut self, slot: LeaseSlot) -> Result<(), DataplaneError> {
        self.put(slot, lease(slot.group, nanos(), Duration::ZERO, self.late))
    }

    /// The lease counts no more: the group is served whoever has it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn waive(&mut self, slot: LeaseSlot) -> Result<(), DataplaneError> {
        self.put(slot, LeaseEntry::uncounted(slot.group))
    }

    /// What the lease says.
    ///
    /// # Errors
    /// The map can not be read.
    pub fn read(&self, slot: LeaseSlot) -> Result<LeaseState, DataplaneError> {
        Ok(state(&self.entry(slot.slot)?, nanos()))
    }

    fn entry(&self, slot: GroupSlot) -> Result<LeaseEntry, DataplaneError> {
        let read = self.leases.get(&u32::from(slot.0), 0);
        let Mapped(entry) = read.map_err(|error| DataplaneError::map("reading", LEASES, error))?;
        Ok(entry)
    }

    fn put(&mut self, slot: LeaseSlot, entry: LeaseEntry) -> Result<(), DataplaneError> {
        self.leases
            .set(u32::from(slot.slot.0), Mapped(entry), 0)
            .map_err(|error| DataplaneError::map("writing", LEASES, error))
    }
}

/// A lease for `left` from `given` (ns) on, for a walk whose clock may be `late`; for no time, none.
fn lease(group: u64, given: u64, left: Duration, late: Duration) -> LeaseEntry {
    let after = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let (until, sure) = if left.is_zero() {
        (0, 0)
    } else {
        // Below the time that stands for never.
        let until = given.saturating_add(after(left)).min(LeaseEntry::NEVER - 1);
        (until, until.saturating_sub(after(late)))
    };
    LeaseEntry {
        group,
        until,
        sure,
        given,
    }
}

fn state(entry: &LeaseEntry, now: u64) -> LeaseState {
    if entry.until == LeaseEntry::NEVER {
        return LeaseState::Uncounted;
    }
    match entry.until.checked_sub(now) {
        None | Some(0) => LeaseState::Lapsed,
        Some(left) => LeaseState::Held(Duration::from_nanos(left)),
    }
}

/// The kernel's timer tick, which is the resolution of its coarse clocks (`clock_getres`, kernel/time/posix-timers.c).
fn tick() -> Duration {
    // The longest there is (CONFIG_HZ = 100), should the kernel not say.
    const LONGEST: Duration = Duration::from_millis(10);
    clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).map_or(LONGEST, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Duration = Duration::from_millis(24);

    #[test]
    fn a_lease_is_sure_for_less_than_it_lasts_by_how_late_the_walk_may_be() {
        let lease = lease(7, 1_000_000_000, Duration::from_millis(100), LATE);
        assert_eq!(lease.until, 1_100_000_000);
        assert_eq!(lease.sure, 1_076_000_000);
        assert_eq!((lease.group, lease.given), (7, 1_000_000_000));
    }

    #[test]
    fn a_lease_shorter_than_the_walk_may_be_late_is_never_sure_and_lasts() {
        let lease = lease(7, 1_000_000_000, Duration::from_millis(8), LATE);
        assert!(lease.sure < lease.given);
        assert_eq!(
            state(&lease, 1_000_000_000),
            LeaseState::Held(Duration::from_millis(8))
        );
    }

    #[test]
    fn a_lease_has_lapsed_at_the_very_time_it_lasts_until() {
        let lease = lease(7, 1_000, Duration::from_nanos(500), LATE);
        let left = Duration::from_nanos(1);
        assert_eq!(state(&lease, 1_499), LeaseState::Held(left));
        assert_eq!(state(&lease, 1_500), LeaseState::Lapsed);
        assert_eq!(state(&lease, u64::MAX), LeaseState::Lapsed);
    }

    #[test]
    fn a_lease_that_does_not_count_never_lapses_and_one_for_ever_counts() {
        assert_eq!(
            state(&LeaseEntry::uncounted(7), u64::MAX),
            LeaseState::Uncounted
        );
        let long = lease(7, 1_000, Duration::MAX, LATE);
        assert!(matches!(state(&long, 1_000), LeaseState::Held(_)));
    }
}

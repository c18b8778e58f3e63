//! The three ports through which the packet walk touches the world.

use core::mem::MaybeUninit;

use super::{
    scratch::{Reading, Scratch},
    wire::WireHeader,
};
use crate::abi::{
    Addr4, Addr6, Addr16, BackendCounters, BackendEntry, BackendId, FlowEntry, FlowKey,
    FragmentEntry, FragmentKey, GroupSlot, HalfOpenEntry, IndexFlags, InterfaceEntry, InterfaceId,
    LeaseEntry, ORPHAN_BYTES, OrphanRecord, RangeKey, Reason, SelfCheckCounters, ServiceEntry,
    ServiceId, ServiceKey, TableCounters, Tick,
};

/// Largest offset at which a header may start. Far above any legal header chain, and low enough that
/// offset plus header stays under the verifier's `MAX_PACKET_OFF` (0xffff, `kernel/bpf/verifier.c`, Linux 6.1).
pub const MAX_HEADER_OFFSET: usize = 0x3fff;

/// Least bytes in front of a gap: an Ethernet header.
pub const MIN_FRONT: usize = 14;

/// Most bytes in front of a gap: two VLAN tags and the longest IPv4 and TCP headers are 142, and IPv6 leaves 134 for
/// extension headers.
pub const MAX_FRONT: usize = 256;

/// One packet, from its Ethernet header on.
pub trait PacketBuf {
    /// Length of the frame in bytes.
    fn length(&self) -> usize;

    /// Kernel index of the interface it came in by.
    fn ingress_ifindex(&self) -> u32;

    /// Copies the header at `offset` into `space`; `None` if the frame ends before it does, or `offset` is over
    /// [`MAX_HEADER_OFFSET`].
    ///
    /// Not returned by value: a small struct is returned as one integer, and the BPF compiler, which knows no
    /// such integers, takes it apart byte by byte.
    fn header<'s, H: WireHeader>(
        &self,
        offset: usize,
        space: &'s mut MaybeUninit<H>,
    ) -> Option<&'s H>;

    /// Overwrites the header at `offset`; `None` under the same conditions, and then nothing is written.
    ///
    /// Whole headers are copied out and in, so that an adapter may move words where a reference to a
    /// byte-aligned header could only move bytes.
    #[must_use]
    fn set_header<H: WireHeader>(&mut self, offset: usize, header: &H) -> Option<()>;

    /// Copies the whole frame and returns its length; `None` if there is not that much room.
    fn copy_out(&self, into: &mut [u8; ORPHAN_BYTES]) -> Option<u16>;

    /// Adds `bytes` (at most 64) of room, undefined bytes, before the Ethernet header. False if there is no headroom.
    #[must_use]
    fn grow_head(&mut self, bytes: usize) -> bool;

    /// Makes `bytes` (at most 64) of room, undefined bytes, behind the first `front` bytes of the frame ([`MIN_FRONT`] to
    /// [`MAX_FRONT`]), which move towards the headroom, by way of `space`. False if there is no headroom, or less frame.
    #[must_use]
    fn open_gap(&mut self, front: usize, bytes: usize, space: &mut [u8; MAX_FRONT]) -> bool;

    /// Removes `bytes` (at most 128) from the front. False if the driver refuses.
    #[must_use]
    fn shrink_head(&mut self, bytes: usize) -> bool;

    /// Removes `bytes` from the end. False if the driver refuses.
    #[must_use]
    fn shrink_tail(&mut self, bytes: usize) -> bool;
}

/// Why an entry could not be inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertError {
    /// The key is there already.
    Exists,
    /// The table is full, or the kernel refused for another reason.
    Refused,
}

/// The flow tables of one address family.
pub trait FlowTables<A> {
    /// Runs `work` with this CPU's working memory of the family, which holds what the last call left there. Never nested
    /// for one family.
    fn with_scratch<R>(&self, work: impl FnOnce(&mut Scratch<A>) -> R) -> Option<R>;

    /// Runs `visit` on the entry in the main table. Other CPUs may read and write the same entry meanwhile.
    fn with_flow<R>(
        &self,
        key: &FlowKey<A>,
        visit: impl FnOnce(&mut FlowEntry<A>) -> R,
    ) -> Option<R>;

    /// Inserts into the main table unless the key exists.
    fn insert_flow(&self, key: &FlowKey<A>, entry: &FlowEntry<A>) -> Result<(), InsertError>;

    /// Tells the agent how the entry in the main table stands now, if there is another node to know it.
    fn tell(&self, key: &FlowKey<A>);

    /// Removes from the main table; false if it was not there.
    fn remove_flow(&self, key: &FlowKey<A>) -> bool;

    /// Runs `visit` on the half-open entry.
    fn with_half_open<R>(
        &self,
        key: &FlowKey<A>,
        visit: impl FnOnce(&mut HalfOpenEntry<A>) -> R,
    ) -> Option<R>;

    /// Inserts a half-open entry unless the key exists; the oldest entries make room.
    fn insert_half_open(
        &self,
        key: &FlowKey<A>,
        entry: &HalfOpenEntry<A>,
    ) -> Result<(), InsertError>;

    /// Inserts or overwrites a half-open entry.
    fn put_half_open(&self, key: &FlowKey<A>, entry: &HalfOpenEntry<A>) -> Result<(), InsertError>;

    /// Removes a half-open entry, if it is there.
    fn remove_half_open(&self, key: &FlowKey<A>);

    /// Runs `visit` on what is remembered of a first fragment.
    fn with_fragment<R>(
        &self,
        key: &FragmentKey<A>,
        visit: impl FnOnce(&mut FragmentEntry) -> R,
    ) -> Option<R>;

    /// Remembers a first fragment; the oldest ones make room. One that can not be remembered is forgotten.
    fn put_fragment(&self, key: &FragmentKey<A>, entry: &FragmentEntry);
}

/// All tables.
pub trait Tables: FlowTables<Addr4> + FlowTables<Addr6> {
    /// The service behind a key: `Some(unset)` for a VIP marker.
    fn service_id(&self, key: &ServiceKey) -> Option<ServiceId>;

    /// What the index says of a VIP, by its marker; `None` if the key is none.
    fn vip_flags(&self, marker: &ServiceKey) -> Option<IndexFlags>;

    /// The service that a port of a VIP belongs to as one of many.
    fn service_in_range(&self, key: &RangeKey) -> Option<ServiceId>;

    /// A service.
    fn service(&self, id: ServiceId) -> Option<&ServiceEntry>;

    /// The backend in a slot of a service's ring; unset if there is none.
    fn ring_slot(&self, service: ServiceId, slot: usize) -> BackendId;

    /// A backend; `None` for an unused id.
    fn backend(&self, id: BackendId) -> Option<&BackendEntry>;

    /// Runs `visit` on a backend's cursor through the spare ports of `full-nat`. Other CPUs may read and write it
    /// meanwhile.
    fn snat_cursor<R>(&self, id: BackendId, visit: impl FnOnce(&mut u32) -> R) -> Option<R>;

    /// Runs `step` with 0, 1, ... until it says true, at most `times` times. A loop that the verifier does not have to
    /// follow round by round.
    fn repeat<F: FnMut(u32) -> bool>(&self, times: u32, step: F);

    /// The number of this CPU.
    fn cpu(&self) -> u32;

    /// An interface; `None` for an unused id.
    fn interface(&self, id: InterfaceId) -> Option<&InterfaceEntry>;

    /// Whether the address is that of a backend.
    fn is_backend(&self, address: &Addr16) -> bool;

    /// The lease on an HA group; `None` beyond the end of the table.
    fn lease(&self, slot: GroupSlot) -> Option<&LeaseEntry>;

    /// The HA group that an address belongs to.
    fn group_of(&self, address: &Addr16) -> Option<GroupSlot>;

    /// `CLOCK_MONOTONIC` in nanoseconds, exact and dear. For what may not be late; see [`Clock`].
    fn nanos(&self) -> u64;

    /// Hands a record that `fill` makes to the agent. False if there is no room for it, or `fill` says so.
    fn hold(&self, fill: impl FnOnce(&mut OrphanRecord) -> bool) -> bool;

    /// The id of an interface; unset if adc is not attached to it.
    fn interface_id(&self, ifindex: u32) -> InterfaceId;

    /// The interface of this kernel index; `None` if adc is not attached to it.
    #[inline(always)]
    fn ingress(&self, ifindex: u32) -> Option<(InterfaceId, &InterfaceEntry)> {
        // Where the agent puts an interface if it can: an array lookup in place of one in a hash table.
        let likely = InterfaceId::likely(ifindex);
        let found = self.interface(likely);
        if let Some(entry) = found.filter(|entry| entry.ifindex == ifindex) {
            return Some((likely, entry));
        }
        let id = self.interface_id(ifindex);
        self.interface(id).map(|entry| (id, entry))
    }

    /// Changes this CPU's counters of a backend.
    fn count_backend(&self, id: BackendId, change: impl FnOnce(&mut BackendCounters));

    /// Changes this CPU's flow table counters.
    fn count_table(&self, change: impl FnOnce(&mut TableCounters));

    /// Runs `visit` on this CPU's counters of self-checks.
    fn self_check<R>(&self, visit: impl FnOnce(&mut SelfCheckCounters) -> R) -> Option<R>;

    /// Counts a packet of `bytes` under its reason.
    fn count_reason(&self, reason: Reason, bytes: u64);
}

/// The time.
pub trait Clock {
    /// Now, in `CLOCK_MONOTONIC` ticks. `last` is what this clock last read on this CPU, zeros at first; a clock that
    /// is slow to read may leave notes there.
    fn now(&self, last: &mut Reading) -> Tick;
}

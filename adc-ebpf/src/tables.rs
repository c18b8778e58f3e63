//! `Tables` over the BPF maps.

use adc_common::{
    abi::{
        Addr4, Addr6, Addr16, BackendCounters, BackendEntry, BackendId, FlowEntry, FlowKey,
        FlowNews, FragmentEntry, FragmentKey, GroupSlot, HalfOpenEntry, IndexFlags, InterfaceEntry,
        InterfaceId, LeaseEntry, OrphanRecord, RING_SLOTS, RangeKey, Reason, SelfCheckCounters,
        ServiceEntry, ServiceId, ServiceKey, TableCounters,
    },
    datapath::{FlowTables, InsertError, Scratch, Tables},
};
use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    btf_maps::lpm_trie::Key,
    cty::c_void,
    helpers::generated::{bpf_get_smp_processor_id, bpf_ktime_get_ns, bpf_loop},
};

use crate::maps::{
    BACKEND_ADDRESSES, BACKEND_COUNTERS, BACKENDS, FLOW_NEWS, FLOWS4, FLOWS6, FRAGMENTS4,
    FRAGMENTS6, GROUP_VIPS, HALF_OPEN4, HALF_OPEN6, INTERFACE_INDEX, INTERFACES, LEASES, ORPHANS,
    REASON_COUNTERS, RINGS, RangeBits, RingArray, SCRATCH4, SCRATCH6, SELF_CHECKS, SERVICE_INDEX,
    SERVICE_RANGES, SERVICES, SNAT_CURSORS, TABLE_COUNTERS,
};

/// -EEXIST, as `bpf_map_update_elem` returns it (include/uapi/asm-generic/errno-base.h).
const EEXIST: i32 = -17;

/// The maps of this program.
pub(crate) struct KernelTables;

macro_rules! flow_tables {
    ($family:ty, $flows:ident, $half_open:ident, $fragments:ident, $scratch:ident) => {
        impl FlowTables<$family> for KernelTables {
            #[inline(always)]
            fn with_scratch<R>(&self, work: impl FnOnce(&mut Scratch<$family>) -> R) -> Option<R> {
                let scratch = $scratch.get_ptr_mut(0)?;
                // SAFETY: per-CPU, and XDP runs with bottom halves off: this run is alone with it. Any bytes are
                // a valid `Scratch`: it is made of `Pod` parts and integers.
                Some(work(unsafe { &mut *scratch }))
            }

            #[inline(always)]
            fn with_flow<R>(
                &self,
                key: &FlowKey<$family>,
                visit: impl FnOnce(&mut FlowEntry<$family>) -> R,
            ) -> Option<R> {
                let entry = $flows.get_ptr_mut(key)?;
                // SAFETY: the element stays allocated for this run (RCU; preallocated table). Another CPU may
                // write the same fields; each is one aligned word or less, and any mix of old and new is valid.
                Some(visit(unsafe { &mut *entry }))
            }

            #[inline(always)]
            fn insert_flow(
                &self,
                key: &FlowKey<$family>,
                entry: &FlowEntry<$family>,
            ) -> Result<(), InsertError> {
                outcome($flows.insert(key, entry, u64::from(BPF_NOEXIST)))
            }

            #[inline(always)]
            fn tell(&self, key: &FlowKey<$family>) {
                if !crate::maps::tells() {
                    return;
                }
                let Some(entry) = $flows.get_ptr_mut(key) else {
                    return;
                };
                let Some(mut news) = FLOW_NEWS.reserve_untyped::<FlowNews<$family>>(0) else {
                    self.count_table(|table| table.untold = table.untold.wrapping_add(1));
                    return;
                };
                // SAFETY: as for `with_flow`.
                let entry = unsafe { *entry };
                news.write(FlowNews { key: *key, entry });
                news.submit(0);
            }

            #[inline(always)]
            fn remove_flow(&self, key: &FlowKey<$family>) -> bool {
                $flows.remove(key).is_ok()
            }

            #[inline(always)]
            fn with_half_open<R>(
                &self,
                key: &FlowKey<$family>,
                visit: impl FnOnce(&mut HalfOpenEntry<$family>) -> R,
            ) -> Option<R> {
                let entry = $half_open.get_ptr_mut(key)?;
                // SAFETY: as for the main table; an evicted element may be reused under us, and the caller
                // checks that both halves point at each other before it believes either.
                Some(visit(unsafe { &mut *entry }))
            }

            #[inline(always)]
            fn insert_half_open(
                &self,
                key: &FlowKey<$family>,
                entry: &HalfOpenEntry<$family>,
            ) -> Result<(), InsertError> {
                outcome($half_open.insert(key, entry, u64::from(BPF_NOEXIST)))
            }

            #[inline(always)]
            fn put_half_open(
                &self,
                key: &FlowKey<$family>,
                entry: &HalfOpenEntry<$family>,
            ) -> Result<(), InsertError> {
                outcome($half_open.insert(key, entry, u64::from(BPF_ANY)))
            }

            #[inline(always)]
            fn remove_half_open(&self, key: &FlowKey<$family>) {
                // Already gone is as good: the LRU may have been faster.
                let _gone = $half_open.remove(key);
            }

            #[inline(always)]
            fn with_fragment<R>(
                &self,
                key: &FragmentKey<$family>,
                visit: impl FnOnce(&mut FragmentEntry) -> R,
            ) -> Option<R> {
                let entry = $fragments.get_ptr_mut(key)?;
                // SAFETY: as for half-open flows; an entry that was reused under us sends a fragment astray, once.
                Some(visit(unsafe { &mut *entry }))
            }

            #[inline(always)]
            fn put_fragment(&self, key: &FragmentKey<$family>, entry: &FragmentEntry) {
                // The kernel refuses when another CPU holds the bucket: the later fragments are then orphans.
                let _refused = $fragments.insert(key, entry, u64::from(BPF_ANY));
            }
        }
    };
}

flow_tables!(Addr4, FLOWS4, HALF_OPEN4, FRAGMENTS4, SCRATCH4);
flow_tables!(Addr6, FLOWS6, HALF_OPEN6, FRAGMENTS6, SCRATCH6);

/// One round of `bpf_loop`: 0 goes on, 1 stops (kernel/bpf/bpf_iter.c).
extern "C" fn one_round<F: FnMut(u32) -> bool>(round: u64, step: *mut c_void) -> i64 {
    // SAFETY: `repeat` hands its own `F` over, and nobody else has it meanwhile.
    let step = unsafe { &mut *step.cast::<F>() };
    #[expect(clippy::cast_possible_truncation, reason = "below `times`, a u32")]
    i64::from(step(round as u32))
}

#[inline(always)]
fn outcome(result: Result<(), i32>) -> Result<(), InsertError> {
    match result {
        Ok(()) => Ok(()),
        Err(EEXIST) => Err(InsertError::Exists),
        Err(_) => Err(InsertError::Refused),
    }
}

impl Tables for KernelTables {
    #[inline(always)]
    fn service_id(&self, key: &ServiceKey) -> Option<ServiceId> {
        // SAFETY: only one aligned half-word of the entry is read, at once.
        unsafe { SERVICE_INDEX.get(key) }.map(|entry| entry.id)
    }

    #[inline(always)]
    fn vip_flags(&self, marker: &ServiceKey) -> Option<IndexFlags> {
        // SAFETY: only one byte of the entry is read.
        unsafe { SERVICE_INDEX.get(marker) }.map(|entry| entry.flags)
    }

    #[inline(always)]
    fn service_in_range(&self, key: &RangeKey) -> Option<ServiceId> {
        let key = (&raw const *key).cast::<Key<RangeBits>>();
        // SAFETY: both are a word and 20 bytes, without padding, and aya's type asks for no alignment.
        let entry = SERVICE_RANGES.get(unsafe { &*key })?;
        Some(entry.id)
    }

    #[inline(always)]
    fn service(&self, id: ServiceId) -> Option<&ServiceEntry> {
        SERVICES.get(u32::from(id.0))
    }

    #[inline(always)]
    fn ring_slot(&self, service: ServiceId, slot: usize) -> BackendId {
        let Some(ring) = RINGS.get(u32::from(service.0)).and_then(RingArray::ring) else {
            return BackendId(0);
        };
        ring.slots
            .get(slot & (RING_SLOTS - 1))
            .copied()
            .unwrap_or_default()
    }

    #[inline(always)]
    fn backend(&self, id: BackendId) -> Option<&BackendEntry> {
        BACKENDS
            .get(u32::from(id.0))
            .filter(|entry| !entry.address.is_unset())
    }

    #[inline(always)]
    fn snat_cursor<R>(&self, id: BackendId, visit: impl FnOnce(&mut u32) -> R) -> Option<R> {
        let cursor = SNAT_CURSORS.get_ptr_mut(u32::from(id.0))?;
        // SAFETY: one aligned word in an array. Another CPU may write it too: any value is valid.
        Some(visit(unsafe { &mut *cursor }))
    }

    #[inline(always)]
    fn repeat<F: FnMut(u32) -> bool>(&self, times: u32, mut step: F) {
        let callback = one_round::<F> as *const () as *mut c_void;
        // SAFETY: the callback is the one for `F`; the helper (Linux 5.17 and later) returns before `step` ends. That it
        // ran fewer times than it might is no error.
        let _rounds = unsafe { bpf_loop(times, callback, (&raw mut step).cast(), 0) };
    }

    #[inline(always)]
    fn cpu(&self) -> u32 {
        // SAFETY: a helper without arguments or preconditions.
        unsafe { bpf_get_smp_processor_id() }
    }

    #[inline(always)]
    fn interface(&self, id: InterfaceId) -> Option<&InterfaceEntry> {
        INTERFACES
            .get(u32::from(id.0))
            .filter(|entry| entry.ifindex != 0)
    }

    #[inline(always)]
    fn is_backend(&self, address: &Addr16) -> bool {
        BACKEND_ADDRESSES.get_ptr(address).is_some()
    }

    #[inline(always)]
    fn lease(&self, slot: GroupSlot) -> Option<&LeaseEntry> {
        LEASES.get(u32::from(slot.0))
    }

    #[inline(always)]
    fn group_of(&self, address: &Addr16) -> Option<GroupSlot> {
        // SAFETY: one aligned word is read, at once.
        let slot = unsafe { GROUP_VIPS.get(address) }?;
        // The agent writes no slot that is none.
        u8::try_from(*slot).ok().map(GroupSlot)
    }

    #[inline(always)]
    fn nanos(&self) -> u64 {
        // SAFETY: a helper without arguments or preconditions.
        unsafe { bpf_ktime_get_ns() }
    }

    #[inline(always)]
    fn hold(&self, fill: impl FnOnce(&mut OrphanRecord) -> bool) -> bool {
        let Some(mut entry) = ORPHANS.reserve(0) else {
            return false;
        };
        // SAFETY: any bytes are a valid record, and `fill` writes all that is read.
        let filled = fill(unsafe { &mut *entry.as_mut_ptr() });
        if filled {
            entry.submit(0);
        } else {
            entry.discard(0);
        }
        filled
    }

    #[inline(always)]
    fn interface_id(&self, ifindex: u32) -> InterfaceId {
        // SAFETY: one aligned word is read, at once.
        let id = unsafe { INTERFACE_INDEX.get(ifindex) };
        InterfaceId(id.map_or(0, |id| u16::try_from(*id).unwrap_or(0)))
    }

    #[inline(always)]
    fn count_backend(&self, id: BackendId, change: impl FnOnce(&mut BackendCounters)) {
        if let Some(counters) = BACKEND_COUNTERS.get_ptr_mut(u32::from(id.0)) {
            // SAFETY: per-CPU value; XDP runs with bottom halves off, so nothing else on this CPU writes it.
            change(unsafe { &mut *counters });
        }
        crate::note_backend(id);
    }

    #[inline(always)]
    fn count_table(&self, change: impl FnOnce(&mut TableCounters)) {
        if let Some(counters) = TABLE_COUNTERS.get_ptr_mut(0) {
            // SAFETY: as above.
            change(unsafe { &mut *counters });
        }
    }

    #[inline(always)]
    fn self_check<R>(&self, visit: impl FnOnce(&mut SelfCheckCounters) -> R) -> Option<R> {
        let counters = SELF_CHECKS.get_ptr_mut(0)?;
        // SAFETY: as above.
        Some(visit(unsafe { &mut *counters }))
    }

    #[inline(always)]
    fn count_reason(&self, reason: Reason, bytes: u64) {
        if let Some(counters) = REASON_COUNTERS.get_ptr_mut(reason.index()) {
            // SAFETY: as above.
            let counters = unsafe { &mut *counters };
            counters.packets = counters.packets.wrapping_add(1);
            counters.bytes = counters.bytes.wrapping_add(bytes);
        }
    }
}

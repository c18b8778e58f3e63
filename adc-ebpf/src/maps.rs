//! Every map. `docs/MAPS.md` says who writes and who reads each; the agent sets the sizes at load.

use adc_common::abi::{
    Addr4, Addr6, Addr16, BackendCounters, BackendEntry, FLOW_NEWS_BYTES, FRAGMENT_ENTRIES,
    FlowEntry, FlowKey, FlowNews, FragmentEntry, FragmentKey, GROUP_VIPS_MAX, HalfOpenEntry,
    InterfaceEntry, LEASE_SLOTS, LeaseEntry, MAX_INTERFACES, ORPHAN_RING_BYTES, OrphanRecord,
    RangeKey, Reason, ReasonCounters, Ring, SELF_CHECK_PROGRAMS, SelfCheckCounters, ServiceEntry,
    ServiceIndexEntry, ServiceKey, TableCounters,
};
use adc_common::datapath::Scratch;
use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, bpf_map_type::BPF_MAP_TYPE_ARRAY},
    btf_maps::{
        Array, ArrayOfMaps, DevMap, HashMap, LpmTrie, LruHashMap, PerCpuArray, ProgramArray,
        RingBuf,
    },
    helpers::generated::bpf_map_lookup_elem,
    macros::btf_map,
};

const FRAGMENTS: usize = FRAGMENT_ENTRIES as usize;
const INTERFACES_MAX: usize = MAX_INTERFACES as usize;

// Placeholders where the agent sets the size from `dataplane.limits`.
const FLOWS: usize = 1024;
const SERVICES_MAX: usize = 1024;
const BACKENDS_MAX: usize = 1024;

#[btf_map]
pub(crate) static FLOWS4: HashMap<FlowKey<Addr4>, FlowEntry<Addr4>, FLOWS> = HashMap::new();

#[btf_map]
pub(crate) static FLOWS6: HashMap<FlowKey<Addr6>, FlowEntry<Addr6>, FLOWS> = HashMap::new();

#[btf_map]
pub(crate) static HALF_OPEN4: LruHashMap<FlowKey<Addr4>, HalfOpenEntry<Addr4>, FLOWS> =
    LruHashMap::new();

#[btf_map]
pub(crate) static HALF_OPEN6: LruHashMap<FlowKey<Addr6>, HalfOpenEntry<Addr6>, FLOWS> =
    LruHashMap::new();

#[btf_map]
pub(crate) static FRAGMENTS4: LruHashMap<FragmentKey<Addr4>, FragmentEntry, FRAGMENTS> =
    LruHashMap::new();

#[btf_map]
pub(crate) static FRAGMENTS6: LruHashMap<FragmentKey<Addr6>, FragmentEntry, FRAGMENTS> =
    LruHashMap::new();

#[btf_map]
pub(crate) static SERVICE_INDEX: HashMap<ServiceKey, ServiceIndexEntry, SERVICES_MAX> =
    HashMap::new();

/// A [`RangeKey`] without its first word, which is aya's.
#[repr(C)]
pub(crate) struct RangeBits([u32; (size_of::<RangeKey>() - size_of::<u32>()) / size_of::<u32>()]);

#[btf_map]
pub(crate) static SERVICE_RANGES: LpmTrie<RangeBits, ServiceIndexEntry, SERVICES_MAX> =
    LpmTrie::new();

#[btf_map]
pub(crate) static SERVICES: Array<ServiceEntry, SERVICES_MAX> = Array::new();

#[btf_map]
pub(crate) static RINGS: ArrayOfMaps<RingArray, SERVICES_MAX> = ArrayOfMaps::new();

#[btf_map]
pub(crate) static BACKENDS: Array<BackendEntry, BACKENDS_MAX> = Array::new();

#[btf_map]
pub(crate) static SNAT_CURSORS: Array<u32, BACKENDS_MAX> = Array::new();

#[btf_map]
pub(crate) static BACKEND_COUNTERS: PerCpuArray<BackendCounters, BACKENDS_MAX> = PerCpuArray::new();

#[btf_map]
pub(crate) static BACKEND_ADDRESSES: HashMap<Addr16, u32, BACKENDS_MAX> = HashMap::new();

#[btf_map]
pub(crate) static LEASES: Array<LeaseEntry, { LEASE_SLOTS as usize }> = Array::new();

#[btf_map]
pub(crate) static GROUP_VIPS: HashMap<
    Addr16,
    u32,
    { GROUP_VIPS_MAX as usize },
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

#[btf_map]
pub(crate) static ORPHANS: RingBuf<OrphanRecord, { ORPHAN_RING_BYTES as usize }> = RingBuf::new();

/// Of both families: a record's length tells which.
#[btf_map]
pub(crate) static FLOW_NEWS: RingBuf<FlowNews<Addr6>, { FLOW_NEWS_BYTES as usize }> =
    RingBuf::new();

#[btf_map]
pub(crate) static INTERFACES: Array<InterfaceEntry, INTERFACES_MAX> = Array::new();

#[btf_map]
pub(crate) static INTERFACE_INDEX: HashMap<u32, u32, INTERFACES_MAX> = HashMap::new();

#[btf_map]
pub(crate) static REDIRECT: DevMap<INTERFACES_MAX> = DevMap::new();

#[btf_map]
pub(crate) static REASON_COUNTERS: PerCpuArray<ReasonCounters, { Reason::CAPACITY as usize }> =
    PerCpuArray::new();

#[btf_map]
pub(crate) static TABLE_COUNTERS: PerCpuArray<TableCounters, 1> = PerCpuArray::new();

#[btf_map]
pub(crate) static PROGRAMS: ProgramArray<{ SELF_CHECK_PROGRAMS as usize }> = ProgramArray::new();

#[btf_map]
pub(crate) static SELF_CHECKS: PerCpuArray<SelfCheckCounters, 1> = PerCpuArray::new();

#[btf_map]
pub(crate) static SCRATCH4: PerCpuArray<Scratch<Addr4>, 1> = PerCpuArray::new();

#[btf_map]
pub(crate) static SCRATCH6: PerCpuArray<Scratch<Addr6>, 1> = PerCpuArray::new();

/// The inner maps of `RINGS`: arrays of one [`Ring`].
///
/// Declared by sizes, not by types, so that the kernel's template has no BTF: the agent makes inner maps through
/// aya, which can give them none, and Linux 6.1 refuses an inner map that has BTF where the template has not, or
/// the reverse (`bpf_map_meta_equal` compares `timer_off`, which differs). Newer kernels do not care.
#[repr(C)]
pub(crate) struct RingArray {
    r#type: *const [i32; BPF_MAP_TYPE_ARRAY as usize],
    key_size: *const [i32; size_of::<u32>()],
    value_size: *const [i32; size_of::<Ring>()],
    max_entries: *const [i32; 1],
}

impl RingArray {
    /// The one ring.
    #[inline(always)]
    pub(crate) fn ring(&self) -> Option<&Ring> {
        let map = (&raw const *self).cast_mut().cast();
        let first = 0_u32;
        // SAFETY: the kernel handed out this map, and the key has its key's size.
        let ring = unsafe { bpf_map_lookup_elem(map, (&raw const first).cast()) };
        // SAFETY: an element of an array stays where it is while a program runs (RCU); any bytes are a valid `Ring`.
        unsafe { ring.cast::<Ring>().as_ref() }
    }
}

/// 1 if there is another node to be told of flows. The agent sets it before the programs are loaded; the map that holds it is
/// frozen by then, so the verifier knows the value and drops what it excludes.
#[unsafe(no_mangle)]
static TELL_FLOWS: u32 = 0;

/// Whether there is another node to be told of flows.
#[inline(always)]
pub(crate) fn tells() -> bool {
    // SAFETY: a static. Volatile, because the compiler takes the value above for the last word.
    unsafe { (&raw const TELL_FLOWS).read_volatile() != 0 }
}

//! Writer of `SERVICE_INDEX`, `SERVICE_RANGES`, `SERVICES`, `RINGS`, `BACKENDS` and `GROUP_VIPS`, and of who has which slot of
//! `LEASES`.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    os::fd::AsRawFd,
    sync::{Mutex, PoisonError},
    thread,
};

use adc_common::abi::Addr16;
use adc_common::abi::{
    BackendCounters, BackendEntry, BackendFlags, BackendId, IndexFlags, Ring, ServiceEntry,
    ServiceId, ServiceIndexEntry, ServiceKey,
};
use aya::maps::{Array, HashMap, Map, MapData, MapError};
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_ARRAY;
use bytemuck::TransparentWrapper as _;

use super::{
    batch,
    counters::{Counters, sum},
    error::DataplaneError,
    groups::Groups,
    loader::Maps,
    mapped::{Mapped, fd_of, is_missing},
    ranges::Ranges,
};
use crate::{
    model::Limits,
    plan::{Change, Observed, keys_of},
    ring::{self, Member},
};

/// Rings that are built and swapped at a time: each is a map of 128 KiB with a file descriptor of its own until it is
/// in its place.
const RINGS_AT_ONCE: usize = 256;

/// The configuration maps. [`Self::apply`] is their only writer.
pub struct Tables {
    pub(super) index: HashMap<MapData, Mapped<ServiceKey>, Mapped<ServiceIndexEntry>>,
    pub(super) ranges: Ranges,
    pub(super) services: Array<MapData, Mapped<ServiceEntry>>,
    rings: Map,
    pub(super) backends: Array<MapData, Mapped<BackendEntry>>,
    pub(super) groups: Groups,
    /// Where fragments of answers come from.
    pub(super) addresses: HashMap<MapData, Mapped<Addr16>, u32>,
    /// What was last written, so that unchanged rings stay untouched.
    pub(super) observed: Observed,
    /// Who is in each ring. Kept out of `observed`, whose entries are compared with what is wanted.
    in_rings: BTreeMap<ServiceId, BTreeSet<BackendId>>,
    /// Counters of backends cleared since this process started, by service.
    departed: BTreeMap<ServiceId, BackendCounters>,
}

impl Tables {
    pub(super) fn new(maps: &mut Maps<'_>) -> Result<Self, DataplaneError> {
        let fail = |map| move |error: MapError| DataplaneError::map("opening", map, error);
        let mut tables = Self {
            index: maps
                .take("SERVICE_INDEX")?
                .try_into()
                .map_err(fail("SERVICE_INDEX"))?,
            ranges: Ranges::new(maps)?,
            services: maps
                .take("SERVICES")?
                .try_into()
                .map_err(fail("SERVICES"))?,
            rings: maps.take("RINGS")?,
            backends: maps
                .take("BACKENDS")?
                .try_into()
                .map_err(fail("BACKENDS"))?,
            groups: Groups::new(maps)?,
            addresses: maps
                .take("BACKEND_ADDRESSES")?
                .try_into()
                .map_err(fail("BACKEND_ADDRESSES"))?,
            observed: Observed::default(),
            in_rings: BTreeMap::new(),
            departed: BTreeMap::new(),
        };
        tables.observed = tables.read_back()?;
        Ok(tables)
    }

    /// What the maps hold, as far as this process knows; flows are not counted here.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// What a service's backends that are gone had counted: without it the totals of a service would fall when
    /// a backend's last flow ends. Known since this process started.
    pub fn departed(&self, service: ServiceId) -> BackendCounters {
        self.departed.get(&service).copied().unwrap_or_default()
    }

    fn read_back(&mut self) -> Result<Observed, DataplaneError> {
        let mut observed = Observed {
            groups: self.groups.slots()?,
            group_vips: self.groups.vips()?,
            ..Observed::default()
        };
        let mut ranged = BTreeSet::new();
        for entry in &self.index {
            let (Mapped(key), Mapped(value)) =
                entry.map_err(|error| DataplaneError::map("reading", "SERVICE_INDEX", error))?;
            observed.index.insert(key, value.id);
            if value.flags.contains(IndexFlags::RANGES) {
                ranged.insert(key.vip);
            }
        }
        for id in 1..self.services.len() {
            let Mapped(entry) = self
                .services
                .get(&id, 0)
                .map_err(|error| DataplaneError::map("reading", "SERVICES", error))?;
            if entry != ServiceEntry::default() {
                observed.services.insert(ServiceId(id16(id)), entry);
            }
        }
        let prefixes = self.ranges.read()?;
        let ranges = keys_of(&prefixes, &observed.services, |vip| ranged.contains(&vip));
        observed.index.extend(ranges);
        for id in 1..self.backends.len() {
            let Mapped(mut entry) = self
                .backends
                .get(&id, 0)
                .map_err(|error| DataplaneError::map("reading", "BACKENDS", error))?;
            if entry.address != Addr16::UNSET {
                let id = BackendId(id16(id));
                if entry.flags.contains(BackendFlags::IN_RING) {
                    self.in_rings.entry(entry.service).or_default().insert(id);
                    entry.flags = entry.flags.with(BackendFlags::IN_RING, false);
                }
                observed.backends.insert(id, entry);
            }
        }
        Ok(observed)
    }

    /// Makes the changes, in order; rings, which do not depend on each other, together. On an error what was
    /// done so far is recorded, and the next plan starts from there.
    pub fn apply(
        &mut self,
        changes: &[Change],
        counters: &mut Counters,
    ) -> Result<(), DataplaneError> {
        let mut rest = changes;
        while let Some(change) = rest.first() {
            let rings = rest
                .iter()
                .take_while(|change| ring_change(change).is_some())
                .count();
            if rings > 0 {
                let (together, later) = rest.split_at(rings.min(RINGS_AT_ONCE));
                if let Err(error) = self.swap_rings(together) {
                    // Some may have been swapped: until they are written again nobody knows what they name.
                    for (service, _) in together.iter().filter_map(ring_change) {
                        self.observed.forget_ring(service);
                    }
                    return Err(error);
                }
                for change in together {
                    self.observed.record(change);
                }
                for (service, members) in together.iter().filter_map(ring_change) {
                    self.mark_members(service, members)?;
                }
                rest = later;
            } else {
                let applied = self.apply_one(change, counters);
                if applied.is_err() {
                    self.find_ranges_again(change)?;
                }
                applied?;
                self.observed.record(change);
                rest = rest.get(1..).unwrap_or_default();
            }
        }
        Ok(())
    }

    fn apply_one(
        &mut self,
        change: &Change,
        counters: &mut Counters,
    ) -> Result<(), DataplaneError> {
        match change {
            Change::RemoveIndex { key, .. } if key.ports().is_some() => self.remove_range(key),
            Change::RemoveIndex { key, .. } => match self.index.remove(&Mapped(*key)) {
                Ok(()) => Ok(()),
                Err(error) if is_missing(&error) => Ok(()),
                Err(error) => Err(DataplaneError::map("removing", "SERVICE_INDEX", error)),
            },
            Change::PutIndex { key, id } if key.ports().is_some() => self.put_range(key, *id),
            Change::PutIndex { key, id } => {
                let is_vip = *key == ServiceKey::vip_marker(key.vip);
                let ranges = is_vip && self.has_ranges(key.vip, None);
                self.set_index(key, *id, ranges)
            }
            Change::PutService { id, entry, .. } => self.set_service(*id, entry),
            Change::ClearService { id } => {
                self.in_rings.remove(id);
                self.departed.remove(id);
                self.set_service(*id, &ServiceEntry::default())
            }
            Change::PutBackend { id, entry, .. } => self.set_backend(*id, *entry),
            Change::ClearBackend { id, before } => {
                if let Some(ring) = self.in_rings.get_mut(&before.service) {
                    ring.remove(id);
                }
                self.set_backend(*id, BackendEntry::default())?;
                self.forget_address(*id, before.address)?;
                let counted = counters.take_backend(*id)?;
                let departed = self.departed.entry(before.service).or_default();
                *departed = sum(*departed, counted);
                Ok(())
            }
            Change::Group(change) => self.groups.apply(change),
            Change::PutRing { .. } | Change::ClearRing { .. } => {
                self.swap_rings(std::slice::from_ref(change))
            }
        }
    }

    pub(super) fn set_index(
        &mut self,
        key: &ServiceKey,
        id: ServiceId,
        has_ranges: bool,
    ) -> Result<(), DataplaneError> {
        let ranges = IndexFlags::RANGES;
        let flags = if has_ranges {
            ranges
        } else {
            IndexFlags::default()
        };
        let entry = ServiceIndexEntry::of(id, flags);
        self.index
            .insert(Mapped(*key), Mapped(entry), 0)
            .map_err(|error| DataplaneError::map("writing", "SERVICE_INDEX", error))
    }

    fn set_service(&mut self, id: ServiceId, entry: &ServiceEntry) -> Result<(), DataplaneError> {
        self.services
            .set(u32::from(id.0), Mapped(*entry), 0)
            .map_err(|error| DataplaneError::map("writing", "SERVICES", error))
    }

    fn set_backend(
        &mut self,
        id: BackendId,
        mut entry: BackendEntry,
    ) -> Result<(), DataplaneError> {
        let ring = self.in_rings.get(&entry.service);
        let in_ring = ring.is_some_and(|ring| ring.contains(&id));
        entry.flags = entry.flags.with(BackendFlags::IN_RING, in_ring);
        if entry.address != Addr16::UNSET {
            self.addresses
                .insert(Mapped(entry.address), 0, 0)
                .map_err(|error| DataplaneError::map("writing", "BACKEND_ADDRESSES", error))?;
        }
        self.backends
            .set(u32::from(id.0), Mapped(entry), 0)
            .map_err(|error| DataplaneError::map("writing", "BACKENDS", error))
    }

    /// Takes the address of a backend that is cleared out of the set, unless another has it.
    fn forget_address(
        &mut self,
        cleared: BackendId,
        address: Addr16,
    ) -> Result<(), DataplaneError> {
        let backends = &self.observed.backends;
        if backends
            .iter()
            .any(|(id, entry)| *id != cleared && entry.address == address)
        {
            return Ok(());
        }
        match self.addresses.remove(&Mapped(address)) {
            Ok(()) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(DataplaneError::map("removing", "BACKEND_ADDRESSES", error)),
        }
    }

    /// Builds rings aside, then swaps them in together. A cleared ring is swapped for one of unset slots: array-of-maps
    /// slots can be emptied too, but a reader could then tell "cleared" from "never made", and need not.
    fn swap_rings(&self, changes: &[Change]) -> Result<(), DataplaneError> {
        let wanted: Vec<(ServiceId, &[Member])> = changes.iter().filter_map(ring_change).collect();
        let members: Vec<&[Member]> = wanted.iter().map(|(_, members)| *members).collect();
        let built = Mutex::new(BTreeMap::new());
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        ring::build_each(&members, threads, |at, ring| {
            let map = new_ring(ring)?;
            built
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(at, map);
            Ok(())
        })?;
        let built = built.into_inner().unwrap_or_else(PoisonError::into_inner);
        let slots: Vec<u32> = wanted
            .iter()
            .map(|(service, _)| u32::from(service.0))
            .collect();
        let fds = built
            .values()
            .map(|ring| Ok(fd_of(ring, "RINGS")?.as_raw_fd()));
        let fds = fds.collect::<Result<Vec<i32>, DataplaneError>>()?;
        batch::put_maps(fd_of(&self.rings, "RINGS")?, &slots, &fds)
            .map_err(|error| DataplaneError::map("swapping rings", "RINGS", error))
    }

    /// What the maps have room for: `configured`, or less if they were adopted from an agent with less.
    pub fn limits(&self, configured: &Limits) -> Limits {
        Limits {
            services: configured
                .services
                .min(self.services.len().saturating_sub(1)),
            backends: configured
                .backends
                .min(self.backends.len().saturating_sub(1)),
            ..*configured
        }
    }

    /// Backends that a service's ring names, as this process or the one before wrote it.
    pub fn ring_backends(&self, service: ServiceId) -> BTreeSet<BackendId> {
        self.in_rings.get(&service).cloned().unwrap_or_default()
    }

    /// Marks who is in a ring, for the agent that may adopt these tables.
    fn mark_members(
        &mut self,
        service: ServiceId,
        members: &[Member],
    ) -> Result<(), DataplaneError> {
        let now: BTreeSet<BackendId> = members.iter().map(|member| member.backend).collect();
        let before = self
            .in_rings
            .insert(service, now.clone())
            .unwrap_or_default();
        for id in before.symmetric_difference(&now) {
            if let Some(entry) = self.observed.backends.get(id).copied() {
                self.set_backend(*id, entry)?;
            }
        }
        Ok(())
    }
}

/// The service and members of a ring change; `None` for other changes.
fn ring_change(change: &Change) -> Option<(ServiceId, &[Member])> {
    match change {
        Change::PutRing { service, spec, .. } => Some((*service, &spec.members)),
        Change::ClearRing { service, .. } => Some((*service, &[])),
        Change::RemoveIndex { .. }
        | Change::PutService { .. }
        | Change::PutBackend { .. }
        | Change::PutIndex { .. }
        | Change::ClearBackend { .. }
        | Change::ClearService { .. }
        | Change::Group(_) => None,
    }
}

/// An inner map with the ring in it. By way of `aya_obj`, because aya's own constructor keeps the
/// descriptor to itself and the batched swap needs it.
#[expect(clippy::cast_possible_truncation, reason = "4 bytes, and 128 KiB")]
fn new_ring(ring: &Ring) -> Result<Map, DataplaneError> {
    const KEY: u32 = size_of::<u32>() as u32;
    const RING: u32 = size_of::<Ring>() as u32;
    let fail = |error: MapError| DataplaneError::map("creating a ring for", "RINGS", error);
    let shape = aya_obj::Map::new_from_params(BPF_MAP_TYPE_ARRAY as u32, KEY, RING, 1, 0);
    let mut map = Map::Array(MapData::create(shape, "ring", None).map_err(fail)?);
    let mut slots = Array::<_, Mapped<Ring>>::try_from(&mut map).map_err(fail)?;
    slots.set(0, Mapped::wrap_ref(ring), 0).map_err(fail)?;
    Ok(map)
}

fn id16(id: u32) -> u16 {
    u16::try_from(id).unwrap_or(0)
}

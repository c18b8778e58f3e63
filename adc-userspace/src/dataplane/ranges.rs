//! `SERVICE_RANGES`, written for [`super::Tables`] alone.

use std::collections::BTreeMap;

use adc_common::abi::{Addr16, IndexFlags, RangeKey, ServiceId, ServiceIndexEntry, ServiceKey};
use aya::maps::{LpmTrie, MapData, MapError, lpm_trie::Key};

use super::{
    Tables,
    error::DataplaneError,
    loader::Maps,
    mapped::{Mapped, is_missing},
};
use crate::plan::{Change, keys_of, prefixes_only_of, ranges_of};

const NAME: &str = "SERVICE_RANGES";

/// A key without its length, which aya keeps beside it.
type Bits = [u32; 5];

/// Which service has which ports of a VIP, by prefix.
pub(super) struct Ranges(LpmTrie<MapData, Bits, Mapped<ServiceIndexEntry>>);

impl Ranges {
    pub(super) fn new(maps: &mut Maps<'_>) -> Result<Self, DataplaneError> {
        let map = maps.take(NAME)?.try_into();
        let map = map.map_err(|error| DataplaneError::map("opening", NAME, error));
        Ok(Self(map?))
    }

    /// The service of the longest prefix that matches.
    pub(super) fn find(&self, key: &RangeKey) -> Result<Option<ServiceId>, DataplaneError> {
        match self.0.get(&to_aya(key), 0) {
            Ok(Mapped(entry)) => Ok(Some(entry.id)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(DataplaneError::map("reading", NAME, error)),
        }
    }

    /// Everything in it.
    pub(super) fn read(&self) -> Result<BTreeMap<RangeKey, ServiceId>, DataplaneError> {
        let entries = self.0.iter().map(|entry| {
            let (key, Mapped(value)) = entry?;
            Ok((of_aya(&key), value.id))
        });
        entries
            .collect::<Result<_, MapError>>()
            .map_err(|error| DataplaneError::map("reading", NAME, error))
    }

    pub(super) fn put(&mut self, key: &RangeKey, id: ServiceId) -> Result<(), DataplaneError> {
        let entry = ServiceIndexEntry::of(id, IndexFlags::default());
        self.0
            .insert(&to_aya(key), Mapped(entry), 0)
            .map_err(|error| DataplaneError::map("writing", NAME, error))
    }

    pub(super) fn remove(&mut self, key: &RangeKey) -> Result<(), DataplaneError> {
        match self.0.remove(&to_aya(key)) {
            Ok(()) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(DataplaneError::map("removing", NAME, error)),
        }
    }
}

impl Tables {
    /// Whether a VIP has services with many ports, `but` one.
    pub(super) fn has_ranges(&self, vip: Addr16, but: Option<&ServiceKey>) -> bool {
        ranges_of(&self.observed().index, vip).any(|key| Some(key) != but)
    }

    /// Puts all prefixes of a service in, then says in the marker of its VIP that there are some.
    pub(super) fn put_range(
        &mut self,
        key: &ServiceKey,
        id: ServiceId,
    ) -> Result<(), DataplaneError> {
        for prefix in RangeKey::of_service(key) {
            self.ranges.put(&prefix, id)?;
        }
        self.set_index(&ServiceKey::vip_marker(key.vip), ServiceId(0), true)
    }

    /// After a change that was cut short: which prefixes are there, nobody knows otherwise. Those of the key that it was
    /// about stand for themselves, so that the next plan puts it again, or takes them out.
    pub(super) fn find_ranges_again(&mut self, change: &Change) -> Result<(), DataplaneError> {
        let (Change::PutIndex { key, .. } | Change::RemoveIndex { key, .. }) = change else {
            return Ok(());
        };
        if key.ports().is_none() {
            return Ok(());
        }
        let prefixes = self.ranges.read()?;
        let mut services = self.observed().services.clone();
        services.retain(|_, entry| entry.key != *key);
        let found = keys_of(&prefixes, &services, |_| true);
        let index = &mut self.observed.index;
        index.retain(|key, _| key.ports().is_none());
        index.extend(found);
        Ok(())
    }

    /// Takes the prefixes out that no other key has.
    pub(super) fn remove_range(&mut self, key: &ServiceKey) -> Result<(), DataplaneError> {
        for prefix in prefixes_only_of(key, &self.observed().index) {
            self.ranges.remove(&prefix)?;
        }
        let marker = ServiceKey::vip_marker(key.vip);
        if self.has_ranges(key.vip, Some(key)) || !self.observed().index.contains_key(&marker) {
            return Ok(());
        }
        self.set_index(&marker, ServiceId(0), false)
    }
}

fn to_aya(key: &RangeKey) -> Key<Bits> {
    let [prefix_len, bits @ ..] = bytemuck::cast::<RangeKey, [u32; 6]>(*key);
    Key::new(prefix_len, bits)
}

fn of_aya(key: &Key<Bits>) -> RangeKey {
    let mut words = [key.prefix_len(); 6];
    words[1..].copy_from_slice(&key.data());
    bytemuck::cast(words)
}

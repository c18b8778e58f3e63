//! The flow tables.

use std::{collections::HashMap as Snapshot, hash::Hash};

use adc_common::abi::{
    Addr4, Addr6, FlowEntry, FlowFlags, FlowKey, FragmentEntry, FragmentKey, HalfOpenEntry, Port,
    Protocol, Tick, Tuple,
};
use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};
use bytemuck::Pod;

use super::{super::raw::Raw, Limits, take};
use crate::walk::{Flows, half_without_time, without_time};

type Table<K, V> = HashMap<MapData, Raw<K>, Raw<V>>;

/// The four flow tables, and the two of fragments.
pub struct FlowMaps {
    main4: Table<FlowKey<Addr4>, FlowEntry<Addr4>>,
    main6: Table<FlowKey<Addr6>, FlowEntry<Addr6>>,
    half4: Table<FlowKey<Addr4>, HalfOpenEntry<Addr4>>,
    half6: Table<FlowKey<Addr6>, HalfOpenEntry<Addr6>>,
    fragments4: Table<FragmentKey<Addr4>, FragmentEntry>,
    fragments6: Table<FragmentKey<Addr6>, FragmentEntry>,
    limits: Limits,
}

impl FlowMaps {
    pub(super) fn take(ebpf: &mut Ebpf, limits: Limits) -> Self {
        Self {
            main4: take(ebpf, "FLOWS4"),
            main6: take(ebpf, "FLOWS6"),
            half4: take(ebpf, "HALF_OPEN4"),
            half6: take(ebpf, "HALF_OPEN6"),
            fragments4: take(ebpf, "FRAGMENTS4"),
            fragments6: take(ebpf, "FRAGMENTS6"),
            limits,
        }
    }

    pub(in crate::program) fn flow4(&self, key: &FlowKey<Addr4>) -> Option<FlowEntry<Addr4>> {
        self.main4.get(&Raw(*key), 0).ok().map(|Raw(entry)| entry)
    }

    pub(in crate::program) fn flow6(&self, key: &FlowKey<Addr6>) -> Option<FlowEntry<Addr6>> {
        self.main6.get(&Raw(*key), 0).ok().map(|Raw(entry)| entry)
    }

    pub(in crate::program) fn half_open4(
        &self,
        key: &FlowKey<Addr4>,
    ) -> Option<HalfOpenEntry<Addr4>> {
        self.half4.get(&Raw(*key), 0).ok().map(|Raw(entry)| entry)
    }

    pub(in crate::program) fn half_open6(
        &self,
        key: &FlowKey<Addr6>,
    ) -> Option<HalfOpenEntry<Addr6>> {
        self.half6.get(&Raw(*key), 0).ok().map(|Raw(entry)| entry)
    }

    pub(in crate::program) fn fragment4(&self, key: &FragmentKey<Addr4>) -> Option<FragmentEntry> {
        let found = self.fragments4.get(&Raw(*key), 0);
        found.ok().map(|Raw(entry)| entry)
    }

    pub(in crate::program) fn fragment6(&self, key: &FragmentKey<Addr6>) -> Option<FragmentEntry> {
        let found = self.fragments6.get(&Raw(*key), 0);
        found.ok().map(|Raw(entry)| entry)
    }

    /// Removes every flow, and what is known of fragments.
    pub fn clear(&mut self) {
        remove(&mut self.fragments4, |_| true);
        remove(&mut self.fragments6, |_| true);
        remove(&mut self.main4, |_| true);
        remove(&mut self.main6, |_| true);
        remove(&mut self.half4, |_| true);
        remove(&mut self.half6, |_| true);
    }

    /// All flows, without their times. Those of [`Self::fill`] are nobody's and are left out.
    pub fn read(&self) -> Flows {
        let mut flows = Flows {
            main4: read(&self.main4, without_time),
            main6: read(&self.main6, without_time),
            half4: read(&self.half4, half_without_time),
            half6: read(&self.half6, half_without_time),
        };
        flows.main4.retain(|key, _| key.protocol != NOBODY);
        flows.main6.retain(|key, _| key.protocol != NOBODY);
        flows
    }

    /// Makes every flow and every first fragment older.
    pub fn age(&mut self, seconds: u32) {
        let age = |seen: &mut Tick| *seen = Tick(seen.0.wrapping_sub(Tick::from_secs(seconds).0));
        rewrite(&mut self.main4, |entry| age(&mut entry.last_seen));
        rewrite(&mut self.main6, |entry| age(&mut entry.last_seen));
        rewrite(&mut self.half4, |entry| age(&mut entry.flow.last_seen));
        rewrite(&mut self.half6, |entry| age(&mut entry.flow.last_seen));
        rewrite(&mut self.fragments4, |entry| age(&mut entry.seen));
        rewrite(&mut self.fragments6, |entry| age(&mut entry.seen));
    }

    /// Removes the half-open entries that match answers, or the others.
    pub fn evict(&mut self, answers: bool) {
        let is_answer = |flags: FlowFlags| flags.contains(FlowFlags::REPLY);
        remove(&mut self.half4, |half| {
            is_answer(half.flow.flags) == answers
        });
        remove(&mut self.half6, |half| {
            is_answer(half.flow.flags) == answers
        });
    }

    /// Fills the main tables until the kernel refuses, then makes room for `spare` entries.
    pub fn fill(&mut self, spare: usize) {
        fill(&mut self.main4, self.limits.flows, spare, |n| {
            Addr4(n.to_be_bytes())
        });
        fill(&mut self.main6, self.limits.flows, spare, |n| {
            Addr6(u128::from(n).to_be_bytes())
        });
    }
}

/// The protocol of made-up flows: 255 is reserved (IANA), so no packet matches them.
const NOBODY: Protocol = Protocol(255);

fn fill<A: Copy + Default + 'static>(
    table: &mut Table<FlowKey<A>, FlowEntry<A>>,
    limit: u32,
    spare: usize,
    address: impl Fn(u32) -> A,
) where
    FlowKey<A>: Pod,
    FlowEntry<A>: Pod,
{
    let mut put = Vec::new();
    for n in 0..=limit {
        let tuple = Tuple {
            src: address(n),
            dst: address(n),
            sport: Port::new(1),
            dport: Port::new(1),
        };
        let key = Raw(FlowKey::new(tuple, NOBODY));
        if table.insert(key, Raw(FlowEntry::default()), 0).is_err() {
            for key in put.iter().take(spare) {
                table.remove(key).expect("making room");
            }
            return;
        }
        put.push(key);
    }
    panic!("a table of {limit} entries took more");
}

fn entries<K: Pod, V: Pod>(table: &Table<K, V>) -> Vec<(K, V)> {
    table
        .iter()
        .map(|entry| entry.expect("reading a flow table"))
        .map(|(key, value)| (key.0, value.0))
        .collect()
}

fn read<K: Pod + Eq + Hash, V: Pod>(table: &Table<K, V>, strip: fn(V) -> V) -> Snapshot<K, V> {
    let entries = entries(table).into_iter();
    entries.map(|(key, value)| (key, strip(value))).collect()
}

fn remove<K: Pod, V: Pod>(table: &mut Table<K, V>, which: impl Fn(&V) -> bool) {
    for (key, value) in entries(table) {
        if which(&value) {
            table.remove(&Raw(key)).expect("removing a flow");
        }
    }
}

fn rewrite<K: Pod, V: Pod>(table: &mut Table<K, V>, change: impl Fn(&mut V)) {
    for (key, mut value) in entries(table) {
        change(&mut value);
        table
            .insert(Raw(key), Raw(value), 0)
            .expect("rewriting a flow");
    }
}

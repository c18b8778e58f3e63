//! The flow tables of one address family.

use std::{
    collections::BTreeSet,
    marker::PhantomData,
    net::{IpAddr, SocketAddr},
};

use adc_common::abi::{
    Addr4, Addr6, BackendId, FlowEntry, FlowFlags, FlowKey, HalfOpenEntry, Port, Tick,
};
use aya::maps::{HashMap, Map, MapData, MapError};
use bytemuck::Pod;

use super::{
    batch,
    error::DataplaneError,
    flows::{FlowRecord, FlowState, SweepReport, Timeouts},
    loader::Maps,
    mapped::{Mapped, data_of, fd_of, is_missing},
};

/// Main and half-open table of one address family.
pub(super) struct Family<A> {
    main: Table,
    half_open: Table,
    addresses: PhantomData<A>,
}

/// One table.
struct Table {
    map: Map,
    name: &'static str,
    /// Flows that it holds; a flow takes two entries.
    capacity: u32,
}

/// What the sweep does with a stale entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Both directions are over, or one is missing.
    Over,
    /// The other direction talks; this one is the forward entry, at which a flow is counted.
    AliveForward,
    /// The same, and the flow is counted at the other entry.
    AliveReply,
}

impl Table {
    fn open(maps: &mut Maps<'_>, name: &'static str) -> Result<Self, DataplaneError> {
        let map = maps.take(name)?;
        let info = data_of(&map, name)?.info();
        let info = info.map_err(|error| DataplaneError::map("reading the size of", name, error))?;
        let capacity = info.max_entries() / 2;
        Ok(Self {
            map,
            name,
            capacity,
        })
    }

    fn walk<K: Pod, V: Pod>(&self, visit: impl FnMut(&K, &V)) -> Result<(), DataplaneError> {
        batch::for_each(fd_of(&self.map, self.name)?, visit)
            .map_err(|error| DataplaneError::map("walking", self.name, error))
    }

    fn get<K: Pod, V: Pod>(&self, key: &K) -> Result<Option<V>, DataplaneError> {
        let map = HashMap::<&MapData, Mapped<K>, Mapped<V>>::try_from(&self.map)
            .map_err(|error| DataplaneError::map("opening", self.name, error))?;
        match map.get(&Mapped(*key), 0) {
            Ok(Mapped(value)) => Ok(Some(value)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(DataplaneError::map("reading", self.name, error)),
        }
    }

    /// One that is gone already is as good.
    fn remove<K: Pod, V: Pod>(&mut self, key: &K) -> Result<(), DataplaneError> {
        let mut map = HashMap::<&mut MapData, Mapped<K>, Mapped<V>>::try_from(&mut self.map)
            .map_err(|error| DataplaneError::map("opening", self.name, error))?;
        match map.remove(&Mapped(*key)) {
            Ok(()) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(DataplaneError::map("removing", self.name, error)),
        }
    }
}

impl<A: Copy + Into<IpAddrOf> + PartialEq + 'static> Family<A>
where
    FlowKey<A>: Pod,
    FlowEntry<A>: Pod,
    HalfOpenEntry<A>: Pod,
{
    pub(super) fn open(
        maps: &mut Maps<'_>,
        main: &'static str,
        half_open: &'static str,
    ) -> Result<Self, DataplaneError> {
        Ok(Self {
            main: Table::open(maps, main)?,
            half_open: Table::open(maps, half_open)?,
            addresses: PhantomData,
        })
    }

    /// Flows that the main and the half-open table hold.
    pub(super) fn capacities(&self) -> [u32; 2] {
        [self.main.capacity, self.half_open.capacity]
    }

    /// An entry of the main table.
    pub(super) fn flow(&self, key: &FlowKey<A>) -> Result<Option<FlowEntry<A>>, DataplaneError> {
        self.main.get(key)
    }

    /// An entry of the half-open table. A look by system call is no use that the LRU would notice
    /// (`htab_lru_map_lookup_elem_sys`, kernel/bpf/hashtab.c, Linux 5.2).
    pub(super) fn half_open(
        &self,
        key: &FlowKey<A>,
    ) -> Result<Option<HalfOpenEntry<A>>, DataplaneError> {
        self.half_open.get(key)
    }

    /// Visits both entries of every validated flow.
    pub(super) fn walk_main(
        &self,
        visit: impl FnMut(&FlowKey<A>, &FlowEntry<A>),
    ) -> Result<(), DataplaneError> {
        self.main.walk(visit)
    }

    pub(super) fn for_each(
        &self,
        now: Tick,
        timeouts: &Timeouts,
        visit: &mut impl FnMut(FlowRecord),
    ) -> Result<(), DataplaneError> {
        // A forward entry may be stale while replies flow, so for main entries the sweep is the judge.
        self.main.walk(|key, entry| {
            if is_forward(entry) {
                visit(record(FlowState::Established, now, key, entry));
            }
        })?;
        self.half_open.walk(|key, half: &HalfOpenEntry<A>| {
            if is_forward(&half.flow) && !is_stale(&half.flow, now, timeouts) {
                visit(record(FlowState::HalfOpen, now, key, &half.flow));
            }
        })
    }

    /// Returns the numbers of live validated and of live half-open flows; the rest goes to `report`.
    ///
    /// Half-open flows first: one that is validated meanwhile is in the main table before it leaves the half-open
    /// one, so this order may count it twice, and the other could miss it. A backend whose last flow is missed
    /// would be cleared under it.
    pub(super) fn sweep(
        &mut self,
        now: Tick,
        timeouts: &Timeouts,
        retiring: &BTreeSet<BackendId>,
        report: &mut SweepReport,
    ) -> Result<[u64; 2], DataplaneError> {
        let half_open = self.sweep_half_open(now, timeouts, retiring, report)?;
        let main = self.sweep_main(now, timeouts, report)?;
        Ok([main, half_open])
    }

    fn sweep_half_open(
        &mut self,
        now: Tick,
        timeouts: &Timeouts,
        retiring: &BTreeSet<BackendId>,
        report: &mut SweepReport,
    ) -> Result<u64, DataplaneError> {
        let mut live = 0;
        let mut over = Vec::new();
        self.half_open
            .walk(|key: &FlowKey<A>, half: &HalfOpenEntry<A>| {
                let flow = &half.flow;
                if is_stale(flow, now, timeouts) {
                    // Under another backend's timeouts it might count as live again.
                    if retiring.contains(&flow.backend) {
                        over.push(*key);
                    }
                } else if is_forward(flow) {
                    live += 1;
                    report.count(FlowState::HalfOpen, flow.backend, flow.phase);
                }
            })?;
        for key in &over {
            let half: Option<HalfOpenEntry<A>> = self.half_open.get(key)?;
            match half {
                Some(half) if is_stale(&half.flow, now, timeouts) => {
                    self.half_open.remove::<_, HalfOpenEntry<A>>(key)?;
                }
                // Opened anew meanwhile: counted, so that its backend stays.
                Some(half) => report.count(FlowState::HalfOpen, half.flow.backend, half.flow.phase),
                None => {}
            }
        }
        Ok(live)
    }

    fn sweep_main(
        &mut self,
        now: Tick,
        timeouts: &Timeouts,
        report: &mut SweepReport,
    ) -> Result<u64, DataplaneError> {
        let mut live = 0;
        let mut stale = Vec::new();
        self.main.walk(|key: &FlowKey<A>, entry: &FlowEntry<A>| {
            if is_stale(entry, now, timeouts) {
                stale.push(*key);
            } else if is_forward(entry) {
                live += 1;
                report.count(FlowState::Established, entry.backend, entry.phase);
            }
        })?;
        for key in &stale {
            // Once more: a packet may have come.
            let Some(own) = self.main.get::<_, FlowEntry<A>>(key)? else {
                continue;
            };
            let other_key = FlowKey::new(own.other, key.protocol);
            let other = self.main.get::<_, FlowEntry<A>>(&other_key)?;
            let direct = own.flags.contains(FlowFlags::DIRECT);
            let other = if direct {
                // All of the flow is in its one entry.
                Some(own)
            } else {
                other.filter(|other| other.other == key.tuple)
            };
            let fate = fate(&own, other.as_ref(), |entry| is_stale(entry, now, timeouts));
            match fate {
                Fate::Over => {
                    self.main.remove::<_, FlowEntry<A>>(key)?;
                    // Only its own other half: the key may belong to another flow by now.
                    if !direct && other.is_some() {
                        self.main.remove::<_, FlowEntry<A>>(&other_key)?;
                    }
                    report.expired += 1;
                }
                Fate::AliveForward => {
                    live += 1;
                    report.count(FlowState::Established, own.backend, own.phase);
                }
                Fate::AliveReply => {}
            }
        }
        Ok(live)
    }
}

/// What becomes of an entry that was stale, given both halves as they are now. A packet may come between this look
/// and the removal; with the timeouts that were configured the flow was over at that packet too.
fn fate<A>(
    own: &FlowEntry<A>,
    other: Option<&FlowEntry<A>>,
    is_stale: impl Fn(&FlowEntry<A>) -> bool,
) -> Fate {
    let Some(other) = other else {
        return Fate::Over;
    };
    if is_stale(own) && is_stale(other) {
        Fate::Over
    } else if is_forward(own) {
        Fate::AliveForward
    } else {
        Fate::AliveReply
    }
}

fn is_forward<A>(entry: &FlowEntry<A>) -> bool {
    !entry.flags.contains(FlowFlags::REPLY)
}

fn is_stale<A>(entry: &FlowEntry<A>, now: Tick, timeouts: &Timeouts) -> bool {
    timeouts.passed(entry.backend, entry.phase, entry.last_seen, now)
}

/// An address of either family, for generic code over both.
pub(super) struct IpAddrOf(pub(super) IpAddr);

impl From<Addr4> for IpAddrOf {
    fn from(Addr4(octets): Addr4) -> Self {
        Self(IpAddr::V4(octets.into()))
    }
}

impl From<Addr6> for IpAddrOf {
    fn from(Addr6(octets): Addr6) -> Self {
        Self(IpAddr::V6(octets.into()))
    }
}

fn record<A: Copy + Into<IpAddrOf>>(
    state: FlowState,
    now: Tick,
    key: &FlowKey<A>,
    entry: &FlowEntry<A>,
) -> FlowRecord {
    let socket = |address: A, port: Port| {
        let IpAddrOf(ip) = address.into();
        SocketAddr::new(ip, port.host())
    };
    let (arriving, answering) = (&key.tuple, &entry.other);
    FlowRecord {
        protocol: key.protocol,
        client: socket(arriving.src, arriving.sport),
        vip: socket(arriving.dst, arriving.dport),
        translated_client: socket(answering.dst, answering.dport),
        backend: socket(answering.src, answering.sport),
        backend_id: entry.backend,
        phase: entry.phase,
        idle: now.since(entry.last_seen),
        state,
    }
}

#[cfg(test)]
mod tests {
    use adc_common::abi::Phase;

    use super::*;

    const NOW: Tick = Tick::from_secs(1_000);
    const BACKEND: BackendId = BackendId(7);

    fn timeouts() -> Timeouts {
        Timeouts([(BACKEND, [Tick::from_secs(60); Phase::CAPACITY])].into())
    }

    fn entry(flags: FlowFlags, seen_before: u32) -> FlowEntry<Addr4> {
        FlowEntry {
            last_seen: Tick::from_secs(1_000 - seen_before),
            backend: BACKEND,
            phase: Phase::ESTABLISHED,
            flags,
            ..FlowEntry::default()
        }
    }

    fn fate_of(own: &FlowEntry<Addr4>, other: Option<&FlowEntry<Addr4>>) -> Fate {
        let timeouts = timeouts();
        fate(own, other, |entry| is_stale(entry, NOW, &timeouts))
    }

    #[test]
    fn a_flow_is_over_only_when_both_directions_are_idle() {
        let forward = |age| entry(FlowFlags::default(), age);
        let reply = |age| entry(FlowFlags::REPLY, age);
        assert_eq!(fate_of(&forward(90), Some(&reply(90))), Fate::Over);
        // A download: the client says nothing, the backend does.
        assert_eq!(fate_of(&forward(90), Some(&reply(1))), Fate::AliveForward);
        // An upload to a silent backend; the flow was counted at its forward entry.
        assert_eq!(fate_of(&reply(90), Some(&forward(1))), Fate::AliveReply);
        // A packet came since the walk.
        assert_eq!(fate_of(&forward(1), Some(&reply(90))), Fate::AliveForward);
    }

    #[test]
    fn half_a_flow_is_over() {
        assert_eq!(fate_of(&entry(FlowFlags::default(), 1), None), Fate::Over);
    }

    #[test]
    fn nothing_of_a_backend_that_is_gone_lives_on() {
        let mut orphan = entry(FlowFlags::default(), 0);
        orphan.backend = BackendId(8);
        assert!(is_stale(&orphan, NOW, &timeouts()));
    }
}

//! Reading and sweeping the flow tables. The packet walk is their writer; this only removes what is over.

use std::{
    collections::BTreeMap,
    io,
    marker::PhantomData,
    net::{IpAddr, SocketAddr},
};

use adc_common::abi::{
    Addr4, Addr6, BackendId, FlowEntry, FlowFlags, FlowKey, HalfOpenEntry, Phase, Protocol, Tick,
};
use aya::maps::{HashMap, Map, MapError};
use bytemuck::Pod;

use super::{
    batch,
    error::DataplaneError,
    loader::Maps,
    mapped::{Mapped, data_of, fd_of},
};

/// The four flow tables.
pub struct FlowTables {
    v4: Family<Addr4>,
    v6: Family<Addr6>,
}

struct Family<A: Copy + 'static>
where
    FlowKey<A>: Pod,
    FlowEntry<A>: Pod,
    HalfOpenEntry<A>: Pod,
{
    main: Map,
    half_open: Map,
    family: PhantomData<A>,
    main_name: &'static str,
    half_open_name: &'static str,
    /// Flows that the main and the half-open table hold.
    capacities: [u32; 2],
}

/// Whether a flow is validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowState {
    /// In a main table.
    Established,
    /// In a half-open table.
    HalfOpen,
}

/// One flow, as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRecord {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Who opened it.
    pub client: SocketAddr,
    /// What it was opened to.
    pub vip: SocketAddr,
    /// The client as the backend sees it.
    pub translated_client: SocketAddr,
    /// Where it goes.
    pub backend: SocketAddr,
    /// The backend's id.
    pub backend_id: BackendId,
    /// Where it is in its life.
    pub phase: Phase,
    /// Since the last packet of the client; the table notes it to a second.
    pub idle: Tick,
    /// Which table it is in.
    pub state: FlowState,
}

/// Idle timeouts by backend and phase, as the maps hold them.
#[derive(Clone, Debug, Default)]
pub struct Timeouts(pub BTreeMap<BackendId, [Tick; Phase::CAPACITY]>);

/// What a sweep found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Live validated flows per backend.
    pub established: BTreeMap<BackendId, u64>,
    /// Live half-open flows per backend.
    pub half_open: BTreeMap<BackendId, u64>,
    /// Flows removed because their timeout had passed.
    pub expired: u64,
    /// Live validated IPv4 flows.
    pub established_v4: u64,
    /// Live validated IPv6 flows.
    pub established_v6: u64,
}

impl Timeouts {
    /// Zero for a backend that is gone: nothing of it lives on.
    fn of(&self, backend: BackendId, phase: Phase) -> Tick {
        let timeouts = self.0.get(&backend);
        timeouts
            .and_then(|timeouts| timeouts.get(phase.index()))
            .copied()
            .unwrap_or_default()
    }
}

impl SweepReport {
    /// Live flows of a backend.
    pub fn flows_of(&self, backend: BackendId) -> u64 {
        let count = |map: &BTreeMap<BackendId, u64>| map.get(&backend).copied().unwrap_or(0);
        count(&self.established) + count(&self.half_open)
    }

    /// Every backend that a live flow names.
    pub fn backends(&self) -> impl Iterator<Item = BackendId> {
        self.established
            .keys()
            .chain(self.half_open.keys())
            .copied()
    }

    /// Live validated flows.
    pub fn total_established(&self) -> u64 {
        self.established_v4 + self.established_v6
    }

    /// Live half-open flows.
    pub fn total_half_open(&self) -> u64 {
        self.half_open.values().sum()
    }
}

impl FlowTables {
    pub(super) fn new(maps: &mut Maps<'_>) -> Result<Self, DataplaneError> {
        Ok(Self {
            v4: Family::open(maps, "FLOWS4", "HALF_OPEN4")?,
            v6: Family::open(maps, "FLOWS6", "HALF_OPEN6")?,
        })
    }

    /// Flows that each table can hold: established IPv4, established IPv6, half-open IPv4, half-open IPv6.
    pub fn capacities(&self) -> [u32; 4] {
        let ([main4, half4], [main6, half6]) = (self.v4.capacities, self.v6.capacities);
        [main4, main6, half4, half6]
    }

    /// Visits every live flow once.
    pub fn for_each(
        &self,
        now: Tick,
        mut visit: impl FnMut(FlowRecord),
    ) -> Result<(), DataplaneError> {
        self.v4.for_each(now, &mut visit)?;
        self.v6.for_each(now, &mut visit)
    }

    /// Removes what is over and counts what lives.
    pub fn sweep(&mut self, now: Tick, timeouts: &Timeouts) -> Result<SweepReport, DataplaneError> {
        let mut report = SweepReport::default();
        report.established_v4 = self.v4.sweep(now, timeouts, &mut report)?;
        report.established_v6 = self.v6.sweep(now, timeouts, &mut report)?;
        Ok(report)
    }
}

impl<A: Copy + Into<IpAddrOf> + PartialEq + 'static> Family<A>
where
    FlowKey<A>: Pod,
    FlowEntry<A>: Pod,
    HalfOpenEntry<A>: Pod,
{
    fn open(
        maps: &mut Maps<'_>,
        main_name: &'static str,
        half_open_name: &'static str,
    ) -> Result<Self, DataplaneError> {
        let (main, half_open) = (maps.take(main_name)?, maps.take(half_open_name)?);
        let capacity = |map, name| {
            let info = data_of(map, name)?.info();
            let info =
                info.map_err(|error| DataplaneError::map("reading the size of", name, error))?;
            Ok::<_, DataplaneError>(info.max_entries() / 2)
        };
        let capacities = [
            capacity(&main, main_name)?,
            capacity(&half_open, half_open_name)?,
        ];
        Ok(Self {
            main,
            half_open,
            family: PhantomData,
            main_name,
            half_open_name,
            capacities,
        })
    }

    fn walk_main(
        &self,
        visit: impl FnMut(&FlowKey<A>, &FlowEntry<A>),
    ) -> Result<(), DataplaneError> {
        batch::for_each(fd_of(&self.main, self.main_name)?, visit)
            .map_err(|error| DataplaneError::map("walking", self.main_name, error))
    }

    fn walk_half_open(
        &self,
        mut visit: impl FnMut(&FlowKey<A>, &FlowEntry<A>),
    ) -> Result<(), DataplaneError> {
        let fd = fd_of(&self.half_open, self.half_open_name)?;
        batch::for_each(fd, |key, half: &HalfOpenEntry<A>| visit(key, &half.flow))
            .map_err(|error| DataplaneError::map("walking", self.half_open_name, error))
    }

    fn for_each(
        &self,
        now: Tick,
        visit: &mut impl FnMut(FlowRecord),
    ) -> Result<(), DataplaneError> {
        let mut forward = |state, key: &FlowKey<A>, entry: &FlowEntry<A>| {
            if !entry.flags.contains(FlowFlags::REPLY) {
                visit(record(state, now, key, entry));
            }
        };
        self.walk_main(|key, entry| forward(FlowState::Established, key, entry))?;
        self.walk_half_open(|key, entry| forward(FlowState::HalfOpen, key, entry))
    }

    /// Returns the number of live validated flows; the rest goes to `report`.
    fn sweep(
        &mut self,
        now: Tick,
        timeouts: &Timeouts,
        report: &mut SweepReport,
    ) -> Result<u64, DataplaneError> {
        let mut live = 0;
        let mut stale = Vec::new();
        let is_stale = |entry: &FlowEntry<A>| {
            now.since(entry.last_seen) >= timeouts.of(entry.backend, entry.phase)
        };
        self.walk_main(|key, entry| {
            let reply = entry.flags.contains(FlowFlags::REPLY);
            if is_stale(entry) {
                stale.push(*key);
            } else if !reply {
                live += 1;
                *report.established.entry(entry.backend).or_default() += 1;
            }
        })?;
        for key in &stale {
            match self.expire(key, &is_stale)? {
                Expiry::Removed => report.expired += 1,
                Expiry::Alive(backend) => {
                    live += 1;
                    *report.established.entry(backend).or_default() += 1;
                }
                Expiry::Nothing => {}
            }
        }
        // The LRU forgets half-open flows by itself.
        self.walk_half_open(|_, entry| {
            if !entry.flags.contains(FlowFlags::REPLY) && !is_stale(entry) {
                *report.half_open.entry(entry.backend).or_default() += 1;
            }
        })?;
        Ok(live)
    }

    /// Looks at a stale entry and its other half once more, and removes both if neither direction is alive.
    ///
    /// A packet may come between the look and the removal; the walk would have called the flow over at
    /// that packet too, so nothing is lost that was not over.
    fn expire(
        &mut self,
        key: &FlowKey<A>,
        is_stale: &impl Fn(&FlowEntry<A>) -> bool,
    ) -> Result<Expiry, DataplaneError> {
        let Some(own) = self.get(key)? else {
            return Ok(Expiry::Nothing);
        };
        let forward = !own.flags.contains(FlowFlags::REPLY);
        let other_key = FlowKey::new(own.other, key.protocol);
        let other = self.get(&other_key)?;
        let alive = !is_stale(&own) || other.is_some_and(|other| !is_stale(&other));
        if alive && other.is_some() {
            // A flow counts once, at its forward entry.
            return Ok(if forward {
                Expiry::Alive(own.backend)
            } else {
                Expiry::Nothing
            });
        }
        self.remove(key)?;
        self.remove(&other_key)?;
        Ok(Expiry::Removed)
    }

    fn get(&self, key: &FlowKey<A>) -> Result<Option<FlowEntry<A>>, DataplaneError> {
        let main: HashMap<_, Mapped<FlowKey<A>>, Mapped<FlowEntry<A>>> =
            HashMap::try_from(&self.main)
                .map_err(|error| DataplaneError::map("opening", self.main_name, error))?;
        match main.get(&Mapped(*key), 0) {
            Ok(Mapped(entry)) => Ok(Some(entry)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(DataplaneError::map("reading", self.main_name, error)),
        }
    }

    fn remove(&mut self, key: &FlowKey<A>) -> Result<(), DataplaneError> {
        let mut main: HashMap<_, Mapped<FlowKey<A>>, Mapped<FlowEntry<A>>> =
            HashMap::try_from(&mut self.main)
                .map_err(|error| DataplaneError::map("opening", self.main_name, error))?;
        match main.remove(&Mapped(*key)) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            // aya reports a missing key of a delete as the system call's ENOENT.
            Err(MapError::SyscallError(error))
                if error.io_error.kind() == io::ErrorKind::NotFound =>
            {
                Ok(())
            }
            Err(error) => Err(DataplaneError::map("removing", self.main_name, error)),
        }
    }
}

/// What became of a stale entry.
enum Expiry {
    /// It and its other half are gone.
    Removed,
    /// The other direction is alive; counted at the forward entry.
    Alive(BackendId),
    /// Nothing to count.
    Nothing,
}

/// An address of either family, for generic code over both.
pub(super) struct IpAddrOf(IpAddr);

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
    let socket = |address: A, port: adc_common::abi::Port| {
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

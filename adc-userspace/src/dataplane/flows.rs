//! Reading and sweeping the flow tables. The packet walk is their writer; this only removes what is over.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use adc_common::abi::{Addr4, Addr6, BackendId, Phase, Protocol, Tick};

use super::{ends::FlowEnds, error::DataplaneError, family::Family, loader::Maps};

/// The four flow tables.
pub struct FlowTables {
    pub(super) v4: Family<Addr4>,
    pub(super) v6: Family<Addr6>,
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
    /// Live flows by phase.
    pub phases: [u64; Phase::CAPACITY],
    /// Live flows in each table, in the order of [`FlowTables::capacities`].
    pub tables: [u64; 4],
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

    /// Whether a direction that was last seen then is stale.
    pub(super) fn passed(
        &self,
        backend: BackendId,
        phase: Phase,
        last_seen: Tick,
        now: Tick,
    ) -> bool {
        now.since(last_seen) >= self.of(backend, phase)
    }
}

impl SweepReport {
    /// Live flows of a backend.
    pub fn flows_of(&self, backend: BackendId) -> u64 {
        let count = |map: &BTreeMap<BackendId, u64>| map.get(&backend).copied().unwrap_or(0);
        count(&self.established) + count(&self.half_open)
    }

    /// Every backend that a flow names.
    pub fn backends(&self) -> impl Iterator<Item = BackendId> {
        self.established
            .keys()
            .chain(self.half_open.keys())
            .copied()
    }

    /// Live flows.
    pub fn total(&self) -> u64 {
        self.tables.iter().sum()
    }

    pub(super) fn count(&mut self, state: FlowState, backend: BackendId, phase: Phase) {
        let of_backends = match state {
            FlowState::Established => &mut self.established,
            FlowState::HalfOpen => &mut self.half_open,
        };
        *of_backends.entry(backend).or_default() += 1;
        if let Some(count) = self.phases.get_mut(phase.index()) {
            *count += 1;
        }
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
        let ([main4, half4], [main6, half6]) = (self.v4.capacities(), self.v6.capacities());
        [main4, main6, half4, half6]
    }

    /// Visits every live flow; one that is validated meanwhile may be visited twice.
    pub fn for_each(
        &self,
        now: Tick,
        timeouts: &Timeouts,
        mut visit: impl FnMut(FlowRecord),
    ) -> Result<(), DataplaneError> {
        self.v4.for_each(now, timeouts, &mut visit)?;
        self.v6.for_each(now, timeouts, &mut visit)
    }

    /// Visits every validated TCP flow.
    pub fn for_each_ends(&self, mut visit: impl FnMut(FlowEnds)) -> Result<(), DataplaneError> {
        self.v4.ends(&mut visit)?;
        self.v6.ends(&mut visit)
    }

    /// Removes what is over and counts what lives; of `retiring` backends also half-open flows that are over,
    /// which otherwise are left to the LRU.
    ///
    /// A backend whose ring let it go before the sweep, and that is not in the report, is in no table.
    pub fn sweep(
        &mut self,
        now: Tick,
        timeouts: &Timeouts,
        retiring: &BTreeSet<BackendId>,
    ) -> Result<SweepReport, DataplaneError> {
        let mut report = SweepReport::default();
        let [main4, half4] = self.v4.sweep(now, timeouts, retiring, &mut report)?;
        let [main6, half6] = self.v6.sweep(now, timeouts, retiring, &mut report)?;
        report.tables = [main4, main6, half4, half6];
        Ok(report)
    }
}

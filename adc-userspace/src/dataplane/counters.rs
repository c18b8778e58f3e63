//! Reader of the per-CPU counters.

use std::io;

use adc_common::abi::{
    BackendCounters, BackendId, Reason, ReasonCounters, SelfCheckCounters, TableCounters,
};
use aya::{
    maps::{MapData, MapError, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};

use super::{error::DataplaneError, loader::Maps, mapped::Mapped};

/// The counter maps; every figure is a sum over CPUs.
pub struct Counters {
    reasons: PerCpuArray<MapData, Mapped<ReasonCounters>>,
    tables: PerCpuArray<MapData, Mapped<TableCounters>>,
    backends: PerCpuArray<MapData, Mapped<BackendCounters>>,
    self_checks: PerCpuArray<MapData, Mapped<SelfCheckCounters>>,
}

impl Counters {
    pub(super) fn new(maps: &mut Maps<'_>) -> Result<Self, DataplaneError> {
        let fail = |map| move |error: MapError| DataplaneError::map("opening", map, error);
        Ok(Self {
            reasons: maps
                .take("REASON_COUNTERS")?
                .try_into()
                .map_err(fail("REASON_COUNTERS"))?,
            tables: maps
                .take("TABLE_COUNTERS")?
                .try_into()
                .map_err(fail("TABLE_COUNTERS"))?,
            backends: maps
                .take("BACKEND_COUNTERS")?
                .try_into()
                .map_err(fail("BACKEND_COUNTERS"))?,
            self_checks: maps
                .take("SELF_CHECKS")?
                .try_into()
                .map_err(fail("SELF_CHECKS"))?,
        })
    }

    /// Packets and bytes of every reason, in the order of [`Reason::ALL`].
    pub fn reasons(&self) -> Result<Vec<(Reason, ReasonCounters)>, DataplaneError> {
        Reason::ALL
            .iter()
            .map(|reason| {
                let values = self
                    .reasons
                    .get(&reason.index(), 0)
                    .map_err(|error| DataplaneError::map("reading", "REASON_COUNTERS", error))?;
                let mut sum = ReasonCounters::default();
                for Mapped(cpu) in values.iter() {
                    sum.packets = sum.packets.wrapping_add(cpu.packets);
                    sum.bytes = sum.bytes.wrapping_add(cpu.bytes);
                }
                Ok((*reason, sum))
            })
            .collect()
    }

    /// What the packet walk did to the flow tables.
    pub fn tables(&self) -> Result<TableCounters, DataplaneError> {
        let values = self
            .tables
            .get(&0, 0)
            .map_err(|error| DataplaneError::map("reading", "TABLE_COUNTERS", error))?;
        let mut sum = TableCounters::default();
        for Mapped(cpu) in values.iter() {
            sum.inserted = sum.inserted.wrapping_add(cpu.inserted);
            sum.removed = sum.removed.wrapping_add(cpu.removed);
            sum.full = sum.full.wrapping_add(cpu.full);
            sum.untold = sum.untold.wrapping_add(cpu.untold);
            sum.orphans = sum.orphans.wrapping_add(cpu.orphans);
        }
        Ok(sum)
    }

    /// What came of verifying checksums.
    pub fn self_checks(&self) -> Result<SelfCheckCounters, DataplaneError> {
        let values = self
            .self_checks
            .get(&0, 0)
            .map_err(|error| DataplaneError::map("reading", "SELF_CHECKS", error))?;
        let mut sum = SelfCheckCounters::default();
        for Mapped(cpu) in values.iter() {
            sum.seen = sum.seen.wrapping_add(cpu.seen);
            sum.sound = sum.sound.wrapping_add(cpu.sound);
            sum.failed = sum.failed.wrapping_add(cpu.failed);
            sum.arrived_broken = sum.arrived_broken.wrapping_add(cpu.arrived_broken);
            sum.not_checked = sum.not_checked.wrapping_add(cpu.not_checked);
        }
        Ok(sum)
    }

    /// Figures of one backend.
    pub fn backend(&self, id: BackendId) -> Result<BackendCounters, DataplaneError> {
        let values = self
            .backends
            .get(&u32::from(id.0), 0)
            .map_err(|error| DataplaneError::map("reading", "BACKEND_COUNTERS", error))?;
        let cpus = values.iter().map(|Mapped(cpu)| *cpu);
        Ok(cpus.fold(BackendCounters::default(), sum))
    }

    /// Figures of a backend that is gone; they start from zero for the next one with its id.
    pub(super) fn take_backend(
        &mut self,
        id: BackendId,
    ) -> Result<BackendCounters, DataplaneError> {
        let counted = self.backend(id)?;
        let fail = |error: io::Error| DataplaneError::map("clearing", "BACKEND_COUNTERS", error);
        let cpus = nr_cpus().map_err(|(_, error)| fail(error))?;
        let zeros = PerCpuValues::try_from(vec![Mapped(BackendCounters::default()); cpus]);
        self.backends
            .set(u32::from(id.0), zeros.map_err(fail)?, 0)
            .map_err(|error| DataplaneError::map("clearing", "BACKEND_COUNTERS", error))?;
        Ok(counted)
    }
}

/// Both together.
pub(super) fn sum(a: BackendCounters, b: BackendCounters) -> BackendCounters {
    BackendCounters {
        forward_packets: a.forward_packets.wrapping_add(b.forward_packets),
        forward_bytes: a.forward_bytes.wrapping_add(b.forward_bytes),
        reply_packets: a.reply_packets.wrapping_add(b.reply_packets),
        reply_bytes: a.reply_bytes.wrapping_add(b.reply_bytes),
        flows_scheduled: a.flows_scheduled.wrapping_add(b.flows_scheduled),
        flows_established: a.flows_established.wrapping_add(b.flows_established),
        snat_exhausted: a.snat_exhausted.wrapping_add(b.snat_exhausted),
        forward_zero_windows: a.forward_zero_windows.wrapping_add(b.forward_zero_windows),
        reply_zero_windows: a.reply_zero_windows.wrapping_add(b.reply_zero_windows),
    }
}

//! Reader of the per-CPU counters.

use adc_common::abi::{BackendCounters, BackendId, Reason, ReasonCounters, TableCounters};
use aya::maps::{MapData, MapError, PerCpuArray};

use super::{error::DataplaneError, loader::Maps, mapped::Mapped};

/// The counter maps; every figure is a sum over CPUs.
pub struct Counters {
    reasons: PerCpuArray<MapData, Mapped<ReasonCounters>>,
    tables: PerCpuArray<MapData, Mapped<TableCounters>>,
    pub(super) backends: PerCpuArray<MapData, Mapped<BackendCounters>>,
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
            sum.orphans = sum.orphans.wrapping_add(cpu.orphans);
        }
        Ok(sum)
    }

    /// Figures of one backend.
    pub fn backend(&self, id: BackendId) -> Result<BackendCounters, DataplaneError> {
        let values = self
            .backends
            .get(&u32::from(id.0), 0)
            .map_err(|error| DataplaneError::map("reading", "BACKEND_COUNTERS", error))?;
        let mut sum = BackendCounters::default();
        for Mapped(cpu) in values.iter() {
            sum.forward_packets = sum.forward_packets.wrapping_add(cpu.forward_packets);
            sum.forward_bytes = sum.forward_bytes.wrapping_add(cpu.forward_bytes);
            sum.reply_packets = sum.reply_packets.wrapping_add(cpu.reply_packets);
            sum.reply_bytes = sum.reply_bytes.wrapping_add(cpu.reply_bytes);
            sum.flows_scheduled = sum.flows_scheduled.wrapping_add(cpu.flows_scheduled);
            sum.flows_established = sum.flows_established.wrapping_add(cpu.flows_established);
        }
        Ok(sum)
    }
}

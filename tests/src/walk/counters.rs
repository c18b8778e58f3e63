//! A snapshot of every counter.

use std::collections::BTreeMap;

use adc_common::abi::{BackendCounters, BackendId, Reason, ReasonCounters, TableCounters};

/// Sums over all CPUs; what is zero is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// `REASON_COUNTERS`, by name.
    pub reasons: BTreeMap<&'static str, ReasonCounters>,
    /// `BACKEND_COUNTERS`.
    pub backends: BTreeMap<BackendId, BackendCounters>,
    /// `TABLE_COUNTERS`.
    pub table: TableCounters,
}

impl Counters {
    /// Adds to a reason.
    pub fn add_reason(&mut self, reason: Reason, counted: ReasonCounters) {
        if counted != ReasonCounters::default() {
            let sum = self.reasons.entry(reason.name()).or_default();
            sum.packets += counted.packets;
            sum.bytes += counted.bytes;
        }
    }

    /// Adds to a backend.
    pub fn add_backend(&mut self, id: BackendId, counted: &BackendCounters) {
        if *counted != BackendCounters::default() {
            let sum = self.backends.entry(id).or_default();
            *sum = zip(*sum, *counted, u64::wrapping_add);
        }
    }

    /// What was counted since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counted = Self {
            table: zip(self.table, earlier.table, u64::wrapping_sub),
            ..Self::default()
        };
        for (name, now) in &self.reasons {
            let then = earlier.reasons.get(name).copied().unwrap_or_default();
            let grown = zip(*now, then, u64::wrapping_sub);
            if grown != ReasonCounters::default() {
                counted.reasons.insert(name, grown);
            }
        }
        for (id, now) in &self.backends {
            let then = earlier.backends.get(id).copied().unwrap_or_default();
            counted.add_backend(*id, &zip(*now, then, u64::wrapping_sub));
        }
        counted
    }
}

/// Combines two counter structs, which are nothing but `u64`s, number by number.
pub fn zip<T: bytemuck::Pod>(left: T, right: T, combine: impl Fn(u64, u64) -> u64) -> T {
    let mut sum = left;
    let right: &[u64] = bytemuck::cast_slice(bytemuck::bytes_of(&right));
    let left: &mut [u64] = bytemuck::cast_slice_mut(bytemuck::bytes_of_mut(&mut sum));
    for (left, right) in left.iter_mut().zip(right) {
        *left = combine(*left, *right);
    }
    sum
}

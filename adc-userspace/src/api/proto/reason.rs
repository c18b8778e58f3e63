//! Why packets were forwarded, passed and dropped.

use adc_common::abi::{Reason, ReasonClass, ReasonCounters};
use serde::{Deserialize, Serialize};

/// What became of the packets of a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReasonKind {
    /// Rewritten and sent on.
    Forwarded,
    /// Left to the kernel's own stack.
    Passed,
    /// Ours, but not deliverable.
    Dropped,
}

/// One reason with its counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonRow {
    /// Name, the same in metrics.
    pub reason: String,
    /// What became of the packets.
    pub class: ReasonKind,
    /// Packets since the maps were created.
    pub packets: u64,
    /// Their bytes, Ethernet headers included.
    pub bytes: u64,
    /// What it means.
    pub meaning: String,
}

impl ReasonKind {
    /// As written in CLI, metrics and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Passed => "passed",
            Self::Dropped => "dropped",
        }
    }
}

impl From<ReasonClass> for ReasonKind {
    fn from(class: ReasonClass) -> Self {
        match class {
            ReasonClass::Forwarded => Self::Forwarded,
            ReasonClass::Passed => Self::Passed,
            ReasonClass::Dropped => Self::Dropped,
        }
    }
}

impl ReasonRow {
    /// A row for `reason`.
    pub fn new(reason: Reason, counters: ReasonCounters) -> Self {
        Self {
            reason: reason.name().into(),
            class: reason.class().into(),
            packets: counters.packets,
            bytes: counters.bytes,
            meaning: reason.meaning().into(),
        }
    }

    /// A row for every reason; `counters` is indexed by [`Reason::index`], what it lacks is zero.
    pub fn all(counters: &[ReasonCounters]) -> Vec<Self> {
        let of = |reason: &Reason| {
            let found = counters.get(reason.index() as usize).copied();
            Self::new(*reason, found.unwrap_or_default())
        };
        Reason::ALL.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_row_with_its_own_counter() {
        let mut counters = vec![ReasonCounters::default(); Reason::COUNT];
        counters[Reason::NoBackend.index() as usize].packets = 7;
        let rows = ReasonRow::all(&counters);
        assert_eq!(rows.len(), Reason::COUNT);
        let hit: Vec<_> = rows.iter().filter(|row| row.packets > 0).collect();
        assert_eq!(hit.len(), 1);
        assert_eq!(hit[0].reason, "no_backend");
        assert_eq!(hit[0].class, ReasonKind::Dropped);
    }
}

//! The kernel side of the agent: loading and adopting the XDP program, its maps, its attachments.
//!
//! The only module that knows `aya`. It makes no choices: what to write comes as a [`crate::plan::Plan`].
//! Each map has one writer here; `docs/MAPS.md` lists them.

mod attach;
mod batch;
mod capture;
mod clock;
mod counters;
mod decap;
mod ends;
mod error;
mod family;
mod flows;
mod groups;
mod interfaces;
mod leases;
mod live;
mod loader;
mod mapped;
mod migrate;
mod orphans;
mod packet_log;
mod pins;
mod ranges;
mod replica;
mod self_test;
mod tables;

pub use capture::CaptureReader;
pub use clock::{nanos, now};
pub use counters::Counters;
pub use decap::Decapsulator;
pub use ends::FlowEnds;
pub use error::DataplaneError;
pub use flows::{FlowRecord, FlowState, FlowTables, SweepReport, Timeouts};
pub use interfaces::{InterfaceRow, InterfaceTables};
pub use leases::{LeaseSlot, LeaseState, LeaseTable};
pub use live::Live;
pub use loader::{Dataplane, LoadReport};
pub use orphans::{OrphanCounts, OrphanTotals};
pub use pins::PinDirectory;
pub use replica::{FlowFeed, Inserted, MainTable, News};
pub use tables::Tables;

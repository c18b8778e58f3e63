//! The kernel side of the agent: loading and adopting the XDP program, its maps, its attachments.
//!
//! The only module that knows `aya`. It makes no choices: what to write comes as a [`crate::plan::Plan`].
//! Each map has one writer here; `docs/MAPS.md` lists them.

mod attach;
mod batch;
mod clock;
mod counters;
mod ends;
mod error;
mod family;
mod flows;
mod interfaces;
mod loader;
mod mapped;
mod packet_log;
mod pins;
mod tables;

pub use clock::now;
pub use counters::Counters;
pub use ends::FlowEnds;
pub use error::DataplaneError;
pub use flows::{FlowRecord, FlowState, FlowTables, SweepReport, Timeouts};
pub use interfaces::{InterfaceRow, InterfaceTables};
pub use loader::{Dataplane, LoadReport};
pub use pins::PinDirectory;
pub use tables::Tables;

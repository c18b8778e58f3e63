//! Active health checks: probe every backend of every pool, and tell the agent when a verdict changes.
//!
//! `fsm` and `rotation` are pure: rise and fall for one monitor of one backend, and what several
//! monitors mean together. `probe` holds the sockets. `runner` joins them: one task per backend and
//! monitor, a bound on the probes in flight, and one stream of [`HealthEvent`]s.
//!
//! A monitor of type `bfd` probes nothing: `bfd` reads what the keeper says of the backend's BFD session.
//!
//! ```text
//! config ─► targets() ─► Checker::reconcile ─► task per (backend, monitor): sleep ─► Probe::run ─► RiseFall
//!                                 events ◄─ dispatcher ◄─ rotation::combine ◄─────────────────────────┘
//! ```

mod bfd;
mod finding;
pub mod fsm;
pub mod probe;
pub mod rotation;
mod runner;
mod schedule;
mod targets;

pub use finding::Finding;
pub(crate) use probe::echo;
pub use probe::{InvalidMonitor, Probe, ProbeOutcome};
pub use runner::{
    Checker, DEFAULT_PROBES_IN_FLIGHT, HealthEvent, MonitorStatus, ProbeLoad, ResultTotals,
    Snapshot, TargetStatus,
};
pub use targets::{CompiledMonitor, Target, TargetKey, compile_monitors, targets};

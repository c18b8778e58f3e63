//! What operators watch: logs, metrics, liveness.
//!
//! A scrape asks the agent for one [`MetricsSnapshot`] and renders it; nothing is counted twice, so the
//! metrics, the API and the command line can not disagree. `docs/cli.md` lists the metrics.

mod announce;
mod collector;
mod families;
mod ha;
mod heartbeat;
mod logging;
mod server;
mod snapshot;
mod snat;
mod sync;
#[cfg(test)]
mod tests;

pub use logging::{LogFormat, LoggingError, init_logging};
pub use server::{ListenError, MetricsServer};
pub use snapshot::MetricsSnapshot;

//! From what is wanted to what has to be done: a pure diff.
//!
//! [`desired`] turns the configuration and the agent's facts (effective weights, next hops) into table
//! contents; [`diff`] compares them with what the maps hold and gives the changes in an order that is safe to
//! stop after any one of them. Applying a [`Plan`] takes no decisions, so what `--dry-run` prints is what
//! happens (docs/adr/0007-plan-apply.md).
//!
//! Things are known by what they are, not by what they are called: a service by VIP, port and protocol, a
//! backend by its service, address and port. Renaming keeps ids, and with them flows and counters.
//!
//! After every prefix of a plan
//! - a ring names only backends that are present, belong to its service and have a next hop;
//! - a service in the index is present, as is the marker of its VIP; a new one has its ring;
//! - no id that a flow may name is absent or stands for another backend;
//! - a ring that is not empty belongs to a service that is present, so whoever reads the tables back knows
//!   every ring there can be.

mod change;
mod desired;
mod diff;
mod emit;
mod groups;
mod ids;
mod json;
mod observed;
mod ranges;
#[cfg(test)]
mod tests;
mod text;

pub use change::{Change, DrainingOut, Plan, ServiceLabel};
pub use desired::{Desired, DesiredService, Down, EffectiveWeights, Hops, desired, key_of};
pub use diff::diff;
pub use groups::GroupChange;
pub use ids::PlanError;
pub use observed::{Observed, RingSpec};
pub use ranges::{keys_of, prefixes_only_of, ranges_of};

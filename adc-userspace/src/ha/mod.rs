//! High availability: which node holds which VIPs.
//!
//! [`heartbeat`] is what two adc nodes tell each other many times a second.

pub mod heartbeat;
mod role;

pub use role::Role;

//! Test harness of adc, and the demo that is built from it.
//!
//! Everything here panics with context instead of returning errors: its callers are tests, and a
//! test that goes on after a failed step proves nothing. Every resource (namespace, process, pins,
//! temporary directory) is owned by a value whose `Drop` removes it, also while unwinding.

pub mod agent;
pub mod bench;
pub mod demo;
pub mod drive;
pub mod net;
pub mod packets;
pub mod process;
pub mod program;
pub mod require;
pub mod scene;
pub mod serve;
pub mod topology;
pub mod wait;
pub mod walk;

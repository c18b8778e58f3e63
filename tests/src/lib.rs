//! Test harness of adc, and the demo that is built from it.
//!
//! Everything here panics with context instead of returning errors: its callers are tests, and a
//! test that goes on after a failed step proves nothing. Every resource (namespace, process, pins,
//! temporary directory) is owned by a value whose `Drop` removes it, also while unwinding.

use std::io::Write as _;

pub mod agent;
pub mod bench;
pub mod bfd;
pub mod decap;
pub mod demo;
pub mod direct_return;
pub mod drill;
pub mod drive;
pub mod earlier;
pub mod interrupt;
pub mod keepalived;
pub mod lan;
pub mod net;
pub mod packets;
pub mod pair;
pub mod process;
pub mod program;
pub mod require;
pub mod routing;
pub mod scene;
pub mod serve;
pub mod sync_bench;
pub mod sync_pair;
pub mod systemd;
pub mod topology;
mod until_dropped;
pub mod virtual_mac;
pub mod wait;
pub mod walk;

/// Prints a line that the test runner does not capture: a passing test's `println!` is never seen.
///
/// # Panics
/// If standard error is closed.
pub fn announce(line: std::fmt::Arguments<'_>) {
    writeln!(std::io::stderr(), "{line}").expect("standard error");
}

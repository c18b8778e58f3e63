//! Network namespaces, links and addresses, all removed on drop.

mod command;
mod link;
mod namespace;
mod sweep;

pub use command::{run, run_unchecked};
pub use link::{Bridge, Link, VethPair};
pub use namespace::Namespace;
pub use sweep::{Leftover, leftovers, remove};

use std::sync::atomic::{AtomicU32, Ordering};

/// Label prefix of what `adc-demo` makes, so that a kept demo is not taken for a crashed test.
pub const DEMO_LABEL: &str = "demo-";

/// Prefix of the names of everything a process makes: `adc<pid>-`.
pub fn prefix_of(pid: u32) -> String {
    format!("adc{pid}-")
}

/// A name no one else uses: `adc<pid>-<counter>-<label>`.
pub fn unique_name(label: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{}{number}-{label}", prefix_of(std::process::id()))
}

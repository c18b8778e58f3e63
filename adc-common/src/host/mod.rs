//! Host twins of the datapath ports: a packet in a `Vec`, tables in hash maps, a clock that is set by hand.
//!
//! Tests, fuzzing and the differential test run [`crate::datapath::process`] over these.

mod packet;
mod tables;

use std::cell::Cell;

use crate::{
    abi::Tick,
    datapath::{Clock, Reading},
};

pub use packet::HostPacket;
pub use tables::{FlowMaps, HostTables, WorkingMemory};

/// A clock that stands still until it is set.
#[derive(Debug, Default)]
pub struct HostClock(Cell<Tick>);

impl HostClock {
    /// A clock that shows `now`.
    pub fn at(now: Tick) -> Self {
        Self(Cell::new(now))
    }

    /// Moves the clock on.
    pub fn advance_secs(&self, secs: u32) {
        let now = self.0.get();
        self.0
            .set(Tick(now.0.wrapping_add(Tick::from_secs(secs).0)));
    }
}

impl Clock for HostClock {
    /// Says of nanoseconds only that it does not know them: whoever wants them asks the tables.
    fn now(&self, last: &mut Reading) -> Tick {
        last.nanos = u64::MAX;
        self.0.get()
    }
}

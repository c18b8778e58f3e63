//! The program that captures, in place of the normal one.

use std::path::PathBuf;

use adc_common::abi::{CaptureCounters, CaptureRecord, CaptureSetup};
use aya::maps::{Array, Map, MapError, PerCpuArray, RingBuf};

use super::{Globals, Limits, Program, raw::Raw};

/// Name of the object beside the one under test.
const OBJECT: &str = "adc-xdp-capture";

/// Name of the program in it.
const ENTRY: &str = "adc_ingress_capture";

/// Where the records come out.
pub struct Records {
    ring: RingBuf<aya::maps::MapData>,
    counters: PerCpuArray<aya::maps::MapData, Raw<CaptureCounters>>,
}

/// The object with the program that captures, or what to do to get one.
///
/// # Errors
/// Where it was looked for.
pub fn object() -> Result<PathBuf, String> {
    super::object_beside(OBJECT, "cargo xtask build-ebpf")
}

impl Program {
    /// Loads the program that captures, with empty tables.
    ///
    /// # Panics
    /// If there is no object, or the kernel refuses it.
    pub fn capturing(limits: Limits, setup: CaptureSetup) -> (Self, Records) {
        Self::load_capturing(limits, setup, Globals::default())
    }

    /// The same, and the agent is told of flows.
    ///
    /// # Panics
    /// As above.
    pub fn capturing_telling(limits: Limits, setup: CaptureSetup) -> (Self, Records) {
        Self::load_capturing(limits, setup, Globals::TELLING)
    }

    fn load_capturing(limits: Limits, setup: CaptureSetup, globals: Globals) -> (Self, Records) {
        let path = object().unwrap_or_else(|missing| panic!("{missing}"));
        let mut program = Self::load_entry(&path, ENTRY, limits, globals);
        let mut wanted: Array<_, Raw<CaptureSetup>> = program.take_map("CAPTURE_SETUP");
        wanted.set(0, Raw(setup), 0).expect("CAPTURE_SETUP");
        let records = Records {
            ring: program.take_map("CAPTURE_RING"),
            counters: program.take_map("CAPTURE_COUNTERS"),
        };
        (program, records)
    }

    fn take_map<T: TryFrom<Map, Error = MapError>>(&mut self, name: &str) -> T {
        let map = self.ebpf.take_map(name);
        map.unwrap_or_else(|| panic!("the object has no map {name}"))
            .try_into()
            .unwrap_or_else(|error| panic!("map {name}: {error}"))
    }
}

impl Records {
    /// Made and lost so far.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn counters(&self) -> CaptureCounters {
        let values = self.counters.get(&0, 0).expect("CAPTURE_COUNTERS");
        let mut sum = CaptureCounters::default();
        for value in values.iter() {
            sum.sent += value.0.sent;
            sum.lost += value.0.lost;
        }
        sum
    }
}

/// Head and bytes of each record, as far as they are there.
impl Iterator for Records {
    type Item = (CaptureRecord, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.ring.next()?;
        let (head, frame) = item.split_at(size_of::<CaptureRecord>());
        let record: CaptureRecord = bytemuck::pod_read_unaligned(head);
        let frame = frame[..record.captured as usize].to_vec();
        Some((record, frame))
    }
}

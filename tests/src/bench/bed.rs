//! The bed: both objects loaded, tables filled, and slices run.

use std::{net::IpAddr, path::PathBuf};

use adc_common::{
    abi::{Addr4, Addr6, ForwardingMode, Reason, ReasonCounters},
    bench::BACKENDS,
};
use aya::{
    Ebpf,
    maps::{ArrayOfMaps, Map, MapData, PerCpuArray, ProgramArray},
    programs::{TestRun as _, TestRunOptions},
};

use crate::program::raw::Raw;

use super::{
    fill::{self, RingArray},
    frame::{self, BACKEND_MAC, CLIENT_MAC},
    memory,
    object::{array, load, load_program, map, program},
    path::{Kind, MOST_FLOWS, Path, Tables},
};

/// Where the BPF objects are.
pub(crate) struct Objects {
    pub(crate) adc: PathBuf,
    pub(crate) wrapper: PathBuf,
}

/// What the wrapper hands its frames to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Drops.
    Baseline,
    /// `adc_ingress`.
    Adc,
    /// One lookup in an LRU map with a 40-byte key.
    Yardstick,
}

/// What came of a test run.
struct Outcome {
    /// XDP action of the last packet.
    action: u32,
    /// Nanoseconds per packet.
    nanos: u32,
    /// The last packet as it left.
    output: Vec<u8>,
}

/// One service with [`BACKENDS`] backends behind one interface, and its flows.
pub(crate) struct Bed {
    adc: Ebpf,
    wrapper: Ebpf,
    tables: Tables,
    capacity: u32,
    /// Flows in the main table.
    filled: u32,
}

/// `enum xdp_action`, include/uapi/linux/bpf.h.
const XDP_DROP: u32 = 1;
const XDP_TX: u32 = 3;

const INGRESS: &str = "adc_ingress";
const WRAPPER: &str = "adc_bench";
const BASELINE: &str = "adc_bench_drop";
const YARDSTICK: &str = "adc_bench_yardstick";

impl Bed {
    /// Loads both objects, with room for `capacity` flows, and sets the service up.
    pub(crate) fn new(objects: &Objects, tables: Tables, capacity: u32) -> Self {
        let mut bed = Self {
            adc: load(&objects.adc, tables, capacity),
            wrapper: load(&objects.wrapper, tables, capacity),
            tables,
            capacity,
            filled: 0,
        };
        load_program(&mut bed.adc, INGRESS);
        load_program(&mut bed.wrapper, WRAPPER);
        load_program(&mut bed.wrapper, BASELINE);
        load_program(&mut bed.wrapper, YARDSTICK);
        fill::service(&mut bed.adc, tables);
        bed
    }

    /// `RINGS`.
    pub(crate) fn rings(&mut self) -> ArrayOfMaps<&mut MapData, RingArray> {
        fill::rings(&mut self.adc)
    }

    /// `RINGS`, once more and independent of this value.
    pub(crate) fn watch_rings(&self) -> ArrayOfMaps<MapData, MapData> {
        let Some(Map::ArrayOfMaps(map)) = self.adc.map("RINGS") else {
            panic!("RINGS is an array of maps");
        };
        let id = map.info().expect("the rings' map").id();
        let again = MapData::from_id(id).expect("another handle on the rings");
        Map::ArrayOfMaps(again)
            .try_into()
            .expect("an array of maps")
    }

    /// Fills the main table up to `flows`, or beside new flows as far as it ever is, and tells the wrapper what
    /// to send.
    pub(crate) fn prepare(&mut self, path: Path, flows: u32) {
        let wanted = match path.kind {
            Kind::New => MOST_FLOWS.min(self.capacity),
            Kind::Forward | Kind::Reply => flows,
        };
        let missing = self.filled..wanted;
        if self.tables.ipv6 {
            fill::flows::<Addr6>(&mut self.adc, "FLOWS6", self.tables, missing);
        } else {
            fill::flows::<Addr4>(&mut self.adc, "FLOWS4", self.tables, missing);
        }
        self.filled = self.filled.max(wanted);
        array(&mut self.wrapper, "TRAFFIC")
            .set(0, Raw(frame::traffic(path, flows)), 0)
            .expect("telling the wrapper what to send");
    }

    /// Fills the yardstick's map up to `flows`; the wrapper sends what [`Self::prepare`] was told.
    pub(crate) fn prepare_yardstick(&mut self, flows: u32) {
        fill::yardstick(&mut self.wrapper, flows);
    }

    /// Sends `packets` through the wrapper and a program behind it; nanoseconds per packet.
    pub(crate) fn run(&mut self, behind: Program, packets: u32) -> u32 {
        let outcome = self.send(behind, packets);
        let expected = match behind {
            Program::Baseline | Program::Yardstick => XDP_DROP,
            Program::Adc => XDP_TX,
        };
        assert_eq!(outcome.action, expected, "the last packet's XDP action");
        outcome.nanos
    }

    /// Runs one packet and looks at what became of it.
    pub(crate) fn check_one_packet(&mut self, path: Path) {
        let before = self.reasons();
        let name = path.name();
        let Outcome { action, output, .. } = self.send(Program::Adc, 1);
        assert_eq!(action, XDP_TX, "{name}: XDP action");
        self.check_reasons(path, &before, 1);
        // The templates have no tags and no options.
        let (source, destination) = if path.tables.ipv6 {
            (&output[22..38], &output[38..54])
        } else {
            (&output[26..30], &output[30..34])
        };
        let vip = octets(frame::vip(path.tables.ipv6));
        match path.kind {
            Kind::Reply => {
                assert_eq!(output[..6], CLIENT_MAC.0, "{name}: MAC");
                assert_eq!(source, vip, "{name}: source");
            }
            Kind::Forward | Kind::New => {
                assert_eq!(output[..6], BACKEND_MAC.0, "{name}: MAC");
                let is_backend = (0..BACKENDS)
                    .any(|n| octets(frame::backend(path.tables.ipv6, n).ip()) == destination);
                let is_kept = path.tables.mode == ForwardingMode::DSR_L2 && destination == vip;
                assert!(is_backend || is_kept, "{name}: sent to {destination:?}");
            }
        }
    }

    fn send(&mut self, behind: Program, packets: u32) -> Outcome {
        let behind = match behind {
            Program::Baseline => program(&self.wrapper, BASELINE),
            Program::Adc => program(&self.adc, INGRESS),
            Program::Yardstick => program(&self.wrapper, YARDSTICK),
        };
        let handle = behind.fd().expect("loaded in `new`").try_clone();
        let handle = handle.expect("another handle on the program");
        map::<ProgramArray<_>>(&mut self.wrapper, "PROGRAMS")
            .set(0, &handle, 0)
            .expect("putting a program behind the wrapper");
        let input = vec![0; frame::length(self.tables)];
        let mut output = vec![0; 2 * input.len()];
        let result = program(&self.wrapper, WRAPPER)
            .test_run(TestRunOptions {
                data_in: Some(&input),
                data_out: Some(&mut output),
                repeat: packets,
                ..Default::default()
            })
            .expect("a test run");
        output.truncate(result.data_size_out as usize);
        Outcome {
            action: result.return_value,
            nanos: u32::try_from(result.duration.as_nanos()).expect("nanoseconds per packet"),
            output,
        }
    }

    /// Packets by reason, so far.
    pub(crate) fn reasons(&mut self) -> Vec<u64> {
        let counters: PerCpuArray<_, Raw<ReasonCounters>> = map(&mut self.adc, "REASON_COUNTERS");
        Reason::ALL
            .iter()
            .map(|reason| {
                let per_cpu = counters.get(&reason.index(), 0).expect("reading counters");
                per_cpu.iter().map(|one| one.0.packets).sum()
            })
            .collect()
    }

    /// Each of the `sent` packets since `before` must have ended with the path's own reason.
    pub(crate) fn check_reasons(&mut self, path: Path, before: &[u64], sent: u64) {
        let after = self.reasons();
        for (reason, (before, after)) in Reason::ALL.iter().zip(before.iter().zip(&after)) {
            let expected = if *reason == path.kind.reason() {
                sent
            } else {
                0
            };
            let (path, reason) = (path.name(), reason.name());
            assert_eq!(after - before, expected, "{path}: packets with {reason}");
        }
    }

    /// Bytes of the main table per IPv4 flow it has room for, both entries.
    pub(crate) fn bytes_per_flow(&self) -> f64 {
        let Some(Map::HashMap(map)) = self.adc.map("FLOWS4") else {
            panic!("FLOWS4 is a hash map");
        };
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
        let bytes = memory::of_map(map) as f64;
        bytes / f64::from(self.capacity)
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

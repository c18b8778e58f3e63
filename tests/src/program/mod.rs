//! The XDP program in the kernel, run packet by packet with `BPF_PROG_TEST_RUN`.
//!
//! Nothing is attached and nothing is sent: the kernel hands the program a frame and returns its verdict
//! and the frame as the program left it. Rules of the kernel (net/bpf/test_run.c, Linux 6.1): a frame has at
//! least an Ethernet header, and the interface it "came in by" must exist. Loopback always exists and always
//! has index 1, so every frame comes in by it; see [`Program::run`].

pub mod capture;
mod decap;
pub mod handover;
mod maps;
pub(crate) mod raw;
mod source;
mod walk;

use std::{
    fs,
    path::{Path, PathBuf},
};

use adc_common::abi::{InterfaceId, SELF_CHECK_JUDGE, SELF_CHECK_WALK};
use aya::{
    Ebpf, EbpfLoader,
    maps::{MapData, ProgramArray},
    programs::{ProgramInfo, TestRun as _, TestRunOptions, Xdp},
};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

use crate::walk::{Arrival, Exit};
pub use decap::DecapProgram;
pub use maps::{FlowMaps, Maps};

/// Where the object under test is; `cargo xtask test` and the kernel matrix set it.
pub const OBJECT: &str = "ADC_XDP_OBJECT";

/// Name of the program in the object.
const ENTRY: &str = "adc_ingress";

/// What runs in its place when packets are checked, and what comes last then.
const WATCH: &str = "adc_watch";
const JUDGE: &str = "adc_judge";

/// Shortest frame that the kernel takes: an Ethernet header (`ETH_HLEN`).
pub const SHORTEST_FRAME: usize = 14;

/// Room for what the program may add in front of a frame.
const GROWTH: usize = 64;

/// Index of loopback in every network namespace.
const LOOPBACK: u32 = 1;

/// Capacities of the tables that a packet can fill.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries (two a flow) of each main flow table.
    pub flows: u32,
    /// Entries of each half-open table.
    pub half_open: u32,
}

/// The loaded program and its maps.
pub struct Program {
    ebpf: Ebpf,
    entry: &'static str,
    /// By which programs hand packets on. The kernel empties it when its last handle is closed.
    chain: Option<ProgramArray<MapData>>,
    /// Its maps.
    pub maps: Maps,
}

/// The object under test, or what to do to get one.
pub fn object() -> Result<PathBuf, String> {
    let path = std::env::var_os(OBJECT).map_or_else(beside_the_tests, PathBuf::from);
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!(
            "needs the XDP object at {}; `cargo xtask build-ebpf` makes it, {OBJECT} names another",
            path.display()
        ))
    }
}

/// Another object beside the one under test, which this command makes; or what to do to get it.
///
/// # Errors
/// Where it was looked for.
pub(crate) fn object_beside(name: &str, command: &str) -> Result<PathBuf, String> {
    let path = object()?.with_file_name(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!(
            "needs the object {}; `{command}` makes it",
            path.display()
        ))
    }
}

/// `<target>/bpf/adc-xdp`, seen from a test binary in `<target>/<profile>/deps`.
fn beside_the_tests() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let target = test.ancestors().nth(3).expect("target directory of cargo");
    target.join("bpf/adc-xdp")
}

/// What the agent tells the program before it is loaded.
#[derive(Clone, Copy, Debug, Default)]
struct Globals {
    self_check: u32,
    tell_flows: u32,
}

impl Globals {
    const TELLING: Self = Self {
        self_check: 0,
        tell_flows: 1,
    };
}

impl Program {
    /// Loads the object into the kernel, with empty tables.
    ///
    /// # Panics
    /// If the kernel refuses it; the verifier's log is in the message.
    pub fn load(limits: Limits) -> Self {
        let path = object().unwrap_or_else(|missing| panic!("{missing}"));
        Self::load_entry(&path, ENTRY, limits, Globals::default())
    }

    /// The same, and the agent is told of flows.
    ///
    /// # Panics
    /// As above.
    pub fn load_telling(limits: Limits) -> Self {
        let path = object().unwrap_or_else(|missing| panic!("{missing}"));
        Self::load_entry(&path, ENTRY, limits, Globals::TELLING)
    }

    /// The same, and every packet has its checksums verified on its way through.
    ///
    /// # Panics
    /// As above.
    pub fn load_checked(limits: Limits) -> Self {
        let path = object().unwrap_or_else(|missing| panic!("{missing}"));
        let globals = Globals {
            self_check: 1,
            ..Globals::default()
        };
        let mut program = Self::load_entry(&path, ENTRY, limits, globals);
        let ebpf = &mut program.ebpf;
        let map = ebpf.take_map("PROGRAMS").expect("PROGRAMS");
        let mut chain = ProgramArray::try_from(map).expect("an array of programs");
        for name in [WATCH, JUDGE] {
            entry(ebpf, name)
                .load()
                .unwrap_or_else(|error| panic!("the kernel refuses {name}: {}", chain_of(&error)));
        }
        for (index, name) in [(SELF_CHECK_WALK, ENTRY), (SELF_CHECK_JUDGE, JUDGE)] {
            let fd = entry(ebpf, name).fd().expect("a loaded program");
            chain.set(index, fd, 0).expect("PROGRAMS");
        }
        program.entry = WATCH;
        program.chain = Some(chain);
        program
    }

    fn load_entry(path: &Path, name: &'static str, limits: Limits, globals: Globals) -> Self {
        // The walk may tell CPUs apart (`Tables::cpu`), and the host twin is CPU 0. A test run runs where its caller does.
        let mut first = CpuSet::new();
        first.set(0).expect("CPU 0");
        sched_setaffinity(Pid::from_raw(0), &first).expect("moving this thread to CPU 0");
        let bytes = fs::read(path)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("FLOWS4", limits.flows)
            .map_max_entries("FLOWS6", limits.flows)
            .map_max_entries("HALF_OPEN4", limits.half_open)
            .map_max_entries("HALF_OPEN6", limits.half_open)
            .override_global(
                "SELF_CHECK_EVERY",
                &globals.self_check,
                globals.self_check != 0,
            )
            .override_global("TELL_FLOWS", &globals.tell_flows, true)
            .load(&bytes)
            .unwrap_or_else(|error| panic!("cannot create the maps: {}", chain_of(&error)));
        entry(&mut ebpf, name)
            .load()
            .unwrap_or_else(|error| panic!("the kernel refuses the program: {}", chain_of(&error)));
        // Taken only now: a map whose last handle is closed before the load is gone.
        let maps = Maps::take(&mut ebpf, limits);
        Self {
            ebpf,
            entry: name,
            chain: None,
            maps,
        }
    }

    /// Sends one frame through the program, as if it had come in by `interface`. `None` for a frame that is
    /// too short for the kernel.
    ///
    /// # Panics
    /// If the kernel refuses the run, or the program returns no verdict of XDP.
    pub fn run(&mut self, frame: &[u8], interface: InterfaceId) -> Option<Arrival> {
        if frame.len() < SHORTEST_FRAME {
            return None;
        }
        self.maps.come_in_by(interface, LOOPBACK);
        self.maps.drain_orphans();
        let mut out = vec![0; frame.len() + GROWTH];
        let result = entry(&mut self.ebpf, self.entry)
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut out),
                ..TestRunOptions::default()
            })
            .unwrap_or_else(|error| panic!("BPF_PROG_TEST_RUN: {}", chain_of(&error)));
        let length = usize::try_from(result.data_size_out).expect("frame length");
        out.truncate(length);
        Some(Arrival {
            exit: exit(result.return_value),
            frame: out,
        })
    }

    /// What the kernel says about the loaded walk.
    ///
    /// # Panics
    /// If the kernel does not say.
    pub fn info(&mut self) -> ProgramInfo {
        let walk = if self.chain.is_some() {
            ENTRY
        } else {
            self.entry
        };
        entry(&mut self.ebpf, walk).info().expect("program info")
    }
}

fn entry<'e>(ebpf: &'e mut Ebpf, name: &str) -> &'e mut Xdp {
    ebpf.program_mut(name)
        .unwrap_or_else(|| panic!("the object has no program {name}"))
        .try_into()
        .expect("an XDP program")
}

/// XDP's numbers (include/uapi/linux/bpf.h, `enum xdp_action`).
fn exit(verdict: u32) -> Exit {
    match verdict {
        1 => Exit::Drop,
        2 => Exit::Pass,
        3 => Exit::Transmit,
        4 => Exit::Redirect,
        other => panic!("the program returned {other}"),
    }
}

/// An error with its causes; aya puts the verifier's log into the last.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

//! The program between two others, which flows move between.

use std::{fs, path::PathBuf};

use adc_common::abi::{Addr4, Addr6, FlowKey, HANDOVER_EARLIER, HANDOVER_OWN};
use aya::{
    Ebpf,
    maps::{HashMap, MapData, ProgramArray},
    programs::{ProgramInfo, TestRun as _, TestRunOptions},
};

use super::{Program, chain_of, entry, exit, raw::Raw};
use crate::walk::Exit;

/// Name of the object beside the one under test.
const OBJECT: &str = "adc-xdp-handover";

/// Name of the program in it.
const ENTRY: &str = "adc_handover";

/// The loaded program, its tables of the earlier layout (validated flows, then half-open ones), and the two programs behind.
pub struct Between {
    ebpf: Ebpf,
    chain: ProgramArray<MapData>,
    v4: [Table<Addr4>; 2],
    v6: [Table<Addr6>; 2],
}

type Table<A> = HashMap<MapData, Raw<FlowKey<A>>, u64>;

/// Which of the two tables of a family.
#[derive(Clone, Copy, Debug)]
pub enum Kept {
    /// Validated flows.
    Main,
    /// Half-open ones.
    HalfOpen,
}

/// The object, or what to do to get it.
///
/// # Errors
/// Where it was looked for.
pub fn object() -> Result<PathBuf, String> {
    super::object_beside(OBJECT, "cargo xtask build-ebpf")
}

impl Between {
    /// Loads it, with room for a flow in each table and no program behind it.
    ///
    /// # Panics
    /// If there is no object, or the kernel refuses it.
    pub fn load() -> Self {
        let path = object().unwrap_or_else(|missing| panic!("{missing}"));
        let bytes = fs::read(path).expect("the object");
        let mut ebpf = Ebpf::load(&bytes)
            .unwrap_or_else(|error| panic!("cannot create the maps: {}", chain_of(&error)));
        entry(&mut ebpf, ENTRY)
            .load()
            .unwrap_or_else(|error| panic!("the kernel refuses it: {}", chain_of(&error)));
        macro_rules! table {
            ($name:literal) => {{
                let map = ebpf.take_map($name).expect($name);
                HashMap::try_from(map).expect("a hash")
            }};
        }
        let v4 = [table!("EARLIER_FLOWS4"), table!("EARLIER_HALF_OPEN4")];
        let v6 = [table!("EARLIER_FLOWS6"), table!("EARLIER_HALF_OPEN6")];
        let chain = ebpf.take_map("HANDOVER").expect("HANDOVER");
        let chain = ProgramArray::try_from(chain).expect("an array of programs");
        Self {
            ebpf,
            chain,
            v4,
            v6,
        }
    }

    /// An IPv4 flow has this key there.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn keep4(&mut self, kept: Kept, key: FlowKey<Addr4>) {
        self.v4[kept as usize]
            .insert(Raw(key), 0, 0)
            .expect("room for a flow");
    }

    /// The same of IPv6.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn keep6(&mut self, kept: Kept, key: FlowKey<Addr6>) {
        self.v6[kept as usize]
            .insert(Raw(key), 0, 0)
            .expect("room for a flow");
    }

    /// Puts a program behind it: that of the earlier layout.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn before(&mut self, program: &mut Program) {
        self.set(HANDOVER_EARLIER, program);
    }

    /// The same of this release's.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn switch_to(&mut self, program: &mut Program) {
        self.set(HANDOVER_OWN, program);
    }

    fn set(&mut self, slot: u32, program: &mut Program) {
        let name = program.entry;
        let fd = entry(&mut program.ebpf, name).fd().expect("a program");
        self.chain.set(slot, fd, 0).expect("HANDOVER");
    }

    /// Sends a frame through it and what is behind it.
    ///
    /// # Panics
    /// If the kernel refuses the run.
    pub fn run(&mut self, frame: &[u8]) -> Exit {
        let result = entry(&mut self.ebpf, ENTRY)
            .test_run(TestRunOptions {
                data_in: Some(frame),
                ..TestRunOptions::default()
            })
            .unwrap_or_else(|error| panic!("BPF_PROG_TEST_RUN: {}", chain_of(&error)));
        exit(result.return_value)
    }

    /// What the kernel says of it.
    ///
    /// # Panics
    /// If it does not say.
    pub fn info(&mut self) -> ProgramInfo {
        entry(&mut self.ebpf, ENTRY).info().expect("program info")
    }
}

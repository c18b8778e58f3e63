//! The decapsulator in the kernel.

use std::{fs, net::IpAddr};

use adc_common::abi::{Addr16, DecapOutcome, DecapSettings, Mac, OTHER_MACS, Port};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, MapData, PerCpuArray},
    programs::{TestRun as _, TestRunOptions, Xdp},
};

use super::{SHORTEST_FRAME, chain_of, object, raw::Raw};
use crate::decap::{Decap, OTHER_MAC, OWN_MAC, VIPS};

const ENTRY: &str = "adc_decap";

/// The loaded decapsulator.
pub struct DecapProgram {
    ebpf: Ebpf,
    counters: PerCpuArray<MapData, u64>,
    before: Vec<u64>,
}

impl DecapProgram {
    /// Loads the object that lies beside the one under test.
    ///
    /// # Panics
    /// If there is none, or the kernel refuses it.
    pub fn load() -> Self {
        let path = object()
            .unwrap_or_else(|missing| panic!("{missing}"))
            .with_file_name("adc-xdp-decap");
        let bytes = fs::read(&path)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        let mut ebpf = EbpfLoader::new()
            .load(&bytes)
            .unwrap_or_else(|error| panic!("cannot create the maps: {}", chain_of(&error)));
        entry(&mut ebpf)
            .load()
            .unwrap_or_else(|error| panic!("the kernel refuses the program: {}", chain_of(&error)));
        let mut take = |name: &str| ebpf.take_map(name).unwrap_or_else(|| panic!("no {name}"));
        let mut settings: Array<_, Raw<DecapSettings>> =
            take("DECAP_SETTINGS").try_into().expect("DECAP_SETTINGS");
        let told = DecapSettings {
            port: Port::new(6080),
            known_vips_only: 1,
            mac: Mac(OWN_MAC.0),
            other_macs: [Mac(OTHER_MAC.0); OTHER_MACS],
            ..DecapSettings::default()
        };
        settings.set(0, Raw(told), 0).expect("DECAP_SETTINGS");
        let mut vips: HashMap<_, Raw<Addr16>, u32> =
            take("DECAP_VIPS").try_into().expect("DECAP_VIPS");
        for vip in VIPS {
            let vip: IpAddr = vip.parse().expect("an address");
            vips.insert(Raw(Addr16::from(vip)), 1, 0)
                .expect("DECAP_VIPS");
        }
        let counters = take("DECAP_COUNTERS").try_into().expect("DECAP_COUNTERS");
        let mut program = Self {
            ebpf,
            counters,
            before: Vec::new(),
        };
        program.before = program.counts();
        program
    }

    fn counts(&self) -> Vec<u64> {
        let sum = |outcome: &DecapOutcome| {
            let cpus = self.counters.get(&(*outcome as u32), 0);
            cpus.expect("DECAP_COUNTERS").iter().sum()
        };
        DecapOutcome::ALL.iter().map(sum).collect()
    }
}

impl Decap for DecapProgram {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn arrive(&mut self, frame: &[u8]) -> Option<(DecapOutcome, Vec<u8>)> {
        if frame.len() < SHORTEST_FRAME {
            return None;
        }
        let mut out = vec![0; frame.len()];
        let result = entry(&mut self.ebpf)
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut out),
                ..TestRunOptions::default()
            })
            .unwrap_or_else(|error| panic!("BPF_PROG_TEST_RUN: {}", chain_of(&error)));
        out.truncate(usize::try_from(result.data_size_out).expect("frame length"));
        let now = self.counts();
        let counted: Vec<_> = DecapOutcome::ALL
            .iter()
            .zip(now.iter().zip(&self.before))
            .filter(|(_, (now, before))| now != before)
            .map(|(outcome, _)| *outcome)
            .collect();
        self.before = now;
        let [outcome] = counted[..] else {
            panic!("counted {counted:?} for one frame");
        };
        let dropped = matches!(
            outcome,
            DecapOutcome::Malformed | DecapOutcome::Congestion | DecapOutcome::HeadroomError
        );
        assert_eq!(
            result.return_value,
            if dropped { 1 } else { 2 },
            "{outcome:?}"
        );
        Some((outcome, out))
    }
}

fn entry(ebpf: &mut Ebpf) -> &mut Xdp {
    ebpf.program_mut(ENTRY)
        .unwrap_or_else(|| panic!("the object has no program {ENTRY}"))
        .try_into()
        .expect("an XDP program")
}

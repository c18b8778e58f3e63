//! `adc explain` and the program agree: what is explained is what then happens, packet by packet, and explaining it
//! changed nothing.

use std::collections::BTreeSet;

use adc_common::{
    abi::{Phase, Tick},
    datapath::Action,
};
use adc_tests::{
    announce,
    program::{Limits, Program},
    require,
    walk::{Exit, Walk as _, World, traffic::Traffic},
};

/// As in the differential test: the LRU never evicts.
const ROOMY: Limits = Limits {
    flows: 65_536,
    half_open: 65_536,
};

#[test]
fn what_is_explained_is_what_then_happens() {
    require!(object);
    let packets = if std::env::var_os("ADC_KERNEL_MATRIX").is_some() {
        1_000
    } else {
        20_000
    };
    let mut kernel = Program::load(ROOMY);
    let mut reasons = BTreeSet::new();
    foretell(&mut kernel, World::two_arm(), packets, &mut reasons);
    let full_nat = World::two_arm().with_full_nat();
    foretell(&mut kernel, full_nat, packets / 2, &mut reasons);
    let mut proxied = World::two_arm().with_full_nat();
    for service in proxied.contents.services.values_mut() {
        service.proxy_protocol = 1;
    }
    foretell(&mut kernel, proxied, packets / 2, &mut reasons);
    announce(format_args!("{packets} packets explained; {reasons:?}"));
    assert!(reasons.len() >= 15, "the traffic is too tame: {reasons:?}");
}

/// Explains random packets in `world`, each just before it is sent.
fn foretell(
    kernel: &mut Program,
    mut world: World,
    packets: usize,
    reasons: &mut BTreeSet<&'static str>,
) {
    // An emulated kernel takes its time: nothing may expire.
    for service in world.contents.services.values_mut() {
        service.timeouts = [Tick::from_secs(86_400); Phase::CAPACITY];
    }
    kernel.pour(&world.contents);
    let mut traffic = Traffic::new(7, world);
    for n in 0..packets {
        let (interface, frame) = traffic.next_frame();
        if frame.len() < adc_tests::program::SHORTEST_FRAME {
            continue;
        }
        let before = kernel.counters();
        let explained = kernel.explain(&frame, interface);
        assert_eq!(kernel.counters(), before, "explaining packet {n} counted");
        let Some(arrival) = kernel.arrive(&frame, interface) else {
            continue;
        };
        let exit = match explained.verdict.action {
            Action::Pass => Exit::Pass,
            Action::Drop => Exit::Drop,
            Action::Transmit => Exit::Transmit,
            Action::Redirect(_) => Exit::Redirect,
        };
        assert_eq!(exit, arrival.exit, "packet {n}: {explained:?}");
        assert_eq!(explained.frame, arrival.frame, "packet {n}: {explained:?}");
        let counted = kernel.counters().since(&before);
        let reason = explained.verdict.reason.name();
        let packets: u64 = counted.reasons.values().map(|count| count.packets).sum();
        assert_eq!(packets, 1, "packet {n}");
        assert_eq!(
            counted.reasons.get(reason).map(|count| count.packets),
            Some(1),
            "packet {n} was explained as {reason} and counted as {:?}",
            counted.reasons
        );
        reasons.insert(reason);
    }
}

#[test]
fn explaining_leaves_no_flow_behind() {
    require!(object);
    let world = World::two_arm();
    let mut kernel = Program::load(ROOMY);
    kernel.pour(&world.contents);
    let mut traffic = Traffic::new(8, world);
    for _ in 0..500 {
        let (interface, frame) = traffic.next_frame();
        kernel.explain(&frame, interface);
    }
    assert_eq!(
        kernel
            .flows()
            .difference(&adc_tests::walk::Flows::default()),
        ""
    );
    assert_eq!(kernel.counters(), adc_tests::walk::Counters::default());
}

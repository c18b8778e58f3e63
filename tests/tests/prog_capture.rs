//! The program that captures does to every packet what the normal one does, and tells the truth about it.

use adc_common::abi::{
    CaptureBits, CaptureRecord, CaptureSetup, CaptureVerdict, MAX_SNAPLEN, Phase, Port, Protocol,
    Reason, Tick,
};
use adc_tests::{
    announce,
    program::{Limits, Program, SHORTEST_FRAME},
    require,
    walk::{Arrival, Exit, HostWalk, Walk as _, World, traffic::Traffic},
};

/// As in the differential test: the LRU never evicts.
const ROOMY: Limits = Limits {
    flows: 65_536,
    half_open: 65_536,
};

fn everything() -> CaptureSetup {
    CaptureSetup {
        snaplen: MAX_SNAPLEN,
        wants: CaptureBits::LEFT,
        ..CaptureSetup::default()
    }
}

fn world() -> World {
    let mut world = World::two_arm();
    for service in world.contents.services.values_mut() {
        service.timeouts = [Tick::from_secs(86_400); Phase::CAPACITY];
    }
    world
}

/// Emulated kernels are slow, and run the same walk.
fn is_emulated() -> bool {
    std::env::var_os("ADC_KERNEL_MATRIX").is_some()
}

fn verdict(exit: Exit) -> CaptureVerdict {
    match exit {
        Exit::Pass => CaptureVerdict::PASS,
        Exit::Drop => CaptureVerdict::DROP,
        Exit::Transmit => CaptureVerdict::TRANSMIT,
        Exit::Redirect => CaptureVerdict::REDIRECT,
    }
}

fn assert_tells(record: &CaptureRecord, frame: &[u8], came: &[u8], arrival: &Arrival) {
    assert_eq!(frame, came);
    assert_eq!(record.length as usize, came.len());
    assert_eq!(record.verdict, verdict(arrival.exit));
    assert_eq!(record.shows, CaptureBits::default());
}

#[test]
fn captured_packets_meet_the_same_fate_and_the_records_say_so() {
    require!(object, capture);
    let packets = if is_emulated() { 500 } else { 20_000 };
    let world = world();
    let mut host = HostWalk::default();
    let (mut kernel, mut records) = Program::capturing(ROOMY, everything());
    host.pour(&world.contents);
    kernel.pour(&world.contents);
    let mut traffic = Traffic::new(11, world);
    let mut forwarded = 0;
    for n in 0..packets {
        let (interface, frame) = traffic.next_frame();
        if frame.len() < SHORTEST_FRAME {
            continue;
        }
        let before = kernel.counters();
        let on_host = host.arrive(&frame, interface).expect("any frame");
        let arrival = kernel.arrive(&frame, interface).expect("long enough");
        assert_eq!(arrival, on_host, "packet {n}");
        let (record, captured) = records.next().expect("a record of every packet");
        assert_tells(&record, &captured, &frame, &arrival);
        let reason = Reason::ALL[record.reason as usize].name();
        let counted = kernel.counters().since(&before).reasons;
        assert!(
            counted.contains_key(reason),
            "packet {n}: {reason} {counted:?}"
        );
        if matches!(arrival.exit, Exit::Transmit | Exit::Redirect) {
            forwarded += 1;
            let (record, left) = records.next().expect("a record of what left");
            assert_eq!(record.shows, CaptureBits::LEFT);
            assert_eq!(left, arrival.frame, "packet {n}");
            // ICMP messages are counted for no backend.
            let of_a_flow =
                !reason.starts_with("icmp_error") && Reason::TtlExceeded.name() != reason;
            assert!(!of_a_flow || record.backend.0 != 0, "packet {n}: {reason}");
        }
        assert!(records.next().is_none(), "packet {n}: one record too many");
    }
    // Few packets are mostly first packets.
    let one_in = if is_emulated() { 5 } else { 3 };
    assert!(
        forwarded > packets / one_in,
        "only {forwarded} were forwarded"
    );
    assert_eq!(records.counters().lost, 0);
    announce(format_args!("{packets} packets, {forwarded} forwarded"));
}

#[test]
fn packets_go_their_way_when_nobody_reads_and_the_loss_is_counted() {
    require!(object, capture);
    // Tens of thousands of packets, and the ring is the kernel's: shown once, on this one.
    if is_emulated() {
        return;
    }
    let world = world();
    let mut host = HostWalk::default();
    let (mut kernel, records) = Program::capturing(ROOMY, everything());
    host.pour(&world.contents);
    kernel.pour(&world.contents);
    let mut traffic = Traffic::new(12, world);
    // Records of 100 bytes and more: 4 MiB are full long before.
    for n in 0..40_000 {
        let (interface, frame) = traffic.next_frame();
        if frame.len() < SHORTEST_FRAME {
            continue;
        }
        let on_host = host.arrive(&frame, interface);
        assert_eq!(kernel.arrive(&frame, interface), on_host, "packet {n}");
        if n % 1_000 == 0 && records.counters().lost > 1_000 {
            return;
        }
    }
    panic!("the ring took everything: {:?}", records.counters());
}

#[test]
fn the_program_leaves_out_what_is_certainly_not_asked_for() {
    require!(object, capture);
    let world = world();
    let talk = world.talk(adc_tests::walk::Family::V4, Protocol::TCP);
    let setup = CaptureSetup {
        host: talk.vip.ip().into(),
        port: Port::new(talk.vip.port()),
        protocol: Protocol::TCP,
        wants: CaptureBits::HOST
            .with(CaptureBits::PORT)
            .with(CaptureBits::PROTOCOL),
        ..everything()
    };
    let (mut kernel, mut records) = Program::capturing(ROOMY, setup);
    kernel.pour(&world.contents);
    let mut traffic = Traffic::new(13, world);
    let (mut seen, mut others) = (0, 0);
    for _ in 0..2_000 {
        let (interface, frame) = traffic.next_frame();
        if kernel.arrive(&frame, interface).is_none() {
            continue;
        }
        let ends = adc_userspace::explain::tuple_of(&frame);
        let asked_for = ends.is_some_and(|(from, to, protocol)| {
            let is_port = from.port() == talk.vip.port() || to.port() == talk.vip.port();
            let is_host = from.ip() == talk.vip.ip() || to.ip() == talk.vip.ip();
            protocol == 6 && is_host && is_port
        });
        let recorded = records.next().is_some();
        assert!(recorded || !asked_for, "left out: {ends:?}");
        seen += u32::from(asked_for);
        others += u32::from(!recorded);
    }
    assert!(seen > 50 && others > 500, "{seen} seen, {others} left out");
}

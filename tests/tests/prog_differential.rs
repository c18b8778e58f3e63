//! The same random packets through the walk on the host and in the kernel: same verdicts, same bytes, same
//! counters, same flows.

use std::{fmt::Write as _, net::SocketAddr};

use adc_common::abi::{GroupSlot, Phase, Protocol, Tick};
use adc_tests::{
    announce,
    program::{Limits, Program},
    require,
    walk::{
        Arrival, BACK, FRONT, Family, HostWalk, Lease, Link, PROTOCOLS, Walk as _, Way, World,
        traffic::Traffic,
    },
};

/// Names a seed other than the usual one, to look for more, or to see a failure again.
const SEED: &str = "ADC_SEED";

/// Far above what the traffic makes, so that the LRU of the half-open tables never evicts: when it does, is
/// the kernel's own business.
const ROOMY: Limits = Limits {
    flows: 65_536,
    half_open: 65_536,
};

#[test]
fn host_and_kernel_agree_on_every_packet() {
    require!(object);
    let seed =
        std::env::var(SEED).map_or(20_250_801, |seed| seed.parse().expect("ADC_SEED: a number"));
    // Emulated kernels are slow, and run the same walk.
    let packets = if std::env::var_os("ADC_KERNEL_MATRIX").is_some() {
        10_000
    } else {
        60_000
    };
    announce(format_args!("{packets} packets, {SEED}={seed}"));
    let mut host = HostWalk::default();
    let mut kernel = Program::load_checked(ROOMY);
    let mut run = |world, seed, packets, floor| {
        agree(&mut host, &mut kernel, world, seed, packets, floor);
    };
    run(world(), seed, packets, TWO_WAY);
    run(full_nat_world(), seed + 1, packets / 2, TWO_WAY);
    for (world, seed) in fenced_worlds().into_iter().zip(seed + 100..) {
        run(world, seed, packets / 6, HALF_FENCED);
    }
    for (way, seed) in Way::ALL.into_iter().zip(seed + 2..) {
        run(direct_world(way), seed, packets / 6, ONE_WAY);
    }
    let checks = kernel.maps.self_checks();
    announce(format_args!("checksums: {checks:?}"));
    assert_eq!(checks.failed, 0, "checksums became wrong on the way");
    assert!(
        checks.sound > checks.seen / 6,
        "too few checksums were verified: {checks:?}"
    );
}

/// Ports of the services with many, and every port.
const RANGE: (u16, u16) = (2001, 2026);
const ANY: (u16, u16) = (0, u16::MAX);

/// What the traffic must at least amount to, or the comparison says little.
#[derive(Clone, Copy)]
struct Floor {
    /// More than one packet in this many is forwarded.
    one_in: usize,
    /// Different reasons seen.
    reasons: usize,
}

/// Where both directions pass.
const TWO_WAY: Floor = Floor {
    one_in: 3,
    reasons: 20,
};

/// Where answers do not come by: random ones belong to no flow.
const ONE_WAY: Floor = Floor {
    one_in: 6,
    reasons: 16,
};

/// Where half of all packets is of a group that is not served.
const HALF_FENCED: Floor = Floor {
    one_in: 8,
    reasons: 20,
};

/// The VIP of one family in a group whose lease has lapsed, that of the other in one whose lease is held.
fn fenced_worlds() -> [World; 4] {
    let leases = [Lease::Exact, Lease::Lapsed];
    let fenced = |mut world: World, leases: [Lease; 2]| {
        for ((family, lease), slot) in Family::BOTH.into_iter().zip(leases).zip(1..) {
            let vip = world.tcp(family).vip.ip();
            let contents = world.contents.clone();
            let slot = GroupSlot(slot);
            world.contents = contents.in_group(slot, vip).leased(slot, lease);
        }
        world
    };
    let swapped = [Lease::Lapsed, Lease::Sure];
    [
        fenced(world(), leases),
        fenced(world(), swapped),
        fenced(full_nat_world(), leases),
        fenced(full_nat_world(), swapped),
    ]
}

/// Random traffic in `world`, the same in both places.
fn agree(
    host: &mut HostWalk,
    kernel: &mut Program,
    world: World,
    seed: u64,
    packets: usize,
    floor: Floor,
) {
    host.pour(&world.contents);
    kernel.pour(&world.contents);
    let mut traffic = Traffic::new(seed, world);
    let mut forwarded = 0;
    let before = host.counters();
    for n in 0..packets {
        let (interface, frame) = traffic.next_frame();
        let on_host = host.arrive(&frame, interface);
        let in_kernel = kernel.arrive(&frame, interface);
        assert!(
            on_host == in_kernel,
            "packet {n} of {SEED}={seed}, by interface {}:{}\nhost: {on_host:?}\nkernel: {in_kernel:?}",
            interface.0,
            hex(&frame)
        );
        forwarded += usize::from(on_host.is_some_and(|arrival: Arrival| arrival.frame != frame));
        if n % 1000 == 999 {
            assert_eq!(
                host.counters(),
                kernel.counters(),
                "after packet {n} of {SEED}={seed}"
            );
        }
    }
    assert!(
        forwarded > packets / floor.one_in,
        "only {forwarded} packets were forwarded"
    );
    let difference = host.flows().difference(&kernel.flows());
    assert!(difference.is_empty(), "{SEED}={seed}: {difference}");
    let reasons = host.counters().since(&before).reasons;
    announce(format_args!(
        "{forwarded} forwarded; {} reasons seen: {reasons:?}",
        reasons.len()
    ));
    assert!(
        reasons.len() >= floor.reasons,
        "the traffic is too tame: {reasons:?}"
    );
}

/// The same services and more, with `full-nat`.
fn full_nat_world() -> World {
    let mut world = world().with_full_nat();
    for service in world.contents.services.values_mut() {
        service.timeouts = [Tick::from_secs(86_400); Phase::CAPACITY];
    }
    world
}

/// Backends that answer directly, ICMP errors, and an MTU that some packets exceed inside a tunnel.
fn direct_world(way: Way) -> World {
    let links = (Link::new(FRONT, 0xfe), Link::new(BACK, 10));
    let mut world = World::direct(links.0, links.1, way).with_icmp_errors();
    for service in world.contents.services.values_mut() {
        service.timeouts = [Tick::from_secs(86_400); Phase::CAPACITY];
        service.mss_clamp = 1000;
    }
    for interface in world.contents.interfaces.values_mut() {
        interface.mtu = 150;
    }
    world
}

/// Two arms, and a second pair of services whose backends are those of the first: one client's port may then be
/// taken. Streams of the second pair begin with a PROXY protocol header.
fn world() -> World {
    let mut world = World::two_arm();
    for family in Family::BOTH {
        for protocol in PROTOCOLS {
            let mut talk = world.talk(family, protocol);
            talk.vip.set_port(talk.vip.port() + 1000);
            let service = world.contents.service(talk.vip, protocol);
            if let Some(entry) = world.contents.services.get_mut(&service) {
                entry.proxy_protocol = u8::from(protocol == Protocol::TCP);
            }
            for port in [talk.backend.port(), talk.backend.port() + 1] {
                let mut backend = talk.backend;
                backend.set_port(port);
                world
                    .contents
                    .backend(service, backend, &world.backend_link);
            }
        }
    }
    add_ranges(&mut world);
    // The two clocks differ, and an emulated kernel takes its time: nothing may expire.
    for service in world.contents.services.values_mut() {
        service.timeouts = [Tick::from_secs(86_400); Phase::CAPACITY];
    }
    world
}

/// Services with many ports, on the same backends; and one with any port.
fn add_ranges(world: &mut World) {
    world.range = Some(RANGE);
    for family in Family::BOTH {
        for protocol in [Protocol::TCP, Protocol::UDP] {
            let talk = world.talk(family, protocol);
            let any = family == Family::V6 && protocol == Protocol::UDP;
            let ranges: &[_] = if any { &[RANGE, ANY] } else { &[RANGE] };
            for ports in ranges {
                let service = world.contents.range(talk.vip.ip(), *ports, protocol);
                let backend = SocketAddr::new(talk.backend.ip(), 0);
                world
                    .contents
                    .backend(service, backend, &world.backend_link);
            }
        }
    }
}

fn hex(frame: &[u8]) -> String {
    frame.iter().fold(String::new(), |mut text, byte| {
        write!(text, " {byte:02x}").expect("writing to a string");
        text
    })
}

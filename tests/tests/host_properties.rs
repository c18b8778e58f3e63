//! What holds for any packet of any flow, tried on the host with random ones.

use std::{
    cell::RefCell,
    net::{IpAddr, SocketAddr},
};

use adc_common::abi::{InterfaceId, Protocol};
use adc_tests::{
    packets::{Chunk, Extension, Segment, Tag},
    walk::{
        BACK, FRONT, Family, HostWalk, LOCAL4, LOCAL6, Link, PROTOCOLS, Talk, Walk as _, World,
        stories,
    },
};
use proptest::prelude::*;

#[test]
fn two_services_may_share_a_backend() {
    stories::two_services_share_a_backend(&mut HostWalk::default());
}

#[test]
fn a_half_flow_is_not_mistaken_for_another() {
    stories::a_half_flow_is_not_mistaken_for_another(&mut HostWalk::default());
}

#[test]
fn a_syn_flood_leaves_established_flows_alone() {
    stories::a_syn_flood_leaves_established_flows_alone(&mut HostWalk::default(), 3000);
}

thread_local! {
    /// Kept from case to case, because its rings take longer to write than a case to run.
    static HOST: RefCell<HostWalk> = RefCell::default();
}

/// Runs `work` on tables that hold `world` and no flow.
fn in_world<R>(world: &World, work: impl FnOnce(&mut HostWalk) -> R) -> R {
    HOST.with_borrow_mut(|host| {
        host.pour(&world.contents);
        work(host)
    })
}

/// A wire to some neighbour, with up to two tags.
fn link(interface: InterfaceId) -> impl Strategy<Value = Link> {
    let tag = (1_u16..4095, 0_u8..8);
    (2_u8..=255, proptest::collection::vec(tag, 0..=2)).prop_map(move |(neighbour, tags)| {
        let double = tags.len() == 2;
        let tags: Vec<Tag> = tags
            .into_iter()
            .enumerate()
            .map(|(n, (vlan, priority))| {
                let tag = if double && n == 0 {
                    Tag::service(vlan)
                } else {
                    Tag::customer(vlan)
                };
                tag.priority(priority)
            })
            .collect();
        Link::new(interface, neighbour).tagged(&tags)
    })
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

fn protocol() -> impl Strategy<Value = Protocol> {
    proptest::sample::select(&PROTOCOLS[..])
}

/// Ports of a service with many, and one of them.
#[derive(Clone, Copy, Debug)]
struct Ports {
    all: (u16, u16),
    one: u16,
    /// The backend has a port of its own.
    translated: bool,
}

fn ports() -> impl Strategy<Value = Option<Ports>> {
    let some = (1_u16..u16::MAX).prop_flat_map(|first| (Just(first), first + 1..=u16::MAX));
    let all = prop_oneof![3 => some, 1 => Just((0, u16::MAX))];
    let ports = all.prop_flat_map(|all| {
        let (first, last) = all;
        (Just(all), first.max(1)..=last, any::<bool>())
    });
    let ports = ports.prop_map(|(all, one, translated)| Ports {
        all,
        one,
        translated,
    });
    proptest::option::of(ports)
}

/// Gives the VIP a service with many ports beside its own, and lets the client talk to one of them.
fn at_many_ports(world: &mut World, talk: &mut Talk, protocol: Protocol, ports: Ports) {
    let service = world.contents.range(talk.vip.ip(), ports.all, protocol);
    let port = if ports.translated { 9000 } else { 0 };
    let backend = SocketAddr::new(talk.backend.ip(), port);
    let link = world.backend_link.clone();
    world.contents.backend(service, backend, &link);
    if world.full_nat {
        world.contents.full_nat(service, &[LOCAL4, LOCAL6]);
    }
    talk.vip.set_port(ports.one);
}

/// A client that is none of the other addresses, in a world of one and two arms.
fn world() -> impl Strategy<Value = World> {
    let back = prop_oneof![link(FRONT), link(BACK)];
    (link(FRONT), back).prop_map(|(front, back)| World::new(front, back))
}

fn client(family: Family, bits: u128, port: u16) -> SocketAddr {
    let address: IpAddr = match family {
        Family::V4 => {
            let [.., a, b, c] = bits.to_be_bytes();
            [198, a, b, c].into()
        }
        Family::V6 => (0x2001_u128 << 112 | bits >> 16).to_be_bytes().into(),
    };
    SocketAddr::new(address, port)
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Nat,
    FullNat,
    Nat64,
}

#[derive(Clone, Debug)]
struct Sent {
    world: World,
    talk: Talk,
    segment: Segment,
}

fn sent() -> impl Strategy<Value = Sent> {
    let mode = prop_oneof![Just(Mode::Nat), Just(Mode::FullNat), Just(Mode::Nat64)];
    let ends = (
        world(),
        mode,
        family(),
        protocol(),
        any::<u128>(),
        1_u16..,
        ports(),
    );
    let content = (
        proptest::collection::vec(any::<u8>(), 0..200),
        2_u8..,
        any::<(u32, u32)>(),
        0_usize..10,
        0_usize..40,
    );
    (ends, content).prop_map(
        |((world, mode, family, protocol, bits, port, ports), content)| {
            let (payload, ttl, (seq, ack), options, padding) = content;
            let (mut world, family) = match mode {
                Mode::Nat => (world, family),
                Mode::FullNat => (world.with_full_nat(), family),
                Mode::Nat64 => (world.with_full_nat(), Family::V6),
            };
            let mut talk = match mode {
                Mode::Nat | Mode::FullNat => world.talk(family, protocol),
                Mode::Nat64 => world.nat64(protocol),
            };
            talk.client = client(family, bits, port);
            talk.seen_as = talk.client;
            if let Some(ports) = ports {
                at_many_ports(&mut world, &mut talk, protocol, ports);
            }
            let segment = if protocol == Protocol::TCP {
                Segment::tcp("PA", seq, ack).data(&payload)
            } else if protocol == Protocol::SCTP {
                // Zero is no tag but an INIT's.
                Segment::sctp(seq | 1, &[Chunk::data(&payload)])
            } else {
                Segment::udp(&payload)
            };
            let mut segment = segment.ttl(ttl).padded(padding);
            // IPv4 has none that could come back (RFC 7915 §4.1).
            segment.flow_label = 0;
            match family {
                Family::V4 => segment = segment.options(&vec![1; options * 4]),
                Family::V6 => {}
            }
            Sent {
                world,
                talk,
                segment,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_comes_back_is_a_mirror_image(sent in sent()) {
        prop_assume!(sent.segment.ttl > 2);
        in_world(&sent.world, |host| {
            stories::forward_then_reply_mirrors(host, &sent.talk, &sent.segment);
            // And once more, along the flow that is there now.
            stories::forward_then_reply_mirrors(host, &sent.talk, &sent.segment);
        });
    }

    #[test]
    fn extension_headers_of_any_length_are_crossed(
        world in world(),
        lengths in proptest::collection::vec(1_usize..=256, 0..=6),
    ) {
        let mut world = world;
        for interface in world.contents.interfaces.values_mut() {
            interface.mtu = 65_535;
        }
        let chain: Vec<_> = lengths
            .iter()
            .map(|units| Extension::new(Extension::DESTINATION, units * 8))
            .collect();
        let talk = world.udp(Family::V6);
        let crossing = talk.request(&Segment::udp(b"far away").extensions(&chain));
        let arrival = in_world(&world, |host| host.arrive(&crossing.frame, crossing.by));
        let arrival = arrival.expect("a whole frame");
        prop_assert_eq!(arrival.exit, crossing.exit);
        prop_assert_eq!(arrival.frame, crossing.out);
    }

    #[test]
    fn no_bytes_whatever_crash_the_walk(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ethertype in prop_oneof![Just([8, 0]), Just([0x86, 0xdd]), Just([0x81, 0]), any::<[u8; 2]>()],
        version in prop_oneof![Just(0x45), Just(0x60), any::<u8>()],
    ) {
        let mut bytes = bytes;
        if let Some(slot) = bytes.get_mut(12..14) {
            slot.copy_from_slice(&ethertype);
        }
        if let Some(slot) = bytes.get_mut(14) {
            *slot = version;
        }
        let arrival = in_world(&World::two_arm(), |host| host.arrive(&bytes, FRONT));
        let arrival = arrival.expect("the host takes any frame");
        prop_assert!(arrival.frame.len() <= bytes.len() + 8);
    }
}

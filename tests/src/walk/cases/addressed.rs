//! Frames that are, and are not, addressed to this machine.

use adc_common::abi::{InterfaceEntry, InterfaceId, Mac, Reason, TableCounters, Vrid};

use super::{ONE, ack, answer, established, request, syn, syn_ack};
use crate::{
    packets::{MacAddress, Segment, Tag, arp, icmp_echo},
    walk::{BACK, Case, FRONT, Family, Talk, World},
};

/// Of another machine on the client's link.
const STRANGER: MacAddress = MacAddress::local(1, 99);
/// A second one of ours: a VLAN device's, say.
const SECOND: MacAddress = MacAddress::local(1, 2);
/// What IPv6 sends neighbour discovery to, and IPv4 multicast.
const GROUPS: [MacAddress; 3] = [
    MacAddress([0xff; 6]),
    MacAddress([0x33, 0x33, 0, 0, 0, 1]),
    MacAddress([0x01, 0, 0x5e, 0, 0, 1]),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for family in Family::BOTH {
        for (arms, world) in [
            ("one arm", World::one_arm()),
            ("two arms", World::two_arm()),
        ] {
            cases.push(opens_nothing(family, arms, &world));
            cases.push(established_is_no_excuse(family, arms, &world));
            cases.push(keeps_nothing_alive(family, arms, &world));
            cases.push(full_nat(family, arms, &world.clone().with_full_nat()));
            cases.push(follows_the_interface(family, arms, &world));
        }
        cases.push(second_mac(family));
        cases.push(virtual_macs(family));
        cases.push(anywhere_in_the_tables(family));
    }
    cases.push(no_business_of_the_rule());
    cases
}

/// The frame, to another MAC.
fn to(mac: MacAddress, mut frame: Vec<u8>) -> Vec<u8> {
    frame[..6].copy_from_slice(&mac.0);
    frame
}

fn strays(mut case: Case, by: InterfaceId, frame: &[u8]) -> Case {
    let stray = to(STRANGER, frame.to_vec());
    case = case.stays("to another host", by, stray, Reason::OtherHost);
    for group in GROUPS {
        let stray = to(group, frame.to_vec());
        case = case.stays("to a group", by, stray, Reason::GroupMac);
    }
    case
}

fn opens_nothing(family: Family, arms: &str, world: &World) -> Case {
    let (tcp, udp) = (world.tcp(family), world.udp(family));
    let name =
        format!("{family:?}, {arms}: frames to others open no flow, and are not ours to drop");
    let mut tagged = world.clone();
    tagged.client_link = tagged.client_link.tagged(&[Tag::customer(5)]);
    let mut case = Case::new(name, &world.contents);
    for frame in [
        tcp.client_sends(&syn()),
        tcp.client_sends(&request("PA", 0)),
        tcp.client_sends(&Segment::tcp("SF", 1, 0)),
        tcp.client_sends(&syn().ttl(1)),
        udp.client_sends(&Segment::udp(b"a datagram")),
        tagged.udp(family).client_sends(&Segment::udp(b"in a VLAN")),
        icmp_echo(&tcp.client_link.incoming(tcp.client, tcp.vip)),
    ] {
        case = strays(case, FRONT, &frame);
    }
    case.leaves(0, 0)
}

/// The path that must be fast looks, too, in both directions; and it is not the flow that suffers.
fn established_is_no_excuse(family: Family, arms: &str, world: &World) -> Case {
    let tcp = world.tcp(family);
    let name =
        format!("{family:?}, {arms}: an established flow does not take frames to others along");
    let case = established(Case::new(name, &world.contents), &tcp);
    both_ways(case, &tcp).counts(ONE).leaves(1, 0)
}

/// Frames to others are no sign of life: two seconds into the flow's idleness, and it ends two hours after its own last packet.
fn keeps_nothing_alive(family: Family, arms: &str, world: &World) -> Case {
    let tcp = world.tcp(family);
    let name = format!("{family:?}, {arms}: frames to others keep no flow alive");
    let (back, front) = (tcp.backend_link.interface, tcp.client_link.interface);
    let mut case = established(Case::new(name, &world.contents), &tcp).after(2);
    case = strays(case, front, &tcp.client_sends(&request("PA", 0)));
    case = strays(case, back, &tcp.backend_sends(&answer("PA", 0)));
    case.after(7198)
        .sent("a new SYN", tcp.request(&syn()), Reason::ScheduledNewFlow)
        .counts(TableCounters { removed: 1, ..ONE })
        .leaves(0, 1)
}

fn full_nat(family: Family, arms: &str, world: &World) -> Case {
    let tcp = world.tcp(family);
    let name = format!("{family:?}, {arms}: nor does one with a local address");
    let case = established(Case::new(name, &world.contents), &tcp);
    both_ways(case, &tcp).counts(ONE).leaves(1, 0)
}

fn both_ways(mut case: Case, talk: &Talk) -> Case {
    let (back, front) = (talk.backend_link.interface, talk.client_link.interface);
    for flags in ["PA", "FA", "RA"] {
        case = strays(case, front, &talk.client_sends(&request(flags, 0)));
        case = strays(case, back, &talk.backend_sends(&answer(flags, 0)));
    }
    case.sent(
        "its own request",
        talk.request(&request("PA", 0).data(b"request")),
        Reason::ForwardedToBackend,
    )
    .sent(
        "its own answer",
        talk.answer(&answer("PA", 0).data(b"answer")),
        Reason::ForwardedToClient,
    )
}

/// The agent writes a new MAC as soon as it hears of it.
fn follows_the_interface(family: Family, arms: &str, world: &World) -> Case {
    let mut moved = world.clone();
    moved.contents.interface(FRONT, SECOND);
    moved.client_link.near = SECOND;
    if moved.backend_link.interface == FRONT {
        moved.backend_link.near = SECOND;
    }
    let (before, after) = (world.tcp(family), moved.tcp(family));
    let name = format!("{family:?}, {arms}: a new MAC counts at once, and the old one no more");
    established(Case::new(name, &world.contents), &before)
        .reload(&moved.contents)
        .stays(
            "to the old MAC",
            FRONT,
            before.client_sends(&request("PA", 0)),
            Reason::OtherHost,
        )
        .sent(
            "to the new MAC",
            after.request(&request("PA", 0)),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the answer, from the new MAC",
            after.answer(&answer("PA", 0)),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
}

/// Devices on top of the interface may have MACs of their own.
fn second_mac(family: Family) -> Case {
    let mut world = World::two_arm();
    for (id, near) in [(FRONT, SECOND), (BACK, MacAddress::local(2, 2))] {
        let entry = world.contents.interfaces.get_mut(&id).expect("interface");
        entry.other_macs[1] = Mac(near.0);
    }
    let own = world.tcp(family);
    let mut asks = own.clone();
    asks.client_link.near = SECOND;
    let mut answers = own.clone();
    answers.backend_link.near = MacAddress::local(2, 2);
    let as_sent = |frame: Vec<u8>, mac| to(mac, frame);
    let mut syn_in = own.request(&syn());
    syn_in.frame = as_sent(syn_in.frame, SECOND);
    let mut syn_ack_in = own.answer(&syn_ack());
    syn_ack_in.frame = as_sent(syn_ack_in.frame, MacAddress::local(2, 2));
    let name = format!(
        "{family:?}: frames to another MAC of the interface are ours; they leave from its own"
    );
    Case::new(name, &world.contents)
        .sent("the SYN", syn_in, Reason::ScheduledNewFlow)
        .sent("the SYN-ACK", syn_ack_in, Reason::ForwardedToClient)
        .sent("the ACK", own.request(&ack()), Reason::ForwardedToBackend)
        .counts(ONE)
        .leaves(1, 0)
}

/// Both families' MACs of a virtual router are its; a MAC that only looks like one is another host's.
fn virtual_macs(family: Family) -> Case {
    const ROUTER: u8 = 51;
    let mac = |family, router| MacAddress([0x00, 0x00, 0x5e, 0x00, family, router]);
    let mut world = World::two_arm();
    for (id, routers) in [(FRONT, [ROUTER, 0]), (BACK, [77, ROUTER])] {
        let entry = world.contents.interfaces.get_mut(&id).expect("interface");
        entry.virtual_routers = routers.map(Vrid);
    }
    let own = world.tcp(family);
    let name = format!(
        "{family:?}: frames to a virtual router's MACs are ours; they leave from the interface's own"
    );
    let mut case = Case::new(name, &world.contents);
    for other in [
        mac(1, 52),
        mac(2, 77),
        mac(1, 0),
        mac(3, ROUTER),
        mac(0, ROUTER),
    ] {
        let stray = to(other, own.client_sends(&syn()));
        case = case.stays("to another router", FRONT, stray, Reason::OtherHost);
    }
    let asks = |segment: &Segment, family| {
        let mut crossing = own.request(segment);
        crossing.frame = to(mac(family, ROUTER), crossing.frame);
        crossing
    };
    let answers = |segment: &Segment, router| {
        let mut crossing = own.answer(segment);
        crossing.frame = to(mac(1, router), crossing.frame);
        crossing
    };
    case = case
        .sent("the SYN", asks(&syn(), 1), Reason::ScheduledNewFlow)
        .sent(
            "the SYN-ACK",
            answers(&syn_ack(), 77),
            Reason::ForwardedToClient,
        )
        .sent("the ACK", asks(&ack(), 2), Reason::ForwardedToBackend)
        .sent(
            "a request",
            asks(&request("PA", 0), 1),
            Reason::ForwardedToBackend,
        )
        .sent(
            "an answer",
            answers(&answer("PA", 0), ROUTER),
            Reason::ForwardedToClient,
        );
    for other in [mac(1, 52), mac(3, ROUTER)] {
        let stray = to(other, own.client_sends(&request("PA", 0)));
        case = case.stays("to another router", FRONT, stray, Reason::OtherHost);
    }
    case.counts(ONE).leaves(1, 0)
}

/// An interface stands where its kernel index says, or anywhere else.
fn anywhere_in_the_tables(family: Family) -> Case {
    let mut world = World::one_arm();
    let near = world.client_link.near;
    let elsewhere = InterfaceId(63);
    // The kernel index of the interface under test is 1; this one's place is elsewhere, too.
    let entry = InterfaceEntry::new(64 + 1, 1500, Mac(STRANGER.0));
    world.contents.interfaces.remove(&FRONT);
    world.contents.interface(elsewhere, near);
    world.contents.interfaces.insert(InterfaceId(2), entry);
    for link in [&mut world.client_link, &mut world.backend_link] {
        link.interface = elsewhere;
    }
    for backend in world.contents.backends.values_mut() {
        backend.hop.interface = elsewhere;
    }
    let tcp = world.tcp(family);
    let name = format!("{family:?}: an interface is found wherever it stands in the tables");
    let case = established(Case::new(name, &world.contents), &tcp);
    both_ways(case, &tcp).counts(ONE).leaves(1, 0)
}

fn no_business_of_the_rule() -> Case {
    let world = World::one_arm();
    let tcp = world.tcp(Family::V4);
    let link = tcp.client_link.incoming(tcp.client, tcp.vip);
    let request = arp(&link);
    Case::new("what is not IP passes whomever it is to", &world.contents)
        .stays(
            "a broadcast ARP request",
            FRONT,
            to(MacAddress([0xff; 6]), request.clone()),
            Reason::NotIp,
        )
        .stays(
            "ARP to another host",
            FRONT,
            to(STRANGER, request),
            Reason::NotIp,
        )
        .leaves(0, 0)
}

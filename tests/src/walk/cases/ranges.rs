//! Services with many ports.

use std::net::SocketAddr;

use adc_common::abi::{Protocol, Reason, ServiceId};

use super::{ONE, answer, established, request, syn, syn_ack};
use crate::{
    packets::{Segment, split},
    walk::{BACK, Case, FRONT, Family, Link, Talk, Way, World},
};

/// Ports that take several prefixes.
const RANGE: (u16, u16) = (5001, 5100);
/// Every port.
const ANY: (u16, u16) = (0, u16::MAX);
/// Where the backend takes what is translated.
const TRANSLATED: u16 = 9000;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for family in Family::BOTH {
        for port in [5001, 5002, 5063, 5064, 5099, 5100] {
            cases.push(in_range(family, port, false));
        }
        cases.push(in_range(family, 5050, true));
        cases.push(outside(family));
        cases.push(any_port(family));
        cases.push(narrowest(family));
        cases.push(two_ports_one_client(family, false));
        cases.push(two_ports_one_client(family, true));
        cases.push(full_nat(family, false));
        cases.push(full_nat(family, true));
        cases.push(datagrams(family));
        cases.push(picked_up(family));
        cases.push(reload(family));
        cases.push(direct(family));
        cases.push(strangers(family));
        cases.push(pieces_of_no_flow(family));
    }
    cases
}

/// Adds a service with these ports to a VIP that has a service with one, on the same backend; its packets keep their
/// port unless they are translated.
fn add(world: &mut World, talk: &Talk, ports: (u16, u16), translated: bool) -> ServiceId {
    let protocol = if talk.vip.port() == 53 {
        Protocol::UDP
    } else {
        Protocol::TCP
    };
    let vip = talk.vip.ip();
    let service = world.contents.range(vip, ports, protocol);
    let port = if translated { TRANSLATED } else { 0 };
    let backend = SocketAddr::new(talk.backend.ip(), port);
    let link = world.backend_link.clone();
    world.contents.backend(service, backend, &link);
    service
}

/// The same client at another port of the VIP.
fn at(talk: &Talk, port: u16, translated: bool) -> Talk {
    let mut other = talk.clone();
    other.vip.set_port(port);
    other
        .backend
        .set_port(if translated { TRANSLATED } else { port });
    other
}

fn exchange(case: Case, talk: &Talk) -> Case {
    established(case, talk)
        .sent(
            "the request",
            talk.request(&request("PA", 0).data(b"request")),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the answer",
            talk.answer(&answer("PA", 0).data(b"answer")),
            Reason::ForwardedToClient,
        )
}

fn in_range(family: Family, port: u16, translated: bool) -> Case {
    let mut world = World::two_arm();
    let talk = world.tcp(family);
    add(&mut world, &talk, RANGE, translated);
    let what = if translated {
        "becomes the backend's"
    } else {
        "stays"
    };
    let name = format!("{family:?}: port {port} of a range {what}, and the answer comes from it");
    exchange(
        Case::new(name, &world.contents),
        &at(&talk, port, translated),
    )
    .counts(ONE)
    .leaves(1, 0)
}

fn outside(family: Family) -> Case {
    let mut world = World::two_arm();
    let talk = world.tcp(family);
    add(&mut world, &talk, RANGE, false);
    let name = format!("{family:?}: ports beside a range are not the service's");
    let mut case = Case::new(name, &world.contents);
    for (what, port) in [
        ("the port before", 5000),
        ("the port after", 5101),
        ("a low port", 1),
        ("the last port", u16::MAX),
    ] {
        let frame = at(&talk, port, false).client_sends(&syn());
        case = case.stays(what, FRONT, frame, Reason::VipOtherPort);
    }
    let mut datagram = world.udp(family);
    datagram.vip.set_port(5050);
    case.stays(
        "the other protocol",
        FRONT,
        datagram.client_sends(&Segment::udp(b"?")),
        Reason::VipOtherPort,
    )
    .leaves(0, 0)
}

fn any_port(family: Family) -> Case {
    let mut world = World::two_arm();
    let talk = world.tcp(family);
    add(&mut world, &talk, ANY, false);
    let name = format!("{family:?}: a service with any port has all but port 0");
    let mut case = Case::new(name, &world.contents);
    for port in [1, 443, 32_768, u16::MAX] {
        case = case.sent(
            "a SYN",
            at(&talk, port, false).request(&syn()),
            Reason::ScheduledNewFlow,
        );
    }
    // Another flow, to the single port that the VIP also has.
    case = case.sent(
        "its own port",
        talk.request(&syn()),
        Reason::ScheduledNewFlow,
    );
    let zero = at(&talk, 0, false).client_sends(&syn());
    let mut datagram = world.udp(family);
    datagram.vip.set_port(5050);
    case.stays("port 0", FRONT, zero, Reason::VipOtherPort)
        .stays(
            "the other protocol",
            FRONT,
            datagram.client_sends(&Segment::udp(b"?")),
            Reason::VipOtherPort,
        )
        .leaves(0, 5)
}

fn narrowest(family: Family) -> Case {
    let mut world = World::two_arm();
    // Where the range and any port go; the single port goes elsewhere.
    let talk = world.tcp(family);
    add(&mut world, &talk, ANY, true);
    add(&mut world, &talk, (60, 90), false);
    let name = format!("{family:?}: a single port counts before a range, and that before any");
    let mut case = Case::new(name, &world.contents).sent(
        "the single port",
        talk.request(&syn()),
        Reason::ScheduledNewFlow,
    );
    for (what, port, translated) in [
        ("beside it", 79, false),
        ("the first of the range", 60, false),
        ("the last of the range", 90, false),
        ("before the range", 59, true),
        ("after the range", 91, true),
    ] {
        // From ports of its own: the translated ones meet at one port of the backend.
        let talk = at(&talk, port, translated).with_port(41_000 + port);
        case = case.sent(what, talk.request(&syn()), Reason::ScheduledNewFlow);
    }
    case.leaves(0, 6)
}

/// One client's port at two ports of a range. Kept, they are two flows to the backend; translated, they would be one.
fn two_ports_one_client(family: Family, translated: bool) -> Case {
    let mut world = World::two_arm();
    let talk = world.tcp(family);
    add(&mut world, &talk, RANGE, translated);
    let what = if translated { "translated" } else { "kept" };
    let name = format!("{family:?}: one client port at two ports of a range, {what}");
    let first = at(&talk, 5001, translated);
    let mut case = established(Case::new(name, &world.contents), &first);
    let mut second = at(&talk, 5002, translated);
    if translated {
        second = second_choice(&world, &second);
    }
    case = established(case, &second);
    for (what, talk) in [
        ("the first's answer", first),
        ("the second's answer", second),
    ] {
        let segment = answer("PA", 0).data(b"answer");
        case = case.sent(what, talk.answer(&segment), Reason::ForwardedToClient);
    }
    case.counts(adc_common::abi::TableCounters { inserted: 2, ..ONE })
        .leaves(2, 0)
}

/// As the backend sees the client whose own port is taken: some other port, which the walk on the host tells.
fn second_choice(world: &World, talk: &Talk) -> Talk {
    use crate::walk::{HostWalk, Walk as _};
    let mut host = HostWalk::default();
    host.pour(&world.contents);
    let mut frame = Vec::new();
    for port in [5001, 5002] {
        let crossing = at(talk, port, true).request(&syn());
        let arrival = host.arrive(&crossing.frame, crossing.by);
        frame = arrival.expect("a whole frame").frame;
    }
    let (from, _, _) = adc_userspace::explain::tuple_of(&frame).expect("a TCP segment");
    let mut seen = talk.clone();
    assert_ne!(from.port(), talk.client.port(), "it is not taken");
    seen.seen_as.set_port(from.port());
    seen
}

fn full_nat(family: Family, crosses: bool) -> Case {
    let mut world = World::two_arm().with_full_nat();
    let mut talk = world.tcp(family);
    if crosses {
        talk = world.nat64(Protocol::TCP);
    }
    let service = add(&mut world, &talk, RANGE, false);
    let locals = [crate::walk::LOCAL4, crate::walk::LOCAL6];
    world.contents.full_nat(service, &locals);
    let what = if crosses { "NAT64" } else { "full-nat" };
    let name = format!("{family:?}: {what} of a range keeps the port");
    exchange(Case::new(name, &world.contents), &at(&talk, 5077, false))
        .counts(ONE)
        .leaves(1, 0)
}

fn datagrams(family: Family) -> Case {
    let mut world = World::two_arm();
    let talk = world.udp(family);
    add(&mut world, &talk, RANGE, false);
    let talk = at(&talk, 5064, false);
    let name = format!("{family:?}: datagrams to a range");
    let mut case = Case::new(name, &world.contents).sent(
        "a question",
        talk.request(&Segment::udp(b"question")),
        Reason::ScheduledNewFlow,
    );
    // In pieces, of which only the first has ports.
    let segment = Segment::udp(&[7; 100]);
    for piece in talk.request(&segment).fragments(48, 9) {
        case = case.sent("a piece", piece, Reason::ForwardedToBackend);
    }
    case.sent(
        "the answer",
        talk.answer(&Segment::udp(b"answer")),
        Reason::ForwardedToClient,
    )
    .counts(ONE)
    .leaves(1, 0)
}

fn picked_up(family: Family) -> Case {
    let mut world = World::two_arm();
    let talk = world.tcp(family);
    add(&mut world, &talk, RANGE, false);
    let talk = at(&talk, 5063, false);
    let name = format!("{family:?}: a flow of a range that this node does not know goes on");
    Case::new(name, &world.contents)
        .sent(
            "data",
            talk.request(&request("PA", 0).data(b"x")),
            Reason::PickedUpFlow,
        )
        .sent(
            "the answer",
            talk.answer(&answer("A", 0)),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn reload(family: Family) -> Case {
    let mut before = World::two_arm();
    let talk = before.tcp(family);
    let old = add(&mut before, &talk, RANGE, false);
    let inside = at(&talk, 5050, false);
    // The old service stays in the tables for its flows, and has no ports any more.
    let mut after = before.clone();
    let key = after.contents.services[&old].key;
    after.contents.index.remove(&key);
    add(&mut after, &talk, (5090, 5200), false);
    let name = format!("{family:?}: flows of a range outlive it");
    established(Case::new(name, &before.contents), &inside)
        .reload(&after.contents)
        .sent(
            "the request",
            inside.request(&request("PA", 0).data(b"request")),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the answer",
            inside.answer(&answer("PA", 0).data(b"answer")),
            Reason::ForwardedToClient,
        )
        .stays(
            "a new flow where there is no service any more",
            FRONT,
            inside.clone().with_port(40_001).client_sends(&syn()),
            Reason::VipOtherPort,
        )
        .sent(
            "one in both ranges",
            at(&talk, 5095, false).request(&syn()),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "one in the new range",
            at(&talk, 5200, false).request(&syn()),
            Reason::ScheduledNewFlow,
        )
        .counts(ONE)
        .leaves(1, 2)
}

fn direct(family: Family) -> Case {
    let way = Way::L2;
    let links = (Link::new(FRONT, 0xfe), Link::new(BACK, 10));
    let mut world = World::direct(links.0, links.1, way);
    let talk = world.tcp(family);
    let single = world.contents.services.values().next().copied();
    let service = add(&mut world, &talk, RANGE, false);
    let contents = &mut world.contents;
    let entry = contents.services.get_mut(&service).expect("service");
    entry.mode = single.expect("a service").mode;
    let mut talk = talk;
    talk.vip.set_port(5050);
    let name = format!("{family:?}: a range with direct return");
    Case::new(name, &world.contents)
        .sent("a SYN", talk.direct(way, &syn()), Reason::ScheduledNewFlow)
        .sent(
            "the ACK",
            talk.direct(way, &request("A", 0)),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
        .leaves_entries(1, 0)
}

fn strangers(family: Family) -> Case {
    let mut world = World::two_arm();
    let talk = world.tcp(family);
    add(&mut world, &talk, RANGE, false);
    let inside = at(&talk, 5050, false);
    let name = format!("{family:?}: what belongs to no flow of a range");
    Case::new(name, &world.contents)
        .stays(
            "a SYN-ACK from a client",
            FRONT,
            inside.client_sends(&syn_ack()),
            Reason::HandshakeMismatch,
        )
        .stays(
            "an answer that nobody asked for",
            BACK,
            inside.backend_sends(&syn_ack()),
            Reason::NotOurs,
        )
        .leaves(0, 0)
}

fn pieces_of_no_flow(family: Family) -> Case {
    let mut world = World::two_arm();
    let mut talk = world.udp(family);
    // Nobody takes what comes to the range.
    world.contents.range(talk.vip.ip(), RANGE, Protocol::UDP);
    let name = format!("{family:?}: what becomes of a first fragment becomes of the others");
    let mut case = Case::new(name, &world.contents);
    for (id, port, first, others) in [
        (1, 5100, Reason::NoBackend, Reason::Fragment),
        (2, 5101, Reason::VipOtherPort, Reason::FragmentNotOurs),
    ] {
        talk.vip.set_port(port);
        let whole = talk.client_sends(&Segment::udp(&[7; 100]));
        for (n, piece) in split(&whole, 48, id).into_iter().enumerate() {
            let reason = if n == 0 { first } else { others };
            case = case.stays("a piece", FRONT, piece, reason);
        }
    }
    case.leaves(0, 0)
}

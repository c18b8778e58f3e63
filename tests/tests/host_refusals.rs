//! What the kernel may refuse and a test can not make it refuse: room before a packet, and memory for a flow. On the host.

use adc_common::abi::{Protocol, Reason};
use adc_tests::{
    packets::{IcmpError, Segment, Tag},
    walk::{BACK, Crossing, Exit, FRONT, Family, HostWalk, Link, Talk, Walk as _, Way, World},
};

/// TTL of an ICMP error.
const TTL: u8 = 61;

fn syn() -> Segment {
    Segment::tcp("S", 100, 0)
}

/// Sends a packet, and wants it dropped, as it was, for `reason`.
fn refused(host: &mut HostWalk, what: &str, crossing: &Crossing, reason: Reason) {
    let before = host.counters();
    let arrival = host.arrive(&crossing.frame, crossing.by).expect("a frame");
    let counted = host.counters().since(&before);
    let reasons: Vec<_> = counted.reasons.keys().copied().collect();
    assert_eq!(reasons, [reason.name()], "{what}");
    assert_eq!(arrival.exit, Exit::Drop, "{what}");
    assert!(arrival.frame == crossing.frame, "{what}: it was changed");
}

/// Sends a packet, and wants it forwarded.
fn crosses(host: &mut HostWalk, what: &str, crossing: &Crossing) {
    let arrival = host.arrive(&crossing.frame, crossing.by).expect("a frame");
    assert_eq!(arrival.exit, crossing.exit, "{what}");
    assert!(arrival.frame == crossing.out, "{what}: {arrival:?}");
}

/// A packet that grows is refused where a byte is missing before it, and goes where none is.
fn grows(host: &mut HostWalk, what: &str, crossing: &Crossing) {
    let bytes = crossing.out.len() - crossing.frame.len();
    host.leave_headroom(bytes - 1);
    refused(host, what, crossing, Reason::HeadroomError);
    host.leave_headroom(bytes);
    crosses(host, what, crossing);
}

fn onto_tags() -> World {
    let tags = [Tag::service(100), Tag::customer(200)];
    World::new(Link::new(FRONT, 0xfe), Link::new(BACK, 10).tagged(&tags))
}

/// About an answer, from a router on the way to the client.
fn icmp_error(talk: &Talk, family: Family) -> Crossing {
    let (router, error) = match family {
        Family::V4 => ("198.51.100.1:0", IcmpError::new(3, 3)),
        Family::V6 => ("[2001:db8:99::1]:0", IcmpError::new(1, 4)),
    };
    let from = router.parse().expect("an address");
    let (client, backend) = (&talk.client_link, &talk.backend_link);
    let answer = Segment::udp(b"answer");
    let quoted = client.outgoing(talk.vip, talk.client).frame(&answer);
    let sent = backend.outgoing(talk.backend, talk.client).frame(&answer);
    let frame = error.clone().about(&quoted, 2000);
    let out = error.about(&sent, 2000);
    Crossing::between(
        client,
        frame.frame(&client.incoming(from, talk.vip), TTL),
        backend,
        out.frame(&backend.outgoing(from, talk.backend), TTL - 1),
    )
}

#[test]
fn vlan_tags_that_there_is_no_room_for_are_a_headroom_error() {
    for family in Family::BOTH {
        let world = onto_tags();
        let mut host = HostWalk::default();
        host.pour(&world.contents);
        let tcp = world.tcp(family);
        grows(&mut host, "a SYN", &tcp.request(&syn()));
        let udp = world.udp(family);
        let question = Segment::udp(b"question");
        grows(&mut host, "a datagram", &udp.request(&question));
        crosses(&mut host, "an answer", &udp.answer(&question));
        grows(&mut host, "of a flow", &udp.request(&question));
        grows(&mut host, "an ICMP error", &icmp_error(&udp, family));
        let pieces = udp.request(&Segment::udp(&[7; 100])).fragments(48, 5);
        for piece in &pieces {
            grows(&mut host, "a fragment", piece);
        }
        assert!(pieces.len() > 1);
    }
}

#[test]
fn tunnel_headers_that_there_is_no_room_for_are_a_headroom_error() {
    for family in Family::BOTH {
        for way in Way::ALL.into_iter().filter(|way| *way != Way::L2) {
            let world = World::direct(Link::new(FRONT, 0xfe), Link::new(BACK, 10), way);
            let mut host = HostWalk::default();
            host.pour(&world.contents);
            let talk = world.tcp(family);
            grows(&mut host, &format!("{way:?}"), &talk.direct(way, &syn()));
        }
    }
}

#[test]
fn a_longer_ip_header_that_there_is_no_room_for_is_a_headroom_error() {
    let world = World::two_arm().with_full_nat();
    let mut host = HostWalk::default();
    host.pour(&world.contents);
    let talk = world.nat64(Protocol::UDP);
    let datagram = Segment::udp(b"datagram");
    crosses(&mut host, "a question", &talk.request(&datagram));
    grows(&mut host, "its answer", &talk.answer(&datagram));
}

/// Numbers as the backend has them: all that goes before the header is as much lower.
#[test]
fn a_proxy_protocol_header_that_there_is_no_room_for_is_a_headroom_error() {
    for (family, length) in [(Family::V4, 28), (Family::V6, 52)] {
        let mut world = World::two_arm();
        for service in world.contents.services.values_mut() {
            service.proxy_protocol = 1;
        }
        let mut host = HostWalk::default();
        host.pour(&world.contents);
        let talk = world.tcp(family);
        let mut send = |crossing: Crossing| {
            let arrival = host.arrive(&crossing.frame, crossing.by);
            assert_eq!(arrival.expect("a frame").exit, crossing.exit);
        };
        send(talk.request(&Segment::tcp("S", 1000, 0)));
        send(talk.answer(&Segment::tcp("SA", 7000, 1001 - length)));
        let first = talk.request(&Segment::tcp("PA", 1001, 7001).data(b"first"));
        host.leave_headroom(length as usize - 1);
        let before = host.counters();
        let arrival = host.arrive(&first.frame, first.by).expect("a frame");
        let counted = host.counters().since(&before);
        let reasons: Vec<_> = counted.reasons.keys().copied().collect();
        assert_eq!(reasons, [Reason::HeadroomError.name()], "{family:?}");
        assert_eq!(arrival.exit, Exit::Drop, "{family:?}");
        host.leave_headroom(length as usize);
        let arrival = host.arrive(&first.frame, first.by).expect("a frame");
        assert_eq!(arrival.exit, first.exit, "{family:?}");
    }
}

/// The first packets of flows, each with what it takes.
fn openings() -> Vec<(String, World, Crossing, usize)> {
    let mut openings = Vec::new();
    for family in Family::BOTH {
        for (what, world) in [
            ("nat", World::two_arm()),
            ("full-nat", World::two_arm().with_full_nat()),
        ] {
            let (tcp, udp) = (world.tcp(family), world.udp(family));
            let what = format!("{family:?}, {what}");
            openings.push((
                format!("{what}, TCP"),
                world.clone(),
                tcp.request(&syn()),
                2,
            ));
            let datagram = udp.request(&Segment::udp(b"question"));
            openings.push((format!("{what}, UDP"), world, datagram, 2));
        }
        for way in Way::ALL {
            let world = World::direct(Link::new(FRONT, 0xfe), Link::new(BACK, 10), way);
            let opening = world.tcp(family).direct(way, &syn());
            openings.push((format!("{family:?}, {way:?}"), world, opening, 1));
        }
    }
    let world = World::two_arm().with_full_nat();
    let opening = world.nat64(Protocol::TCP).request(&syn());
    openings.push(("NAT64".to_owned(), world, opening, 2));
    openings
}

#[test]
fn a_flow_that_the_kernel_has_no_memory_for_is_an_error_and_leaves_nothing_behind() {
    for (what, world, opening, entries) in openings() {
        let mut host = HostWalk::default();
        host.pour(&world.contents);
        for more in 0..entries {
            host.take_half_open(more);
            refused(&mut host, &what, &opening, Reason::FlowTableError);
            let flows = host.flows();
            let left = flows.half4.len() + flows.half6.len();
            assert_eq!(left, 0, "{what}: half a flow");
        }
        host.take_half_open(entries);
        crosses(&mut host, &what, &opening);
    }
}

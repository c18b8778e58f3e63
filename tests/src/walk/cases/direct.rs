//! Direct server return: one entry per flow, and packets that reach the backend as the client sent them, wrapped or not.

use adc_common::abi::{Reason, TableCounters};

use super::{CLIENT, ONE, ack, request, syn};
use crate::{
    packets::{Extension, Segment, Tag},
    walk::{BACK, Case, FRONT, Family, Link, Way, World},
};

pub(super) fn cases() -> Vec<Case> {
    let none: &[Tag] = &[];
    let five: &[Tag] = &[Tag::customer(5).priority(6)];
    let double: &[Tag] = &[Tag::service(100), Tag::customer(200)];
    let mut cases = Vec::new();
    for family in Family::BOTH {
        for way in Way::ALL {
            for back in [FRONT, BACK] {
                for (client, backend) in [
                    (none, none),
                    (five, none),
                    (none, five),
                    (double, five),
                    (none, double),
                    (double, none),
                ] {
                    let world = World::direct(
                        Link::new(FRONT, 0xfe).tagged(client),
                        Link::new(back, 10).tagged(backend),
                        way,
                    );
                    let what = format!(
                        "{family:?} {way:?}, {} tags to {}, by interface {}",
                        client.len(),
                        backend.len(),
                        back.0
                    );
                    cases.push(conversation(&what, family, way, &world));
                }
            }
            let world = two_arm(way);
            cases.extend([
                headers(family, way, &world),
                datagrams(family, way, &world),
                picked_up(family, way, &world),
                full(family, way, &world),
            ]);
        }
        let world = two_arm(Way::L2);
        cases.extend([
            reopened(family, &world),
            over_by_time(family, &world),
            reset(family, &world),
            refused(family, &world),
            unreachable(family),
        ]);
    }
    cases
}

fn two_arm(way: Way) -> World {
    World::direct(Link::new(FRONT, 0xfe), Link::new(BACK, 10), way)
}

fn conversation(what: &str, family: Family, way: Way, world: &World) -> Case {
    let tcp = world.tcp(family);
    let send = |segment: &Segment| tcp.direct(way, segment);
    Case::new(
        format!("{what}: the client's packets reach the backend"),
        &world.contents,
    )
    .sent("the SYN", send(&syn()), Reason::ScheduledNewFlow)
    .sent("the SYN again", send(&syn()), Reason::ForwardedToBackend)
    .sent("the ACK", send(&ack()), Reason::ForwardedToBackend)
    .sent(
        "the request",
        send(&request("PA", 0).data(b"request")),
        Reason::ForwardedToBackend,
    )
    .sent(
        "a padded ACK",
        send(&request("A", 7).padded(3)),
        Reason::ForwardedToBackend,
    )
    .sent(
        "the FIN",
        send(&request("FA", 7)),
        Reason::ForwardedToBackend,
    )
    .sent(
        "the last ACK",
        send(&request("A", 8)),
        Reason::ForwardedToBackend,
    )
    .counts(ONE)
    .leaves_entries(1, 0)
}

/// DSCP, ECN, DF, identification, options and extension headers.
fn headers(family: Family, way: Way, world: &World) -> Case {
    let tcp = world.tcp(family);
    let mut case = Case::new(
        format!("{family:?} {way:?}: DSCP, ECN, DF and options are kept, and shown outside"),
        &world.contents,
    )
    .sent("the SYN", tcp.direct(way, &syn()), Reason::ScheduledNewFlow)
    .sent(
        "the ACK",
        tcp.direct(way, &ack()),
        Reason::ForwardedToBackend,
    );
    let mut segments = vec![
        ("expedited, ECT(0)", request("PA", 0).data(b"x").class(0xba)),
        (
            "congestion experienced",
            request("PA", 0).data(b"x").class(0x03),
        ),
        ("another identification", {
            let mut segment = request("PA", 0).data(b"xyz");
            segment.id = 0xfffe;
            segment
        }),
        ("a TTL of 2", request("PA", 0).data(b"x").ttl(2)),
        ("a TTL of 255", request("PA", 0).data(b"x").ttl(255)),
    ];
    match family {
        Family::V4 => segments.extend([
            ("without DF", request("PA", 0).data(b"x").fragment(0, false)),
            (
                "with options",
                request("PA", 0).data(b"x").options(&[148, 4, 0, 0]),
            ),
        ]),
        Family::V6 => segments.push((
            "with extension headers",
            request("PA", 0)
                .data(b"x")
                .extensions(&[Extension::new(Extension::DESTINATION, 16)]),
        )),
    }
    for (what, segment) in segments {
        case = case.sent(what, tcp.direct(way, &segment), Reason::ForwardedToBackend);
    }
    case.counts(ONE)
}

fn datagrams(family: Family, way: Way, world: &World) -> Case {
    let udp = world.udp(family);
    let one = Segment::udp(b"question");
    Case::new(
        format!("{family:?} {way:?}: the second datagram of a flow validates it"),
        &world.contents,
    )
    .sent("one", udp.direct(way, &one), Reason::ScheduledNewFlow)
    .sent("two", udp.direct(way, &one), Reason::ForwardedToBackend)
    .sent(
        "three, without a checksum",
        udp.direct(way, &one.clone().without_checksum()),
        Reason::ForwardedToBackend,
    )
    .sent(
        "four, empty",
        udp.direct(way, &Segment::udp(b"")),
        Reason::ForwardedToBackend,
    )
    .counts(ONE)
    .leaves_entries(1, 0)
}

fn picked_up(family: Family, way: Way, world: &World) -> Case {
    let tcp = world.tcp(family);
    let data = request("PA", 0).data(b"more");
    Case::new(
        format!("{family:?} {way:?}: a connection is picked up in the middle, and believed at its second packet"),
        &world.contents,
    )
    .sent("one", tcp.direct(way, &data), Reason::PickedUpFlow)
    .sent("two", tcp.direct(way, &data), Reason::ForwardedToBackend)
    .counts(ONE)
    .leaves_entries(1, 0)
}

fn full(family: Family, way: Way, world: &World) -> Case {
    let tcp = world.tcp(family);
    Case::new(
        format!("{family:?} {way:?}: a flow that finds the main table full goes on half-open"),
        &world.contents,
    )
    .full_but(0)
    .sent("the SYN", tcp.direct(way, &syn()), Reason::ScheduledNewFlow)
    .sent(
        "the ACK",
        tcp.direct(way, &ack()),
        Reason::ForwardedToBackend,
    )
    .sent(
        "the request",
        tcp.direct(way, &request("PA", 0).data(b"request")),
        Reason::ForwardedToBackend,
    )
    .counts(TableCounters {
        full: 2,
        ..TableCounters::default()
    })
}

fn reopened(family: Family, world: &World) -> Case {
    let tcp = world.tcp(family);
    let send = |segment: &Segment| tcp.direct(Way::L2, segment);
    let again = Segment::tcp("S", CLIENT.wrapping_add(70_000), 0);
    Case::new(
        format!("{family:?}: after its FIN a client opens the same 5-tuple anew, at once"),
        &world.contents,
    )
    .sent("the SYN", send(&syn()), Reason::ScheduledNewFlow)
    .sent("the ACK", send(&ack()), Reason::ForwardedToBackend)
    .sent(
        "the FIN",
        send(&request("FA", 0)),
        Reason::ForwardedToBackend,
    )
    .sent("a new SYN", send(&again), Reason::ScheduledNewFlow)
    .counts(TableCounters { removed: 1, ..ONE })
    .leaves_entries(0, 1)
}

fn over_by_time(family: Family, world: &World) -> Case {
    let tcp = world.tcp(family);
    let send = |segment: &Segment| tcp.direct(Way::L2, segment);
    Case::new(
        format!("{family:?}: after its FIN a silent client is forgotten with the timeout of closed flows"),
        &world.contents,
    )
    .sent("the SYN", send(&syn()), Reason::ScheduledNewFlow)
    .sent("the ACK", send(&ack()), Reason::ForwardedToBackend)
    .sent("the FIN", send(&request("FA", 0)), Reason::ForwardedToBackend)
    .after(14)
    .sent("an ACK in time", send(&request("A", 1)), Reason::ForwardedToBackend)
    .after(14)
    .sent("another", send(&request("A", 1)), Reason::ForwardedToBackend)
    .after(16)
    .sent("one too late", send(&request("A", 1)), Reason::PickedUpFlow)
    .counts(TableCounters { removed: 1, ..ONE })
    .leaves_entries(0, 1)
}

fn reset(family: Family, world: &World) -> Case {
    let tcp = world.tcp(family);
    let send = |segment: &Segment| tcp.direct(Way::L2, segment);
    Case::new(
        format!("{family:?}: a RST is passed on; data after it shows that nobody believed it"),
        &world.contents,
    )
    .sent(
        "a RST of nothing",
        send(&request("R", 0)),
        Reason::PickedUpFlow,
    )
    .sent("the SYN", send(&syn()), Reason::ScheduledNewFlow)
    .sent(
        "a RST instead of the ACK",
        send(&request("R", 0)),
        Reason::ForwardedToBackend,
    )
    .sent("the SYN again", send(&syn()), Reason::ScheduledNewFlow)
    .sent("the ACK", send(&ack()), Reason::ForwardedToBackend)
    .sent("a RST", send(&request("R", 0)), Reason::ForwardedToBackend)
    .sent(
        "data",
        send(&request("PA", 0).data(b"on")),
        Reason::ForwardedToBackend,
    )
    .after(60)
    .sent(
        "data much later",
        send(&request("PA", 0).data(b"on")),
        Reason::ForwardedToBackend,
    )
    .counts(ONE)
    .leaves_entries(1, 0)
}

fn refused(family: Family, world: &World) -> Case {
    let tcp = world.tcp(family);
    let stranger = tcp.client_sends(&Segment::tcp("SA", 1, 1));
    let case = Case::new(
        format!(
            "{family:?}: a client that answers a SYN is told nothing, before and after its own"
        ),
        &world.contents,
    );
    case.stays("before", FRONT, stranger.clone(), Reason::HandshakeMismatch)
        .sent(
            "the SYN",
            tcp.direct(Way::L2, &syn()),
            Reason::ScheduledNewFlow,
        )
        .stays("after", FRONT, stranger, Reason::HandshakeMismatch)
        .leaves_entries(0, 1)
}

/// The tunnel's own address is not known.
fn unreachable(family: Family) -> Case {
    let mut world = two_arm(Way::Ipip(Family::V4));
    for backend in world.contents.backends.values_mut() {
        backend.tunnel_source = adc_common::abi::Addr16::UNSET;
    }
    let udp = world.udp(family);
    Case::new(
        format!("{family:?}: without a tunnel source nothing is wrapped"),
        &world.contents,
    )
    .stays(
        "a datagram",
        FRONT,
        udp.client_sends(&Segment::udp(b"question")),
        Reason::NextHopUnresolved,
    )
}

//! NAT64: IPv6 clients, IPv4 backends.

use adc_common::abi::{Protocol, Reason};

use super::{ONE, answer, established, request};
use crate::{
    packets::{Extension, Segment, Tag},
    walk::{BACK, Case, FRONT, Link, Talk, World},
};

pub(super) fn cases() -> Vec<Case> {
    let wires = [
        ("one arm", World::one_arm()),
        ("two arms", World::two_arm()),
        (
            "tags added",
            World::new(
                Link::new(FRONT, 0xfe),
                Link::new(BACK, 10).tagged(&[Tag::service(100), Tag::customer(200)]),
            ),
        ),
        (
            "tags removed",
            World::new(
                Link::new(FRONT, 0xfe).tagged(&[Tag::service(100), Tag::customer(200)]),
                Link::new(BACK, 10),
            ),
        ),
    ];
    let mut cases: Vec<_> = wires.into_iter().map(|(what, w)| tcp(what, w)).collect();
    cases.extend([
        udp(),
        headers(),
        long_packets(),
        no_checksum(),
        too_big(),
        disguised(),
        stranger(),
    ]);
    cases
}

fn world() -> (World, Talk, Talk) {
    let world = World::two_arm().with_full_nat();
    let (tcp, udp) = (world.nat64(Protocol::TCP), world.nat64(Protocol::UDP));
    (world, tcp, udp)
}

fn tcp(what: &str, world: World) -> Case {
    let world = world.with_full_nat();
    let talk = world.nat64(Protocol::TCP);
    let name = format!("NAT64, {what}: an IPv6 client talks to an IPv4 backend");
    established(Case::new(name, &world.contents), &talk)
        .sent(
            "the request",
            talk.request(&request("PA", 0).data(b"request")),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the answer",
            talk.answer(&answer("PA", 0).data(b"an answer")),
            Reason::ForwardedToClient,
        )
        .sent(
            "the client's FIN",
            talk.request(&request("FA", 7)),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the backend's FIN",
            talk.answer(&answer("FA", 9)),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn udp() -> Case {
    let (world, _, talk) = world();
    Case::new("NAT64 of datagrams", &world.contents)
        .sent(
            "a question",
            talk.request(&Segment::udp(b"question")),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "the answer",
            talk.answer(&Segment::udp(b"answer!")),
            Reason::ForwardedToClient,
        )
        .sent(
            "another question",
            talk.request(&Segment::udp(b"")),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn headers() -> Case {
    let (world, talk, _) = world();
    let extensions = [
        Extension::new(Extension::HOP_BY_HOP, 8),
        Extension::new(Extension::DESTINATION, 24),
    ];
    let name =
        "NAT64: the traffic class stays; extension headers, options and padding do not confuse";
    established(Case::new(name, &world.contents), &talk)
        .sent(
            "a request with extension headers",
            talk.request(
                &request("PA", 0)
                    .data(b"x")
                    .extensions(&extensions)
                    .class(0xb9),
            ),
            Reason::ForwardedToBackend,
        )
        .sent(
            "an answer with options",
            talk.answer(&answer("PA", 0).data(b"y").options(&[1; 40]).class(0x03)),
            Reason::ForwardedToClient,
        )
        .sent(
            "a padded answer",
            talk.answer(&answer("A", 1).padded(6)),
            Reason::ForwardedToClient,
        )
        .sent(
            "a padded request",
            talk.request(&request("A", 1).padded(9)),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
}

/// Up to 1 260 bytes the IPv4 packet may be fragmented on its way, and has an identification (RFC 7915 §5.1).
fn long_packets() -> Case {
    let (world, talk, _) = world();
    let name = "NAT64: what is longer than 1260 bytes may not be fragmented";
    established(Case::new(name, &world.contents), &talk)
        .sent(
            "1260 bytes",
            talk.request(&request("PA", 0).data(&[7; 1220])),
            Reason::ForwardedToBackend,
        )
        .sent(
            "1261 bytes",
            talk.request(&request("PA", 0).data(&[7; 1221])),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
}

/// RFC 7915 §4.5 allows to drop them: IPv6 has no datagrams without checksum.
fn no_checksum() -> Case {
    let (world, _, talk) = world();
    Case::new(
        "NAT64: an IPv4 datagram without checksum can not go into IPv6",
        &world.contents,
    )
    .sent(
        "a question",
        talk.request(&Segment::udp(b"question")),
        Reason::ScheduledNewFlow,
    )
    .sent(
        "an answer",
        talk.answer(&Segment::udp(b"answer")),
        Reason::ForwardedToClient,
    )
    .stays(
        "an answer without checksum",
        BACK,
        talk.backend_sends(&Segment::udp(b"answer").without_checksum()),
        Reason::UdpWithoutChecksum,
    )
    .counts(ONE)
}

fn too_big() -> Case {
    let (world, talk, _) = world();
    let name = "NAT64: an IPv4 packet that fits the MTU only without the longer header";
    established(Case::new(name, &world.contents), &talk)
        .sent(
            "one that just fits",
            talk.answer(&answer("PA", 0).data(&[9; 1440])),
            Reason::ForwardedToClient,
        )
        .stays(
            "one byte more",
            BACK,
            talk.backend_sends(&answer("PA", 0).data(&[9; 1441])),
            Reason::TooBigForIpv6,
        )
        .counts(ONE)
}

/// An IPv6 packet may not pass for the IPv4 packet that its v4-mapped addresses name.
fn disguised() -> Case {
    let (world, talk, _) = world();
    let mapped = |address: std::net::SocketAddr| {
        let std::net::IpAddr::V4(v4) = address.ip() else {
            panic!("{address} is not IPv4");
        };
        std::net::SocketAddr::new(v4.to_ipv6_mapped().into(), address.port())
    };
    let from = mapped(talk.backend);
    let name = "NAT64: an IPv6 packet with v4-mapped addresses is no answer";
    let spoofed = talk.backend_link.incoming(from, mapped(talk.seen_as));
    let elsewhere = talk.backend_link.incoming(
        from,
        mapped(World::two_arm().tcp(crate::walk::Family::V4).vip),
    );
    established(Case::new(name, &world.contents), &talk)
        .stays(
            "to a flow",
            BACK,
            spoofed.frame(&answer("PA", 0)),
            Reason::BadIpHeader,
        )
        .stays(
            "to an IPv4 VIP",
            BACK,
            elsewhere.frame(&Segment::tcp("S", 1, 0)),
            Reason::SnatNoFlow,
        )
        .counts(ONE)
}

fn stranger() -> Case {
    let (world, talk, _) = world();
    Case::new(
        "NAT64: an IPv4 answer to nothing goes to the kernel",
        &world.contents,
    )
    .stays(
        "an answer",
        BACK,
        talk.backend_sends(&answer("PA", 0)),
        Reason::SnatNoFlow,
    )
    .leaves(0, 0)
}

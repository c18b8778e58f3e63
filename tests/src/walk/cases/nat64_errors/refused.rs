//! Errors that do not cross.

use std::net::{IpAddr, SocketAddr};

use adc_common::abi::Reason;

use super::{about_answer, about_request, closed, world};
use crate::{
    packets::{Extension, IcmpError, Segment, ip_offset},
    walk::{
        BACK, Case, FRONT, Family, Talk,
        cases::{
            ONE, answer, established,
            icmp_errors::{TTL, WHOLE, router},
            request,
        },
    },
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        untracked(),
        misdirected(),
        not_as_sent(),
        disguised(),
        last_hop(),
        too_long(),
    ]
}

fn inside() -> SocketAddr {
    router(Family::V4, true)
}

fn outside() -> SocketAddr {
    router(Family::V6, false)
}

fn untracked() -> Case {
    let (world, talk) = world();
    let (four, six) = closed();
    let up = about_request(&talk, inside(), (&four, &six), &request("A", 0), WHOLE);
    let down = about_answer(&talk, outside(), (&six, &four), &answer("A", 0), WHOLE);
    Case::new("NAT64: errors about no flow", &world.contents)
        .stays(
            "about what the local address sent: perhaps the kernel's own",
            BACK,
            up.frame,
            Reason::OtherProtocol,
        )
        .stays(
            "about what the VIP sent",
            FRONT,
            down.frame,
            Reason::IcmpErrorUntracked,
        )
        .leaves(0, 0)
}

/// An error comes to the sender of what it quotes (RFC 5927 §4.1).
fn misdirected() -> Case {
    let (world, talk) = world();
    let (four, six) = closed();
    let up = talk
        .backend_link
        .outgoing(talk.seen_as, talk.backend)
        .frame(&request("PA", 0));
    let down = talk
        .client_link
        .outgoing(talk.vip, talk.client)
        .frame(&answer("PA", 0));
    let (four, six) = (four.about(&up, WHOLE), six.about(&down, WHOLE));
    let elsewhere4: SocketAddr = "10.2.0.99:0".parse().expect("an address");
    let elsewhere6: SocketAddr = "[2001:db8:f::99]:0".parse().expect("an address");
    let case = Case::new("NAT64: errors that come to somebody else", &world.contents);
    established(case, &talk)
        .stays(
            "from inside",
            BACK,
            four.frame(&talk.backend_link.incoming(inside(), elsewhere4), TTL),
            Reason::BadIcmpError,
        )
        .stays(
            "from outside",
            FRONT,
            six.frame(&talk.client_link.incoming(outside(), elsewhere6), TTL),
            Reason::BadIcmpError,
        )
        .counts(ONE)
        .leaves(1, 0)
}

/// What crosses is sent without options and extension headers, so nobody can quote such a packet.
fn not_as_sent() -> Case {
    let (world, talk) = world();
    let (four, six) = closed();
    let up = request("PA", 0).options(&[1; 4]);
    let down = answer("PA", 0).extensions(&[Extension::new(Extension::DESTINATION, 8)]);
    let (client, backend) = (&talk.client_link, &talk.backend_link);
    let quoted4 = backend.outgoing(talk.seen_as, talk.backend).frame(&up);
    let quoted6 = client.outgoing(talk.vip, talk.client).frame(&down);
    let name = "NAT64: errors about packets that adc can not have sent";
    established(Case::new(name, &world.contents), &talk)
        .stays(
            "with options",
            BACK,
            four.about(&quoted4, WHOLE)
                .frame(&backend.incoming(inside(), talk.seen_as), TTL),
            Reason::BadIcmpError,
        )
        .stays(
            "with extension headers",
            FRONT,
            six.about(&quoted6, WHOLE)
                .frame(&client.incoming(outside(), talk.vip), TTL),
            Reason::BadIcmpError,
        )
        .counts(ONE)
}

/// An IPv6 packet may not pass for the IPv4 packet that its v4-mapped addresses name.
fn disguised() -> Case {
    let (world, talk) = world();
    let mapped = |address: SocketAddr| {
        let IpAddr::V4(v4) = address.ip() else {
            panic!("{address} is not IPv4");
        };
        SocketAddr::new(v4.to_ipv6_mapped().into(), address.port())
    };
    let (local, backend) = (mapped(talk.seen_as), mapped(talk.backend));
    let quoted = talk
        .backend_link
        .outgoing(local, backend)
        .frame(&request("PA", 0));
    let error = closed().1.about(&quoted, WHOLE);
    let frame = error.frame(&talk.backend_link.incoming(backend, local), TTL);
    let name = "NAT64: an ICMPv6 error with v4-mapped addresses is about no flow";
    established(Case::new(name, &world.contents), &talk)
        .stays("it", BACK, frame, Reason::BadIcmpError)
        .counts(ONE)
}

fn last_hop() -> Case {
    let (world, talk) = world();
    let (four, six) = closed();
    let frame = |error: &IcmpError, talk: &Talk| {
        let quoted = talk
            .backend_link
            .outgoing(talk.seen_as, talk.backend)
            .frame(&request("PA", 0));
        error
            .clone()
            .about(&quoted, WHOLE)
            .frame(&talk.backend_link.incoming(inside(), talk.seen_as), 1)
    };
    let quoted = talk
        .client_link
        .outgoing(talk.vip, talk.client)
        .frame(&answer("PA", 0));
    let down = six
        .about(&quoted, WHOLE)
        .frame(&talk.client_link.incoming(outside(), talk.vip), 1);
    let case = Case::new("NAT64: errors whose last hop this is", &world.contents);
    established(case, &talk)
        .stays(
            "from inside",
            BACK,
            frame(&four, &talk),
            Reason::TtlExceeded,
        )
        .stays("from outside", FRONT, down, Reason::TtlExceeded)
        .counts(ONE)
}

/// An ICMPv6 error has at most 1280 bytes (RFC 4443 §2.4 c), and a fragment header may be among those.
fn too_long() -> Case {
    let (world, talk) = world();
    let (four, six) = closed();
    let up = Segment::tcp("PA", 7, 9).data(&[7; 1300]);
    let longest = about_request(&talk, inside(), (&four, &six), &up, 1184);
    assert_eq!(longest.out.len() - ip_offset(&longest.out), 1272);
    let longer = about_request(&talk, inside(), (&four, &six), &up, 1185);
    let name = "NAT64: an ICMPv4 error that is too long for ICMPv6";
    established(Case::new(name, &world.contents), &talk)
        .sent("the longest", longest, Reason::IcmpErrorToClient)
        .stays("one byte more", BACK, longer.frame, Reason::TooBigForIpv6)
        .counts(ONE)
}

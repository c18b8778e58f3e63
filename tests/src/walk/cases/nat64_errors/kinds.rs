//! Every kind of error, and what the other family calls it.

use adc_common::abi::Reason;

use super::{about_answer, about_request, closed, world};
use crate::{
    packets::IcmpError,
    walk::{
        BACK, Case, FRONT, Family, Talk,
        cases::{
            ONE, answer, established,
            icmp_errors::{WHOLE, router},
            request,
        },
    },
};

/// Type, code, bytes 5 to 8.
type Kind = (u8, u8, [u8; 4]);

/// ICMPv4, and what it is in ICMPv6 (RFC 7915 §4.2).
fn to_client() -> Vec<(Kind, Option<Kind>)> {
    let no_route = Some((1, 0, [0; 4]));
    let prohibited = Some((1, 1, [0; 4]));
    let unreachable = [
        no_route,
        no_route,
        Some((4, 1, [0, 0, 0, 6])),
        Some((1, 4, [0; 4])),
        // MTU 0, and a quoted packet that is shorter than any plateau.
        Some((2, 0, [0, 0, 0x05, 0x00])),
        no_route,
        no_route,
        no_route,
        no_route,
        prohibited,
        prohibited,
        no_route,
        no_route,
        prohibited,
        None,
        prohibited,
        None,
    ];
    let mut kinds: Vec<_> = (0..)
        .zip(unreachable)
        .map(|(code, known)| ((3, code, [0; 4]), known))
        .collect();
    kinds.extend([
        // 1400 there are 1420 here; 600 are the least that IPv6 has; 9000 is more than this node's own links have.
        ((3, 4, [0, 0, 0x05, 0x78]), Some((2, 0, [0, 0, 0x05, 0x8c]))),
        ((3, 4, [0, 0, 0x02, 0x58]), Some((2, 0, [0, 0, 0x05, 0x00]))),
        ((3, 4, [0, 0, 0x23, 0x28]), Some((2, 0, [0, 0, 0x05, 0xdc]))),
        // The length of what is quoted (RFC 4884).
        ((3, 1, [0, 8, 0, 0]), no_route),
        ((11, 0, [0; 4]), Some((3, 0, [0; 4]))),
        ((11, 1, [0; 4]), Some((3, 1, [0; 4]))),
        ((12, 0, [9, 0, 0, 0]), Some((4, 0, [0, 0, 0, 6]))),
        ((12, 0, [17, 0, 0, 0]), Some((4, 0, [0, 0, 0, 24]))),
        ((12, 0, [6, 0, 0, 0]), None),
        ((12, 0, [20, 0, 0, 0]), None),
        ((12, 1, [9, 0, 0, 0]), None),
        ((12, 2, [2, 0, 0, 0]), Some((4, 0, [0, 0, 0, 4]))),
    ]);
    kinds
}

/// ICMPv6, and what it is in ICMPv4 (RFC 7915 §5.2).
fn to_backend() -> Vec<(Kind, Option<Kind>)> {
    let host = Some((3, 1, [0; 4]));
    vec![
        ((1, 0, [0; 4]), host),
        ((1, 1, [0; 4]), Some((3, 10, [0; 4]))),
        ((1, 2, [0; 4]), host),
        ((1, 3, [0; 4]), host),
        ((1, 4, [0; 4]), Some((3, 3, [0; 4]))),
        ((1, 5, [0; 4]), None),
        ((1, 6, [0; 4]), None),
        ((2, 0, [0, 0, 0x05, 0x78]), Some((3, 4, [0, 0, 0x05, 0x64]))),
        ((2, 0, [0, 0, 0x02, 0x58]), Some((3, 4, [0, 0, 0x04, 0xec]))),
        ((2, 0, [0, 1, 0x00, 0x00]), Some((3, 4, [0, 0, 0x05, 0xc8]))),
        ((3, 0, [0; 4]), Some((11, 0, [0; 4]))),
        ((3, 1, [0; 4]), Some((11, 1, [0; 4]))),
        ((4, 0, [0, 0, 0, 6]), Some((12, 0, [9, 0, 0, 0]))),
        ((4, 0, [0, 0, 0, 24]), Some((12, 0, [16, 0, 0, 0]))),
        ((4, 0, [0, 0, 0, 2]), None),
        ((4, 0, [0, 0, 0, 40]), None),
        ((4, 0, [1, 0, 0, 6]), None),
        ((4, 1, [0, 0, 0, 6]), Some((3, 2, [0; 4]))),
        ((4, 2, [0, 0, 0, 6]), None),
    ]
}

fn error((kind, code, rest): Kind) -> IcmpError {
    IcmpError::new(kind, code).rest(rest)
}

pub(super) fn cases() -> Vec<Case> {
    vec![client_side(), backend_side(), too_big()]
}

fn client_side() -> Case {
    let (world, talk) = world();
    let inside = router(Family::V4, true);
    let up = request("PA", 0).data(b"question");
    let name = "NAT64: every kind of ICMPv4 error, and what it is to the client";
    let mut case = established(Case::new(name, &world.contents), &talk);
    for (kind, known) in to_client() {
        let four = error(kind);
        let six = known.map_or_else(|| closed().1, error);
        let crossing = about_request(&talk, inside, (&four, &six), &up, WHOLE);
        case = if known.is_some() {
            case.sent("an error", crossing, Reason::IcmpErrorToClient)
        } else {
            let frame = crossing.frame;
            case.stays("of no kind", BACK, frame, Reason::IcmpErrorUnknown)
        };
    }
    case.counts(ONE).leaves(1, 0)
}

fn backend_side() -> Case {
    let (world, talk) = world();
    let outside = router(Family::V6, false);
    let down = answer("PA", 0).data(b"an answer");
    let name = "NAT64: every kind of ICMPv6 error, and what it is to the backend";
    let mut case = established(Case::new(name, &world.contents), &talk);
    for (kind, known) in to_backend() {
        let six = error(kind);
        let four = known.map_or_else(|| closed().0, error);
        let crossing = about_answer(&talk, outside, (&six, &four), &down, WHOLE);
        case = if known.is_some() {
            case.sent("an error", crossing, Reason::IcmpErrorToBackend)
        } else {
            let frame = crossing.frame;
            case.stays("of no kind", FRONT, frame, Reason::IcmpErrorUnknown)
        };
    }
    case.counts(ONE).leaves(1, 0)
}

/// A router from before RFC 1191 names no MTU: what was too big is known from the quote.
fn too_big() -> Case {
    let (world, talk) = world();
    let inside = router(Family::V4, true);
    let case = Case::new("NAT64: an MTU that nobody named", &world.contents);
    let told = |talk: &Talk, bytes: usize, mtu: [u8; 2]| {
        let (four, six) = (
            IcmpError::new(3, 4),
            IcmpError::new(2, 0).rest([0, 0, mtu[0], mtu[1]]),
        );
        let up = request("PA", 0).data(&vec![7; bytes - 40]);
        about_request(talk, inside, (&four, &six), &up, 8)
    };
    established(case, &talk)
        .sent(
            "1500 bytes: 1492 is next",
            told(&talk, 1500, [0x05, 0xdc]),
            Reason::IcmpErrorToClient,
        )
        .sent(
            "1492 bytes: 1006 is next, less than IPv6 has",
            told(&talk, 1492, [0x05, 0x00]),
            Reason::IcmpErrorToClient,
        )
        .counts(ONE)
}

//! What an ICMP error may quote, and how much of it.

use adc_common::abi::Reason;

use super::{
    super::{ONE, answer, established, request},
    TTL, WHOLE, about_answer, both_ways, ip_header, router, unreachable,
};
use crate::{
    packets::{Extension, IcmpError},
    walk::{Case, Crossing, FRONT, Family, World},
};

pub(super) fn cases(family: Family, world: &World) -> Vec<Case> {
    vec![
        every_length(family, world),
        headers(family, world),
        extensions(family, world),
    ]
}

fn every_length(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: a quote may end anywhere behind the ports");
    let mut case = established(Case::new(name, &world.contents), &talk);
    let (up, down) = (
        request("PA", 0).data(&[7; 30]),
        answer("PA", 0).data(&[8; 30]),
    );
    let error = unreachable(family);
    let shortest = ip_header(family) + 8;
    for length in 0..shortest {
        let (from, quote) = (router(family, false), (&error, &down, length));
        let crossing = about_answer(&talk, from, quote.0, quote.1, quote.2);
        case = case.stays("too short", FRONT, crossing.frame, Reason::BadIcmpError);
    }
    // Half of a checksum is left as it is: nobody can say what it should be.
    let half = ip_header(family) + 17;
    for length in (shortest..shortest + 50).filter(|length| *length != half) {
        let talk = (&talk, family);
        case = both_ways(case, "long enough", talk, &error, (&up, &down), length);
    }
    case.counts(ONE).leaves(1, 0)
}

fn headers(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: options and extension headers of the quoted packet are walked");
    let mut case = established(Case::new(name, &world.contents), &talk);
    let error = unreachable(family);
    let (up, down) = (request("PA", 0).data(b"up"), answer("PA", 0).data(b"down"));
    match family {
        Family::V4 => {
            for options in [vec![1; 4], vec![7, 7, 4, 0, 0, 0, 0, 0], vec![1; 40]] {
                let (up, down) = (up.clone().options(&options), down.clone().options(&options));
                for length in [28 + options.len(), WHOLE] {
                    let talk = (&talk, family);
                    case = both_ways(case, "options", talk, &error, (&up, &down), length);
                }
            }
        }
        Family::V6 => {
            let chains = [
                vec![Extension::new(Extension::HOP_BY_HOP, 8)],
                vec![
                    Extension::new(Extension::DESTINATION, 16),
                    Extension::routing(0),
                ],
                vec![Extension::fragment(0, true)],
            ];
            for chain in chains {
                let (up, down) = (
                    up.clone().extensions(&chain),
                    down.clone().extensions(&chain),
                );
                let before: usize = chain.iter().map(|extension| extension.bytes.len()).sum();
                for length in [48 + before, WHOLE] {
                    let talk = (&talk, family);
                    case = both_ways(case, "extensions", talk, &error, (&up, &down), length);
                }
            }
        }
    }
    case.counts(ONE).leaves(1, 0)
}

fn extensions(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    // RFC 4884 §7: version 2, checksum, one object: an MPLS label stack entry (RFC 4950).
    let labels = [0x20, 0, 0x9d, 0x6a, 0, 8, 1, 1, 0x12, 0x34, 0x51, 0xff];
    let rest = match family {
        // 128 bytes of quote, in words of four or eight bytes (RFC 4884 §4).
        Family::V4 => [0, 32, 0, 0],
        Family::V6 => [16, 0, 0, 0],
    };
    let kind = if family == Family::V4 { 11 } else { 3 };
    let (up, down) = (
        request("PA", 0).data(&[1; 200]),
        answer("PA", 0).data(&[2; 200]),
    );
    let error = IcmpError::new(kind, 0).rest(rest);
    let name = format!("{family:?}: ICMP extensions are left as they are");
    let mut case = established(Case::new(name, &world.contents), &talk);
    for (from, answers) in [(router(family, false), true), (router(family, true), false)] {
        let (quoted, sent) = if answers {
            (
                talk.client_link
                    .outgoing(talk.vip, talk.client)
                    .frame(&down),
                talk.backend_link
                    .outgoing(talk.backend, talk.client)
                    .frame(&down),
            )
        } else {
            (
                talk.backend_link
                    .outgoing(talk.client, talk.backend)
                    .frame(&up),
                talk.client_link.outgoing(talk.client, talk.vip).frame(&up),
            )
        };
        let whole = |frame: &[u8]| error.clone().about(frame, 128).followed_by(&labels);
        let (client, backend) = (&talk.client_link, &talk.backend_link);
        case = if answers {
            let crossing = Crossing::between(
                client,
                whole(&quoted).frame(&client.incoming(from, talk.vip), TTL),
                backend,
                whole(&sent).frame(&backend.outgoing(from, talk.backend), TTL - 1),
            );
            case.sent("about an answer", crossing, Reason::IcmpErrorToBackend)
        } else {
            let crossing = Crossing::between(
                backend,
                whole(&quoted).frame(&backend.incoming(from, talk.client), TTL),
                client,
                whole(&sent).frame(&client.outgoing(talk.vip, talk.client), TTL - 1),
            );
            case.sent("about a request", crossing, Reason::IcmpErrorToClient)
        };
    }
    case.counts(ONE)
}

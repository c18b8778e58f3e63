//! IPv4 options, IPv6 extension headers, TTL.

use adc_common::abi::{Reason, TableCounters};

use super::{ONE, ack, request, syn, syn_ack};
use crate::{
    packets::{Extension, Segment},
    walk::{Case, Family, World},
};

pub(super) fn cases() -> Vec<Case> {
    let world = World::two_arm();
    let mut cases = vec![
        options(&world, "record route", &[7, 7, 4, 0, 0, 0, 0, 0]),
        options(&world, "router alert", &[148, 4, 0, 0]),
        options(&world, "40 bytes of options", &[1; 40]),
    ];
    for chain in chains() {
        cases.push(extended(&world, &chain));
    }
    cases.extend([too_many(&world), exactly_enough(&world)]);
    for family in Family::BOTH {
        cases.extend([hop_limit(family, &world), new_with_ttl_one(family, &world)]);
    }
    cases
}

fn options(world: &World, what: &str, options: &[u8]) -> Case {
    let talk = world.tcp(Family::V4);
    let name = format!("V4: {what}: options are kept, and what follows is found");
    Case::new(name, &world.contents)
        .sent(
            "the SYN",
            talk.request(&syn().options(options)),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "the SYN-ACK",
            talk.answer(&syn_ack().options(options)),
            Reason::ForwardedToClient,
        )
        .sent(
            "the ACK, without",
            talk.request(&ack()),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the request, with",
            talk.request(&request("PA", 0).data(b"request").options(options)),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
}

/// Every kind that is walked, alone and in the order RFC 8200 §4.1 recommends.
fn chains() -> Vec<Vec<Extension>> {
    let hop_by_hop = || Extension::new(Extension::HOP_BY_HOP, 8);
    let destination = || Extension::new(Extension::DESTINATION, 16);
    let authentication = || Extension::new(Extension::AUTHENTICATION, 24);
    vec![
        vec![hop_by_hop()],
        vec![destination()],
        vec![Extension::routing(0)],
        vec![authentication()],
        vec![Extension::new(Extension::DESTINATION, 256)],
        vec![
            hop_by_hop(),
            destination(),
            Extension::routing(0),
            authentication(),
            destination(),
        ],
    ]
}

fn extended(world: &World, chain: &[Extension]) -> Case {
    let (tcp, udp) = (world.tcp(Family::V6), world.udp(Family::V6));
    let kinds: Vec<_> = chain.iter().map(|e| (e.kind, e.bytes.len())).collect();
    let name = format!("V6: extension headers {kinds:?} (kind, length) are walked and kept");
    Case::new(name, &world.contents)
        .sent(
            "a SYN",
            tcp.request(&syn().extensions(chain)),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "the SYN-ACK",
            tcp.answer(&syn_ack().extensions(chain)),
            Reason::ForwardedToClient,
        )
        .sent(
            "a datagram",
            udp.request(&Segment::udp(b"question").extensions(chain)),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "a datagram back",
            udp.answer(&Segment::udp(b"answer").extensions(chain)),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
        .leaves(1, 1)
}

fn destinations(n: usize) -> Vec<Extension> {
    vec![Extension::new(Extension::DESTINATION, 8); n]
}

fn exactly_enough(world: &World) -> Case {
    let udp = world.udp(Family::V6);
    Case::new("V6: six extension headers are walked", &world.contents).sent(
        "a datagram",
        udp.request(&Segment::udp(b"question").extensions(&destinations(6))),
        Reason::ScheduledNewFlow,
    )
}

fn too_many(world: &World) -> Case {
    let udp = world.udp(Family::V6);
    let seven = Segment::udp(b"question").extensions(&destinations(7));
    Case::new("V6: seven extension headers are too many", &world.contents).stays(
        "a datagram",
        udp.client_link.interface,
        udp.client_sends(&seven),
        Reason::BadExtensionHeaders,
    )
}

fn hop_limit(family: Family, world: &World) -> Case {
    let talk = world.udp(family);
    let question = |ttl| Segment::udp(b"question").ttl(ttl);
    let name =
        format!("{family:?}: a packet that may not travel on is dropped, in both directions");
    Case::new(name, &world.contents)
        .sent(
            "with two hops left",
            talk.request(&question(2)),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "an answer with 255",
            talk.answer(&question(255)),
            Reason::ForwardedToClient,
        )
        .stays(
            "with one hop left",
            talk.client_link.interface,
            talk.client_sends(&question(1)),
            Reason::TtlExceeded,
        )
        .stays(
            "with none left",
            talk.client_link.interface,
            talk.client_sends(&question(0)),
            Reason::TtlExceeded,
        )
        .stays(
            "an answer with one",
            talk.backend_link.interface,
            talk.backend_sends(&question(1)),
            Reason::TtlExceeded,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn new_with_ttl_one(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: a SYN that may not travel on opens nothing (traceroute)");
    Case::new(name, &world.contents)
        .stays(
            "the SYN",
            talk.client_link.interface,
            talk.client_sends(&syn().ttl(1)),
            Reason::TtlExceeded,
        )
        .counts(TableCounters::default())
        .leaves(0, 0)
}

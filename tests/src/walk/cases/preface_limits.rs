//! Where a PROXY protocol header finds no room, and how room is made for it.

use adc_common::abi::{Reason, TableCounters};

use super::{
    BACKEND, CLIENT, ack, answer,
    icmp_errors::{WHOLE, about_request, ip_header, router, unreachable},
    preface::{case, header, length, lowered, opened, prefaced, raised, talks, with_out},
    request,
};
use crate::{
    packets::{Extension, Segment, too_big},
    walk::{Case, FRONT, Family, Talk, World},
};

/// MTU of both interfaces.
const MTU: u32 = 1500;

pub(super) fn cases() -> Vec<Case> {
    let world = World::two_arm().with_full_nat().with_icmp_errors();
    let mut cases: Vec<_> = talks(&world)
        .iter()
        .flat_map(|(family, talk)| {
            [
                full_first_segment(family, &world, talk),
                clamped(family, &world, talk),
            ]
        })
        .collect();
    cases.extend([fragmented(&world), long_headers(&world)]);
    cases.extend(Family::BOTH.map(unreachable_backend));
    cases
}

/// Data that makes a packet of so many bytes of the client.
fn sized(talk: &Talk, bytes: u32) -> Segment {
    let headers = if talk.client.is_ipv4() { 40 } else { 60 };
    let data: Vec<u8> = (0..bytes - headers).map(|n| n.to_le_bytes()[0]).collect();
    request("PA", 0).data(&data)
}

fn full_first_segment(what: &str, world: &World, talk: &Talk) -> Case {
    let name = format!("{what}: the first segment has room for a PROXY header or is too big");
    let crosses = talk.client.is_ipv6() && talk.backend.is_ipv4();
    let grows = length(talk) - if crosses { 20 } else { 0 };
    let big = talk.client_sends(&sized(talk, MTU - grows + 1));
    let whole = sized(talk, MTU);
    opened(case(name, world), talk)
        .sent(
            "what just fits",
            prefaced(talk, &sized(talk, MTU - grows)),
            Reason::ForwardedToBackend,
        )
        .answered(
            "one byte more",
            FRONT,
            big.clone(),
            Reason::PacketTooBig,
            too_big(
                &big,
                talk.vip.ip(),
                u16::try_from(MTU - grows).expect("small"),
            ),
        )
        .sent(
            "the backend has the header",
            talk.answer(&answer("A", 0)),
            Reason::ForwardedToClient,
        )
        .sent(
            "a full segment that needs no header",
            talk.request(&whole),
            Reason::ForwardedToBackend,
        )
        .counts(super::ONE)
        .leaves(1, 0)
}

fn clamped(what: &str, world: &World, talk: &Talk) -> Case {
    let mut world = world.clone();
    for service in world.contents.services.values_mut() {
        service.mss_clamp = 1400;
    }
    let mss = |mss: u32| {
        let [.., high, low] = mss.to_be_bytes();
        [2, 4, high, low]
    };
    let syn = |announced| Segment::tcp("S", CLIENT, 0).tcp_options(&mss(announced));
    let syn_ack = |announced| {
        let segment = Segment::tcp("SA", BACKEND, CLIENT.wrapping_add(1));
        raised(talk, &segment.tcp_options(&mss(announced)))
    };
    let arrives = |sent, seen| {
        let out = syn_ack(seen);
        with_out(syn_ack(sent), &out)
    };
    let name = format!("{what}: a clamped MSS leaves room for a PROXY header");
    case(name, &world)
        .sent(
            "the SYN",
            with_out(lowered(talk, &syn(1460)), &lowered(talk, &syn(1400))),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "a SYN-ACK that announces more",
            arrives(1460, 1400 - length(talk)),
            Reason::ForwardedToClient,
        )
        .sent(
            "one that announces less",
            arrives(536, 536 - length(talk)),
            Reason::ForwardedToClient,
        )
        .sent(
            "one that announces next to nothing",
            arrives(28, 28),
            Reason::ForwardedToClient,
        )
        .leaves(0, 1)
}

fn fragmented(world: &World) -> Case {
    let talk = world.tcp(Family::V4);
    let cut = request("PA", 0).data(&[7; 28]).fragment(0, true);
    opened(
        case(
            "a first segment in fragments has no place for a PROXY header".to_owned(),
            world,
        ),
        &talk,
    )
    .stays(
        "its first fragment",
        FRONT,
        talk.client_sends(&cut),
        Reason::NotTranslated,
    )
    .sent(
        "the ACK, whole",
        prefaced(&talk, &ack()),
        Reason::ForwardedToBackend,
    )
    .counts(TableCounters::default())
    .leaves(0, 1)
}

fn long_headers(world: &World) -> Case {
    let talk = world.tcp(Family::V6);
    let behind = |bytes| ack().extensions(&[Extension::new(Extension::DESTINATION, bytes)]);
    opened(
        case(
            "a PROXY header stands behind extension headers, unless they are longer than anybody's"
                .to_owned(),
            world,
        ),
        &talk,
    )
    .sent(
        "128 bytes of options",
        prefaced(&talk, &behind(128)),
        Reason::ForwardedToBackend,
    )
    .stays(
        "200 bytes of options",
        FRONT,
        talk.client_sends(&behind(200)),
        Reason::BadExtensionHeaders,
    )
    .leaves(0, 1)
}

fn unreachable_backend(family: Family) -> Case {
    let world = World::two_arm();
    let talk = world.tcp(family);
    let short = ip_header(family) + 8;
    // As the backend would have seen it, and as the client knows it.
    let error = |quoted: &Segment, sent: &Segment, length| {
        let about = |segment| {
            let from = router(family, true);
            about_request(&talk, from, &unreachable(family), segment, length)
        };
        with_out(about(quoted), &about(sent))
    };
    let syn = |number| Segment::tcp("S", number, 0);
    let first = |number| Segment::tcp("A", number, BACKEND + 1).data(&header(&talk));
    let (low, next) = (CLIENT.wrapping_sub(length(&talk)), CLIENT.wrapping_add(1));
    let name =
        format!("{family:?}: an ICMP error about a SYN or a PROXY header has the client's number");
    let opened = case(name, &world).sent(
        "the SYN",
        lowered(&talk, &syn(CLIENT)),
        Reason::ScheduledNewFlow,
    );
    let mut case = opened;
    for length in [short, WHOLE] {
        case = case
            .sent(
                "about the SYN",
                error(&syn(low), &syn(CLIENT), length),
                Reason::IcmpErrorToClient,
            )
            .sent(
                "about the header",
                error(&first(low.wrapping_add(1)), &first(next), length),
                Reason::IcmpErrorToClient,
            )
            .sent(
                "about what follows",
                error(&first(next), &first(next), length),
                Reason::IcmpErrorToClient,
            );
    }
    case.leaves(0, 1)
}

//! Services whose streams begin with a PROXY protocol header: it goes out until the backend has it, and then nothing is
//! different from any other flow.

use adc_common::abi::{Protocol, Reason};

use super::{BACKEND, CLIENT, ONE, ack, answer, request, syn, syn_ack};
use crate::{
    packets::{Segment, Tag, Transport},
    walk::{BACK, Case, Crossing, FRONT, Family, Link, Talk, World},
};

/// Bytes of the header, by the address family of the client.
const LENGTH: [u32; 2] = [28, 52];

pub(super) fn cases() -> Vec<Case> {
    let tags = [Tag::service(100), Tag::customer(200)];
    let bare = World::two_arm();
    let wires = [
        ("one arm", World::one_arm()),
        ("two arms", bare.clone()),
        (
            "tags added",
            World::new(Link::new(FRONT, 0xfe), Link::new(BACK, 10).tagged(&tags)),
        ),
        (
            "tags removed",
            World::new(Link::new(FRONT, 0xfe).tagged(&tags), Link::new(BACK, 10)),
        ),
        ("full-nat", bare.with_full_nat()),
    ];
    let mut cases = Vec::new();
    for (what, world) in wires {
        for (family, talk) in talks(&world) {
            cases.push(whole(&format!("{family}, {what}"), &world, &talk));
        }
    }
    let world = World::two_arm().with_full_nat();
    for (family, talk) in talks(&world) {
        for tell in [
            lost,
            fin_at_once,
            reset_at_once,
            refused,
            repeated_syn,
            options,
            picked_up,
        ] {
            cases.push(tell(family, &world, &talk));
        }
        cases.push(data_in_the_syn(family, &world, &talk));
        cases.push(table_full(family, &world, &talk));
    }
    cases
}

/// An IPv4 client, an IPv6 client, and, with `full-nat`, an IPv6 client of an IPv4 backend.
pub(super) fn talks(world: &World) -> Vec<(&'static str, Talk)> {
    let mut talks = vec![("V4", world.tcp(Family::V4)), ("V6", world.tcp(Family::V6))];
    if world.full_nat {
        talks.push(("NAT64", world.nat64(Protocol::TCP)));
    }
    talks
}

/// A case in a world where all streams begin with a header.
pub(super) fn case(name: String, world: &World) -> Case {
    let mut contents = world.contents.clone();
    for service in contents.services.values_mut() {
        service.proxy_protocol = 1;
    }
    Case::new(name, &contents)
}

pub(super) fn length(talk: &Talk) -> u32 {
    LENGTH[usize::from(talk.client.is_ipv6())]
}

/// The header as the specification has it, by another implementation.
pub(super) fn header(talk: &Talk) -> Vec<u8> {
    use ppp::v2::{Builder, Command, Protocol, Version};
    let built = Builder::with_addresses(
        Version::Two | Command::Proxy,
        Protocol::Stream,
        (talk.client, talk.vip),
    );
    let header = built.build().expect("a header without extensions");
    assert_eq!(header.len(), length(talk) as usize);
    header
}

fn tcp(segment: &mut Segment) -> &mut etherparse::TcpHeader {
    match &mut segment.transport {
        Transport::Tcp(header) => header,
        Transport::Udp(_) | Transport::Sctp { .. } => panic!("it has no sequence number"),
    }
}

/// The client's packet, and what the backend is to see of it: numbers that are lower.
pub(super) fn lowered(talk: &Talk, sent: &Segment) -> Crossing {
    let mut seen = sent.clone();
    let header = tcp(&mut seen);
    header.sequence_number = header.sequence_number.wrapping_sub(length(talk));
    with_out(talk.request(sent), &talk.request(&seen))
}

/// The same, and the header in front of the payload.
pub(super) fn prefaced(talk: &Talk, sent: &Segment) -> Crossing {
    let mut seen = sent.clone();
    let number = &mut tcp(&mut seen).sequence_number;
    *number = number.wrapping_sub(length(talk));
    seen.payload = [header(talk), sent.payload.clone()].concat();
    with_out(talk.request(sent), &talk.request(&seen))
}

/// The backend's packet that acknowledges no byte of the header, and what the client is to see of it.
pub(super) fn raised(talk: &Talk, seen: &Segment) -> Crossing {
    let mut sent = seen.clone();
    let header = tcp(&mut sent);
    header.acknowledgment_number = header.acknowledgment_number.wrapping_sub(length(talk));
    with_out(talk.answer(&sent), &talk.answer(seen))
}

pub(super) fn with_out(mut crossing: Crossing, other: &Crossing) -> Crossing {
    crossing.out.clone_from(&other.out);
    crossing
}

/// The backend's SYN-ACK: it leaves room for the header in the client's first segment.
fn greeting(talk: &Talk) -> Crossing {
    let mss = 1460 - u16::try_from(length(talk)).expect("few bytes");
    let [high, low] = mss.to_be_bytes();
    let seen = Segment::tcp("SA", BACKEND, CLIENT.wrapping_add(1)).tcp_options(&[2, 4, high, low]);
    let crossing = raised(talk, &seen);
    Crossing {
        frame: raised(talk, &syn_ack()).frame,
        ..crossing
    }
}

pub(super) fn opened(case: Case, talk: &Talk) -> Case {
    case.sent("the SYN", lowered(talk, &syn()), Reason::ScheduledNewFlow)
        .sent("the SYN-ACK", greeting(talk), Reason::ForwardedToClient)
}

fn whole(what: &str, world: &World, talk: &Talk) -> Case {
    let name = format!("{what}: the backend gets a PROXY header before the client's bytes");
    let bytes = b"GET / HTTP/1.1\r\n\r\n";
    opened(case(name, world), talk)
        .sent(
            "the ACK",
            prefaced(talk, &ack()),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the request, before the header is acknowledged",
            prefaced(talk, &request("PA", 0).data(bytes)),
            Reason::ForwardedToBackend,
        )
        .sent(
            "more of it",
            talk.request(&request("PA", 18).data(b"more")),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the backend has the header",
            talk.answer(&answer("A", 0)),
            Reason::ForwardedToClient,
        )
        .sent(
            "the request again, though the backend has it",
            talk.request(&request("PA", 0).data(bytes)),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the answer, of odd length",
            talk.answer(&answer("PA", 0).data(b"HTTP/1.1 200 OK\r\n\r\n.")),
            Reason::ForwardedToClient,
        )
        .sent(
            "the backend's FIN",
            talk.answer(&answer("FA", 20)),
            Reason::ForwardedToClient,
        )
        .sent(
            "the client's FIN",
            talk.request(&request("FA", 22)),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn lost(what: &str, world: &World, talk: &Talk) -> Case {
    let name = format!(
        "{what}: a PROXY header that was lost goes out again with what the client sends again"
    );
    let early = Segment::tcp("PA", BACKEND + 1, CLIENT.wrapping_add(1)).data(b"220 ready\r\n");
    opened(case(name, world), talk)
        .sent(
            "an ACK, lost",
            prefaced(talk, &ack()),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the SYN-ACK again",
            greeting(talk),
            Reason::ForwardedToClient,
        )
        .sent(
            "an ACK",
            prefaced(talk, &ack().padded(6)),
            Reason::ForwardedToBackend,
        )
        .sent(
            "a segment that overtook the first",
            talk.request(&request("PA", 3).data(b"def")),
            Reason::ForwardedToBackend,
        )
        .sent(
            "a duplicate acknowledgement of the backend",
            raised(talk, &answer("A", 0)),
            Reason::ForwardedToClient,
        )
        .sent(
            "data of a backend that speaks first",
            raised(talk, &early),
            Reason::ForwardedToClient,
        )
        .leaves(0, 1)
        .sent(
            "the first segment again",
            prefaced(talk, &request("PA", 0).data(b"abc")),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the backend has all",
            talk.answer(&Segment::tcp("A", BACKEND + 12, CLIENT.wrapping_add(7))),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn fin_at_once(what: &str, world: &World, talk: &Talk) -> Case {
    let name = format!("{what}: a FIN that completes the handshake has the PROXY header before it");
    opened(case(name, world), talk)
        .sent(
            "the FIN",
            prefaced(talk, &request("FA", 0).data(b"bye")),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the backend's FIN",
            talk.answer(&Segment::tcp("FA", BACKEND + 1, CLIENT.wrapping_add(5))),
            Reason::ForwardedToClient,
        )
        .sent(
            "the next connection from this port",
            lowered(talk, &Segment::tcp("S", 77, 0)),
            Reason::ScheduledNewFlow,
        )
        .counts(adc_common::abi::TableCounters { removed: 1, ..ONE })
        .leaves(0, 1)
}

fn reset_at_once(what: &str, world: &World, talk: &Talk) -> Case {
    let name =
        format!("{what}: a RST before the PROXY header has a number that the backend believes");
    opened(case(name, world), talk)
        .sent(
            "the RST of one who only wanted to know",
            lowered(talk, &Segment::tcp("R", CLIENT.wrapping_add(1), 0)),
            Reason::ForwardedToBackend,
        )
        .leaves(0, 1)
}

fn refused(what: &str, world: &World, talk: &Talk) -> Case {
    let name = format!("{what}: a refusal acknowledges the SYN that the client sent");
    case(name, world)
        .sent("the SYN", lowered(talk, &syn()), Reason::ScheduledNewFlow)
        .sent(
            "the RST",
            raised(talk, &Segment::tcp("RA", 0, CLIENT.wrapping_add(1))),
            Reason::ForwardedToClient,
        )
        .sent(
            "another try",
            lowered(talk, &Segment::tcp("S", 77, 0)),
            Reason::ScheduledNewFlow,
        )
        .leaves(0, 1)
}

fn repeated_syn(what: &str, world: &World, talk: &Talk) -> Case {
    let name = format!("{what}: repeated SYNs and SYN-ACKs of a stream with a PROXY header");
    let again =
        |case: Case, what| case.sent(what, lowered(talk, &syn()), Reason::ForwardedToBackend);
    let case = case(name, world).sent("a SYN", lowered(talk, &syn()), Reason::ScheduledNewFlow);
    let case =
        again(case, "the SYN again").sent("the SYN-ACK", greeting(talk), Reason::ForwardedToClient);
    let case = again(case, "a late SYN")
        .sent("its answer", greeting(talk), Reason::ForwardedToClient)
        .sent(
            "the ACK",
            prefaced(talk, &ack()),
            Reason::ForwardedToBackend,
        );
    again(case, "a very late SYN")
        .sent(
            "the backend has the header",
            talk.answer(&answer("A", 0)),
            Reason::ForwardedToClient,
        )
        .sent(
            "a SYN of a client that forgot all: to a backend that forgot, too, no start of a stream without a header",
            lowered(talk, &Segment::tcp("S", 77, 0)),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn options(what: &str, world: &World, talk: &Talk) -> Case {
    let name = format!("{what}: the PROXY header stands behind TCP options of any length");
    let mut case = opened(case(name, world), talk);
    for options in [0, 4, 12, 24, 36, 40] {
        case = case.sent(
            "an ACK with options",
            prefaced(
                talk,
                &request("PA", 0).tcp_options(&vec![1; options]).data(b"odd"),
            ),
            Reason::ForwardedToBackend,
        );
    }
    case.leaves(0, 1)
}

fn picked_up(what: &str, world: &World, talk: &Talk) -> Case {
    let name = format!(
        "{what}: no packet that belongs to nothing makes a stream without a PROXY header possible"
    );
    case(name, world)
        .sent(
            "an ACK of nothing",
            talk.request(&ack()),
            Reason::PickedUpFlow,
        )
        .sent("the SYN", lowered(talk, &syn()), Reason::ScheduledNewFlow)
        .leaves(0, 1)
}

fn data_in_the_syn(what: &str, world: &World, talk: &Talk) -> Case {
    let name = format!("{what}: data in a SYN would stand where the PROXY header belongs");
    let eager = syn().data(b"GET /");
    case(name, world)
        .stays(
            "a SYN with data",
            talk.client_link.interface,
            talk.client_sends(&eager),
            Reason::SynWithData,
        )
        .sent(
            "the SYN without",
            lowered(talk, &syn().padded(2)),
            Reason::ForwardedToBackend,
        )
        .leaves(0, 1)
}

fn table_full(what: &str, world: &World, talk: &Talk) -> Case {
    let name = format!(
        "{what}: the PROXY header goes out once, whether there is room in the main table or not"
    );
    let full = adc_common::abi::TableCounters {
        full: 2,
        ..Default::default()
    };
    opened(case(name, world).full_but(0), talk)
        .sent(
            "the ACK",
            prefaced(talk, &ack()),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the backend has the header",
            talk.answer(&answer("A", 0)),
            Reason::ForwardedToClient,
        )
        .sent(
            "the request",
            talk.request(&request("PA", 0).data(b"GET /")),
            Reason::ForwardedToBackend,
        )
        .counts(full)
        .leaves(0, 1)
}

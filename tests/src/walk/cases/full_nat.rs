//! Mode `full-nat`: backends see a local address of ours.

use std::net::IpAddr;

use adc_common::abi::{Protocol, Reason, ServiceId, TableCounters};

use super::{ONE, answer, established, request, syn, syn_ack};
use crate::{
    packets::{Segment, Tag},
    walk::{BACK, Case, FRONT, Family, LOCAL4, LOCAL6, Link, Talk, World},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for family in Family::BOTH {
        cases.push(tcp(family, World::one_arm()));
        cases.push(tcp(family, World::two_arm()));
        cases.push(tcp(
            family,
            World::new(
                Link::new(FRONT, 0xfe).tagged(&[Tag::customer(5)]),
                Link::new(BACK, 10).tagged(&[Tag::service(7), Tag::customer(8)]),
            ),
        ));
        cases.push(udp(family));
        cases.push(same_port_from_two_clients(family));
        cases.push(second_address_before_another_port(family));
        cases.push(stranger_at_a_local_address(family));
        cases.push(reset_of_nothing(family));
        cases.push(picked_up(family));
        cases.push(no_address_of_the_family(family));
    }
    cases
}

fn local(family: Family) -> IpAddr {
    match family {
        Family::V4 => LOCAL4,
        Family::V6 => LOCAL6,
    }
}

fn tcp(family: Family, world: World) -> Case {
    let world = world.with_full_nat();
    let talk = world.tcp(family);
    let arms = talk.backend_link.interface.0;
    let name = format!("{family:?}, interface {arms}: full-nat sends from the local address");
    established(Case::new(name, &world.contents), &talk)
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
        .sent(
            "the client's FIN",
            talk.request(&request("FA", 7)),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the backend's FIN",
            talk.answer(&answer("FA", 6)),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn udp(family: Family) -> Case {
    let world = World::two_arm().with_full_nat();
    let talk = world.udp(family);
    let mut case = Case::new(
        format!("{family:?}: full-nat of datagrams"),
        &world.contents,
    )
    .sent(
        "a question",
        talk.request(&Segment::udp(b"question")),
        Reason::ScheduledNewFlow,
    )
    .sent(
        "the answer",
        talk.answer(&Segment::udp(b"answer")),
        Reason::ForwardedToClient,
    );
    if family == Family::V4 {
        case = case.sent(
            "an answer without a checksum",
            talk.answer(&Segment::udp(b"answer").without_checksum()),
            Reason::ForwardedToClient,
        );
    }
    case.counts(ONE).leaves(1, 0)
}

/// The same talk, of another client.
pub(super) fn neighbour(talk: &Talk, n: u8) -> Talk {
    let mut other = talk.clone();
    other.client.set_ip(match talk.client.ip() {
        IpAddr::V4(_) => [192, 0, 2, n].into(),
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[15] = n;
            octets.into()
        }
    });
    other
}

/// The first port that the cursor comes to.
pub(super) const FIRST_SPARE: u16 = 1024;

fn same_port_from_two_clients(family: Family) -> Case {
    let world = World::two_arm().with_full_nat();
    let first = world.tcp(family);
    let mut second = neighbour(&first, 8);
    second.seen_as.set_port(FIRST_SPARE);
    let name = format!("{family:?}: a second client with the same port gets another one");
    let case = established(Case::new(name, &world.contents), &first);
    established(case, &second)
        .sent(
            "the first goes on",
            first.answer(&answer("PA", 0).data(b"1")),
            Reason::ForwardedToClient,
        )
        .sent(
            "the second too",
            second.answer(&answer("PA", 0).data(b"2")),
            Reason::ForwardedToClient,
        )
        .counts(TableCounters { inserted: 2, ..ONE })
        .leaves(2, 0)
}

fn second_address_before_another_port(family: Family) -> Case {
    let mut world = World::two_arm().with_full_nat();
    let first = world.tcp(family);
    let more: IpAddr = match family {
        Family::V4 => [10, 2, 0, 101].into(),
        Family::V6 => "fd00:2::101".parse().expect("address"),
    };
    let services: Vec<ServiceId> = world.contents.services.keys().copied().collect();
    let mut ways = Vec::new();
    for both in [[local(family), more], [more, local(family)]] {
        for service in &services {
            world.contents.full_nat(*service, &both);
        }
        ways.push(world.contents.clone());
    }
    // Which of the two comes first is the hash's choice: the second client must get the one that is left.
    let name = format!("{family:?}: another local address comes before another port");
    let mut used = first.clone();
    let mut left = neighbour(&first, 8);
    let chosen = chosen_first(&ways[0], &first, [local(family), more]);
    used.seen_as.set_ip(chosen);
    let other = if chosen == more { local(family) } else { more };
    left.seen_as.set_ip(other);
    let case = established(Case::new(name, &ways[0]), &used);
    established(case, &left)
        .counts(TableCounters { inserted: 2, ..ONE })
        .leaves(2, 0)
}

/// The address that a client's first packet is sent from.
fn chosen_first(contents: &crate::walk::Contents, talk: &Talk, of: [IpAddr; 2]) -> IpAddr {
    use crate::walk::{HostWalk, Walk as _};
    let mut host = HostWalk::default();
    host.pour(contents);
    let crossing = talk.request(&syn());
    let arrival = host
        .arrive(&crossing.frame, crossing.by)
        .expect("a whole frame");
    let found = of.into_iter().find(|address| {
        let mut seen = talk.clone();
        seen.seen_as.set_ip(*address);
        seen.request(&syn()).out == arrival.frame
    });
    found.expect("one of the two")
}

fn stranger_at_a_local_address(family: Family) -> Case {
    let world = World::two_arm().with_full_nat();
    let mut talk = world.tcp(family);
    talk.seen_as.set_port(55_555);
    let name =
        format!("{family:?}: what comes to a local address and is of no flow goes to the kernel");
    let mut case = Case::new(name, &world.contents);
    for (what, segment) in [
        ("a SYN", syn()),
        ("a SYN-ACK", syn_ack()),
        ("data", answer("PA", 0)),
        ("a datagram", Segment::udp(b"?")),
    ] {
        case = case.stays(what, BACK, talk.backend_sends(&segment), Reason::SnatNoFlow);
    }
    case.leaves(0, 0)
}

fn reset_of_nothing(family: Family) -> Case {
    let world = World::two_arm().with_full_nat();
    let talk = world.tcp(family);
    let name = format!("{family:?}: a RST of no flow ends nobody's connection");
    Case::new(name, &world.contents)
        .stays(
            "a RST",
            FRONT,
            talk.client_sends(&Segment::tcp("R", 1, 0)),
            Reason::RstWithoutFlow,
        )
        .leaves(0, 0)
}

fn picked_up(family: Family) -> Case {
    let world = World::two_arm().with_full_nat();
    let talk = world.tcp(family);
    let name = format!(
        "{family:?}: a flow that this node does not know goes on from the port it would have had"
    );
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

fn no_address_of_the_family(family: Family) -> Case {
    let mut world = World::two_arm().with_full_nat();
    let talk = world.talk(family, Protocol::TCP);
    let services: Vec<ServiceId> = world.contents.services.keys().copied().collect();
    let other = match family {
        Family::V4 => LOCAL6,
        Family::V6 => LOCAL4,
    };
    for service in services {
        world.contents.full_nat(service, &[other]);
    }
    let name =
        format!("{family:?}: without a local address of the backend's family nothing is sent");
    Case::new(name, &world.contents)
        .stays(
            "a SYN",
            FRONT,
            talk.client_sends(&syn()),
            Reason::SnatExhausted,
        )
        .leaves(0, 0)
}

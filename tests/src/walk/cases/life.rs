//! Established TCP flows: how they end, expire, and are picked up.

use adc_common::abi::{Reason, TableCounters};

use super::{CLIENT, ONE, answer, established, request, syn};
use crate::{
    packets::Segment,
    walk::{Case, Family, World},
};

pub(super) fn cases() -> Vec<Case> {
    let world = World::two_arm();
    let mut cases = Vec::new();
    for family in Family::BOTH {
        cases.extend([
            reused_port_after_fin(family, &world),
            reused_port_after_reset(family, &world),
            syn_on_established(family, &world),
            half_closed(family, &world),
            ignored_reset(family, &world),
            expired(family, &world),
            kept_by_one_direction(family, &world),
            expired_reply(family, &world),
            picked_up(family, &world),
            picked_up_fin(family, &world),
            unknown_reset(family, &world),
            closed_expires(family, &world),
        ]);
    }
    cases
}

const REMOVED: TableCounters = TableCounters { removed: 1, ..ONE };

fn reused_port_after_fin(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: the client's port is used again after both FINs");
    established(Case::new(name, &world.contents), &talk)
        .sent(
            "the client's FIN",
            talk.request(&request("FA", 0)),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the backend's FIN",
            talk.answer(&answer("FA", 0)),
            Reason::ForwardedToClient,
        )
        .sent("a new SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .counts(REMOVED)
        .leaves(0, 1)
}

fn reused_port_after_reset(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: the client's port is used again after a reset");
    established(Case::new(name, &world.contents), &talk)
        .sent(
            "the backend's RST",
            talk.answer(&answer("R", 0)),
            Reason::ForwardedToClient,
        )
        .sent("a new SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .counts(REMOVED)
        .leaves(0, 1)
}

fn syn_on_established(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!(
        "{family:?}: a SYN into a living connection goes to its backend, which answers it (RFC 5961)"
    );
    established(Case::new(name, &world.contents), &talk)
        .sent("the SYN", talk.request(&syn()), Reason::ForwardedToBackend)
        .sent(
            "the challenge ACK",
            talk.answer(&answer("A", 0)),
            Reason::ForwardedToClient,
        )
        .sent(
            "the client's RST",
            talk.request(&request("R", 0)),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the SYN again",
            talk.request(&syn()),
            Reason::ScheduledNewFlow,
        )
        .counts(REMOVED)
        .leaves(0, 1)
}

fn half_closed(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: after one FIN the other side may talk for an hour");
    established(Case::new(name, &world.contents), &talk)
        .sent(
            "the client's FIN",
            talk.request(&request("FA", 0)),
            Reason::ForwardedToBackend,
        )
        .after(3500)
        .sent(
            "late data",
            talk.answer(&answer("PA", 0).data(b"late")),
            Reason::ForwardedToClient,
        )
        .sent(
            "its ACK",
            talk.request(&request("A", 1)),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn ignored_reset(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: data after a reset that nobody believed revives the flow");
    established(Case::new(name, &world.contents), &talk)
        .sent(
            "a forged RST",
            talk.request(&Segment::tcp("R", 12345, 0)),
            Reason::ForwardedToBackend,
        )
        .after(9)
        .sent(
            "data",
            talk.answer(&answer("PA", 0).data(b"alive")),
            Reason::ForwardedToClient,
        )
        .after(7000)
        .sent(
            "its ACK, two hours later",
            talk.request(&request("A", 0)),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn expired(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: a flow that was idle for its timeout is gone");
    established(Case::new(name, &world.contents), &talk)
        .after(7201)
        .sent("a new SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .counts(REMOVED)
        .leaves(0, 1)
}

fn kept_by_one_direction(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: a flow lives as long as one direction talks");
    let data = talk.answer(&answer("PA", 0).data(b"stream"));
    established(Case::new(name, &world.contents), &talk)
        .after(7000)
        .sent("data", data.clone(), Reason::ForwardedToClient)
        .after(7000)
        .sent("data", data.clone(), Reason::ForwardedToClient)
        .after(7000)
        .sent(
            "the first ACK in hours",
            talk.request(&request("A", 0)),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn expired_reply(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: an answer of an expired flow is nobody's");
    established(Case::new(name, &world.contents), &talk)
        .after(7201)
        .stays(
            "data of the backend",
            talk.backend_link.interface,
            talk.backend_sends(&answer("PA", 0).data(b"late")),
            Reason::NotOurs,
        )
        .counts(REMOVED)
        .leaves(0, 0)
}

fn picked_up(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!(
        "{family:?}: a connection from before our time is picked up, and kept once answered"
    );
    Case::new(name, &world.contents)
        .sent(
            "data of an unknown connection",
            talk.request(&request("PA", 9000).data(b"data")),
            Reason::PickedUpFlow,
        )
        .sent(
            "more data",
            talk.request(&request("A", 9004).data(b"more")),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the backend's ACK",
            talk.answer(&answer("A", 0)),
            Reason::ForwardedToClient,
        )
        .after(7000)
        .sent(
            "data two hours later",
            talk.request(&request("PA", 9008).data(b"data")),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn picked_up_fin(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name =
        format!("{family:?}: a connection that ends as it is picked up is not kept for hours");
    Case::new(name, &world.contents)
        .sent(
            "the FIN of an unknown connection",
            talk.request(&request("FA", 9000)),
            Reason::PickedUpFlow,
        )
        .sent(
            "the backend's FIN",
            talk.answer(&answer("FA", 0)),
            Reason::ForwardedToClient,
        )
        .after(20)
        .sent("a new SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .counts(REMOVED)
        .leaves(0, 1)
}

fn unknown_reset(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name =
        format!("{family:?}: a reset of an unknown connection is passed on and not remembered");
    Case::new(name, &world.contents)
        .sent(
            "a RST",
            talk.request(&Segment::tcp("R", CLIENT, 0)),
            Reason::PickedUpFlow,
        )
        .sent(
            "a RST with ACK",
            talk.request(&Segment::tcp("RA", CLIENT, 5)),
            Reason::PickedUpFlow,
        )
        .leaves(0, 0)
}

fn closed_expires(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name =
        format!("{family:?}: a closed flow is forgotten soon, a late FIN just before is not");
    established(Case::new(name, &world.contents), &talk)
        .sent(
            "the client's FIN",
            talk.request(&request("FA", 0)),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the backend's FIN",
            talk.answer(&answer("FA", 0)),
            Reason::ForwardedToClient,
        )
        .after(14)
        .sent(
            "the FIN again",
            talk.answer(&answer("FA", 0)),
            Reason::ForwardedToClient,
        )
        .after(16)
        .stays(
            "and again",
            talk.backend_link.interface,
            talk.backend_sends(&answer("FA", 0)),
            Reason::NotOurs,
        )
        .counts(REMOVED)
        .leaves(0, 0)
}

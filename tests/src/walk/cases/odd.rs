//! TCP that is legal and rare: simultaneous open, repeated FINs, closed windows, connections from before a restart.

use adc_common::abi::Reason;

use super::{BACKEND, CLIENT, ONE, answer, established, request, syn};
use crate::{
    packets::{Segment, Transport},
    walk::{Case, Family, World},
};

pub(super) fn cases() -> Vec<Case> {
    let world = World::two_arm();
    let mut cases = Vec::new();
    for family in Family::BOTH {
        cases.extend([
            simultaneous_open(family, &world),
            forged_simultaneous_open(family, &world),
            repeated_fins(family, &world),
            closed_windows(family, &world),
            backend_speaks_first_after_a_restart(family, &world),
        ]);
    }
    cases
}

fn simultaneous_open(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: both ends open at once (RFC 9293 §3.5, figure 7)");
    Case::new(name, &world.contents)
        .sent("the SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .sent(
            "the backend's own SYN",
            talk.answer(&Segment::tcp("S", BACKEND, 0)),
            Reason::ForwardedToClient,
        )
        .sent(
            "the client's SYN-ACK",
            talk.request(&Segment::tcp("SA", CLIENT, BACKEND + 1)),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the backend's SYN-ACK",
            talk.answer(&Segment::tcp("SA", BACKEND, CLIENT.wrapping_add(1))),
            Reason::ForwardedToClient,
        )
        .sent(
            "data",
            talk.request(&request("PA", 0).data(b"x")),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn forged_simultaneous_open(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: a SYN-ACK to a SYN that the backend never sent is refused");
    Case::new(name, &world.contents)
        .sent("the SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .stays(
            "a SYN-ACK out of nowhere",
            talk.client_link.interface,
            talk.client_sends(&Segment::tcp("SA", CLIENT, 1)),
            Reason::HandshakeMismatch,
        )
        .sent(
            "the backend's SYN after all",
            talk.answer(&Segment::tcp("S", BACKEND, 0)),
            Reason::ForwardedToClient,
        )
        .stays(
            "a SYN-ACK with a wrong number",
            talk.client_link.interface,
            talk.client_sends(&Segment::tcp("SA", CLIENT, BACKEND)),
            Reason::HandshakeMismatch,
        )
        .leaves(0, 1)
}

fn repeated_fins(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: a FIN that is sent again half-closes no more than the first");
    let mut case = established(Case::new(name, &world.contents), &talk);
    for _ in 0..3 {
        case = case.sent(
            "the client's FIN",
            talk.request(&request("FA", 0)),
            Reason::ForwardedToBackend,
        );
    }
    // An hour after that the answer still comes through: the timeout is the one of half-closed flows.
    case.after(3500)
        .sent(
            "late data",
            talk.answer(&answer("PA", 0).data(b"late")),
            Reason::ForwardedToClient,
        )
        .sent(
            "the backend's FIN",
            talk.answer(&answer("FA", 4)),
            Reason::ForwardedToClient,
        )
        .sent(
            "and again",
            talk.answer(&answer("FA", 4)),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn closed_windows(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!(
        "{family:?}: closed windows, probes of them and updates cross as they are, and are counted"
    );
    let window = |mut segment: Segment, size| {
        if let Transport::Tcp(header) = &mut segment.transport {
            header.window_size = size;
        }
        segment
    };
    established(Case::new(name, &world.contents), &talk)
        .sent(
            "the client's window closes",
            talk.request(&window(request("A", 0), 0)),
            Reason::ForwardedToBackend,
        )
        .sent(
            "a probe, one below what is expected",
            talk.answer(&Segment::tcp("A", BACKEND, CLIENT.wrapping_add(1))),
            Reason::ForwardedToClient,
        )
        .sent(
            "the backend's window closes as well",
            talk.answer(&window(answer("A", 0), 0)),
            Reason::ForwardedToClient,
        )
        .sent(
            "and opens",
            talk.answer(&window(answer("A", 0), 1)),
            Reason::ForwardedToClient,
        )
        .after(3600)
        .sent(
            "an update an hour later",
            talk.request(&window(request("A", 0), 512)),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn backend_speaks_first_after_a_restart(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!(
        "{family:?}: of a connection from before a restart with empty tables only the client can say where it belongs"
    );
    let data = answer("PA", 700).data(b"data");
    Case::new(name, &world.contents)
        .stays(
            "the backend's data",
            talk.backend_link.interface,
            talk.backend_sends(&data),
            Reason::NotOurs,
        )
        .sent(
            "an ACK of the client",
            talk.request(&request("A", 700)),
            Reason::PickedUpFlow,
        )
        .sent(
            "the backend's data again",
            talk.answer(&data),
            Reason::ForwardedToClient,
        )
        .after(7000)
        .sent(
            "and more, hours later",
            talk.answer(&data),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
        .leaves(1, 0)
}

//! TCP handshakes, right and wrong.

use adc_common::abi::{Reason, TableCounters};

use super::{BACKEND, CLIENT, ONE, ack, answer, established, request, syn, syn_ack};
use crate::{
    packets::Segment,
    walk::{Case, Family, World},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for family in Family::BOTH {
        for (arms, world) in [("one", World::one_arm()), ("two", World::two_arm())] {
            cases.push(whole_connection(family, arms, &world));
        }
        let world = World::two_arm();
        cases.extend([
            wrong_ack(family, &world),
            wrong_syn_ack(family, &world),
            repeated_syn(family, &world),
            late_repeated_syn(family, &world),
            new_attempt(family, &world),
            refused(family, &world),
            fast(family, &world),
            fin_completes(family, &world),
            unasked_syn_ack(family, &world),
            table_full(family, &world, 0),
            evicted(family, &world, true),
            evicted(family, &world, false),
            keeps_port(family, &world),
            table_full(family, &world, 1),
        ]);
    }
    cases
}

fn whole_connection(family: Family, arms: &str, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?} with {arms} arms: a connection from SYN to the last ACK");
    established(Case::new(name, &world.contents), &talk)
        .sent(
            "the request",
            talk.request(&request("PA", 0).data(b"GET / HTTP/1.1\r\n\r\n")),
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
            talk.request(&request("FA", 18)),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the last ACK",
            talk.answer(&answer("A", 21)),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn wrong_ack(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let wrong = Segment::tcp("A", CLIENT.wrapping_add(1), BACKEND.wrapping_sub(7));
    let name = format!("{family:?}: an ACK that does not answer the SYN-ACK validates nothing");
    Case::new(name, &world.contents)
        .sent("the SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .stays(
            "an ACK of a SYN-ACK never sent",
            talk.client_link.interface,
            talk.client_sends(&ack()),
            Reason::HandshakeMismatch,
        )
        .sent(
            "the SYN-ACK",
            talk.answer(&syn_ack()),
            Reason::ForwardedToClient,
        )
        .stays(
            "an ACK of another number",
            talk.client_link.interface,
            talk.client_sends(&wrong),
            Reason::HandshakeMismatch,
        )
        .sent(
            "the right ACK",
            talk.request(&ack()),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn wrong_syn_ack(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let wrong = Segment::tcp("SA", BACKEND, CLIENT.wrapping_sub(100));
    let name = format!("{family:?}: a SYN-ACK for another SYN is dropped");
    Case::new(name, &world.contents)
        .sent("the SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .stays(
            "a SYN-ACK for another SYN",
            talk.backend_link.interface,
            talk.backend_sends(&wrong),
            Reason::HandshakeMismatch,
        )
        .leaves(0, 1)
}

fn repeated_syn(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: a lost SYN is sent again, to the same backend");
    let case = Case::new(name, &world.contents)
        .sent("the SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .after(1)
        .sent("again", talk.request(&syn()), Reason::ForwardedToBackend)
        .after(3)
        .sent(
            "and again",
            talk.request(&syn()),
            Reason::ForwardedToBackend,
        );
    case.sent(
        "the SYN-ACK",
        talk.answer(&syn_ack()),
        Reason::ForwardedToClient,
    )
    .sent("the ACK", talk.request(&ack()), Reason::ForwardedToBackend)
    .counts(ONE)
    .leaves(1, 0)
}

fn late_repeated_syn(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: a SYN that arrives twice does not undo the SYN-ACK between");
    Case::new(name, &world.contents)
        .sent("the SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .sent(
            "the SYN-ACK",
            talk.answer(&syn_ack()),
            Reason::ForwardedToClient,
        )
        .sent(
            "the SYN, duplicated on its way",
            talk.request(&syn()),
            Reason::ForwardedToBackend,
        )
        .sent("the ACK", talk.request(&ack()), Reason::ForwardedToBackend)
        .counts(ONE)
        .leaves(1, 0)
}

fn new_attempt(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let second = Segment::tcp("S", 77, 0);
    let its_answer = Segment::tcp("SA", 900, 78);
    let name = format!("{family:?}: a new SYN from the same port starts the handshake again");
    Case::new(name, &world.contents)
        .sent("the SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .sent(
            "the SYN-ACK",
            talk.answer(&syn_ack()),
            Reason::ForwardedToClient,
        )
        .sent(
            "a SYN with another number",
            talk.request(&second),
            Reason::ForwardedToBackend,
        )
        .stays(
            "the ACK of the first attempt",
            talk.client_link.interface,
            talk.client_sends(&ack()),
            Reason::HandshakeMismatch,
        )
        .sent(
            "the second SYN-ACK",
            talk.answer(&its_answer),
            Reason::ForwardedToClient,
        )
        .sent(
            "the second ACK",
            talk.request(&Segment::tcp("A", 78, 901)),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn refused(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name =
        format!("{family:?}: a refused connection reaches the client, and the next attempt works");
    let case = Case::new(name, &world.contents)
        .sent("the SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .sent(
            "the RST",
            talk.answer(&Segment::tcp("RA", 0, CLIENT.wrapping_add(1))),
            Reason::ForwardedToClient,
        )
        .sent("a new SYN", talk.request(&syn()), Reason::ScheduledNewFlow);
    case.sent(
        "the SYN-ACK",
        talk.answer(&syn_ack()),
        Reason::ForwardedToClient,
    )
    .sent("the ACK", talk.request(&ack()), Reason::ForwardedToBackend)
    .counts(ONE)
    .leaves(1, 0)
}

fn fast(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let both = Segment::tcp("SA", BACKEND, CLIENT.wrapping_add(1 + 5));
    let name = format!("{family:?}: data in the SYN and in the last ACK (Fast Open, RFC 7413)");
    Case::new(name, &world.contents)
        .sent(
            "the SYN with data",
            talk.request(&syn().data(b"hello")),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "the SYN-ACK of both",
            talk.answer(&both),
            Reason::ForwardedToClient,
        )
        .sent(
            "the backend's data",
            talk.answer(&answer("PA", 0).data(&[7; 1400])),
            Reason::ForwardedToClient,
        )
        .sent(
            "the ACK of it, with data",
            talk.request(&Segment::tcp("PA", CLIENT.wrapping_add(6), BACKEND + 1401).data(b"more")),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn fin_completes(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!(
        "{family:?}: a FIN that completes the handshake (its ACK was lost) counts as the client's FIN"
    );
    let removed = TableCounters { removed: 1, ..ONE };
    Case::new(name, &world.contents)
        .sent("the SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .sent(
            "the SYN-ACK",
            talk.answer(&syn_ack()),
            Reason::ForwardedToClient,
        )
        .sent(
            "the request and the FIN",
            talk.request(&request("FPA", 0).data(b"GET /\r\n")),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the answer and the FIN",
            talk.answer(&answer("FPA", 0).data(b"text")),
            Reason::ForwardedToClient,
        )
        .sent(
            "the last ACK",
            talk.request(&request("A", 8)),
            Reason::ForwardedToBackend,
        )
        // Longer than a closed flow is kept, shorter than a half-closed one.
        .after(20)
        .sent(
            "a stray ACK",
            talk.request(&request("A", 8)),
            Reason::PickedUpFlow,
        )
        .counts(removed)
        .leaves(0, 1)
}

fn unasked_syn_ack(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: a SYN-ACK to the VIP opens nothing");
    Case::new(name, &world.contents)
        .stays(
            "the SYN-ACK",
            talk.client_link.interface,
            talk.client_sends(&Segment::tcp("SA", 1, 1)),
            Reason::HandshakeMismatch,
        )
        .leaves(0, 0)
}

fn evicted(family: Family, world: &World, answers: bool) -> Case {
    let talk = world.tcp(family);
    let half = if answers {
        "its answers'"
    } else {
        "the client's"
    };
    let name =
        format!("{family:?}: a handshake that lost {half} half begins again with the next SYN");
    let mut case = Case::new(name, &world.contents)
        .sent("the SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .evicted(answers);
    if !answers {
        case = case.stays(
            "the SYN-ACK, which nobody can place",
            talk.backend_link.interface,
            talk.backend_sends(&syn_ack()),
            Reason::NotOurs,
        );
    }
    established(case, &talk)
        .counts(TableCounters { orphans: 1, ..ONE })
        .leaves(1, 0)
}

fn keeps_port(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name =
        format!("{family:?}: a repeated SYN takes over what is left of its own flow, port and all");
    let case = Case::new(name, &world.contents)
        .sent("the SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .evicted(false);
    established(case, &talk).counts(ONE).leaves(1, 0)
}

fn table_full(family: Family, world: &World, spare: usize) -> Case {
    let talk = world.tcp(family);
    let name = format!(
        "{family:?}: with room for {spare} entries a flow is forwarded, not kept, and counted"
    );
    let full = TableCounters {
        full: 3,
        ..TableCounters::default()
    };
    let case = established(Case::new(name, &world.contents).full_but(spare), &talk);
    case.sent(
        "the request",
        talk.request(&request("PA", 0).data(b"x")),
        Reason::ForwardedToBackend,
    )
    .sent(
        "the answer",
        talk.answer(&answer("PA", 0).data(b"y")),
        Reason::ForwardedToClient,
    )
    .counts(full)
    .leaves(0, 1)
}

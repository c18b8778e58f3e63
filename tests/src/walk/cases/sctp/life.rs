//! How associations begin and end, in the right way and in others.

use adc_common::abi::{Reason, TableCounters};

use super::{
    super::ONE, BACKEND, CLIENT, associated, cookie_ack, cookie_echo, down, down_data, init,
    init_ack, up, up_data,
};
use crate::{
    packets::{Chunk, Segment},
    walk::{BACK, Case, FRONT, Family, World},
};

const REMOVED: TableCounters = TableCounters { removed: 1, ..ONE };

pub(super) fn cases(family: Family) -> Vec<Case> {
    let world = World::two_arm();
    vec![
        wrong_init_ack(family, &world),
        wrong_cookie(family, &world),
        repeated_init(family, &world),
        new_attempt(family, &world),
        collision(family, &world),
        unasked(family, &world),
        refused(family, &world),
        aborted(family, &world),
        closed_by_backend(family, &world),
        forgotten(family, &world),
        opened_again(family, &world),
        restarted(family, &world),
        picked_up(family, &world),
    ]
}

fn wrong_init_ack(family: Family, world: &World) -> Case {
    let talk = world.sctp(family);
    let wrong = Segment::sctp(
        CLIENT ^ 1,
        &[Chunk::initiate(Chunk::INIT_ACK, BACKEND, b"")],
    );
    let name = format!("{family:?}: an INIT ACK for another tag than the INIT's is dropped");
    Case::new(name, &world.contents)
        .sent("the INIT", talk.request(&init()), Reason::ScheduledNewFlow)
        .stays(
            "an INIT ACK of another association",
            BACK,
            talk.backend_sends(&wrong),
            Reason::HandshakeMismatch,
        )
        .leaves(0, 1)
}

fn wrong_cookie(family: Family, world: &World) -> Case {
    let talk = world.sctp(family);
    let cookie = |tag: u32| Segment::sctp(tag, &[Chunk::new(Chunk::COOKIE_ECHO, b"a cookie")]);
    let name = format!("{family:?}: a COOKIE ECHO without the INIT ACK's tag validates nothing");
    let mut case = Case::new(name, &world.contents)
        .sent("the INIT", talk.request(&init()), Reason::ScheduledNewFlow)
        .stays(
            "a cookie before there is one",
            FRONT,
            talk.client_sends(&cookie(1)),
            Reason::HandshakeMismatch,
        )
        .sent(
            "the INIT ACK",
            talk.answer(&init_ack()),
            Reason::ForwardedToClient,
        );
    // The next ones and the last but one would pass for TCP's numbers.
    for tag in [BACKEND + 1, BACKEND + 1000, BACKEND - 1, CLIENT, 1] {
        case = case.stays(
            "a guess",
            FRONT,
            talk.client_sends(&cookie(tag)),
            Reason::HandshakeMismatch,
        );
    }
    case.sent(
        "the right one",
        talk.request(&cookie_echo()),
        Reason::ForwardedToBackend,
    )
    .sent(
        "the COOKIE ACK",
        talk.answer(&cookie_ack()),
        Reason::ForwardedToClient,
    )
    .counts(ONE)
    .leaves(1, 0)
}

fn repeated_init(family: Family, world: &World) -> Case {
    let talk = world.sctp(family);
    let name =
        format!("{family:?}: a lost INIT is sent again, and one that is late undoes no INIT ACK");
    Case::new(name, &world.contents)
        .sent("the INIT", talk.request(&init()), Reason::ScheduledNewFlow)
        .after(3)
        .sent("again", talk.request(&init()), Reason::ForwardedToBackend)
        .sent(
            "the INIT ACK",
            talk.answer(&init_ack()),
            Reason::ForwardedToClient,
        )
        .sent(
            "the INIT, duplicated on its way",
            talk.request(&init()),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the COOKIE ECHO",
            talk.request(&cookie_echo()),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn new_attempt(family: Family, world: &World) -> Case {
    let talk = world.sctp(family);
    let second = Segment::sctp(0, &[Chunk::initiate(Chunk::INIT, 77, b"")]);
    let its_answer = Segment::sctp(77, &[Chunk::initiate(Chunk::INIT_ACK, 99, b"")]);
    let name = format!("{family:?}: an INIT with another tag starts the handshake again");
    Case::new(name, &world.contents)
        .sent("the INIT", talk.request(&init()), Reason::ScheduledNewFlow)
        .sent(
            "the INIT ACK",
            talk.answer(&init_ack()),
            Reason::ForwardedToClient,
        )
        .sent(
            "another INIT",
            talk.request(&second),
            Reason::ForwardedToBackend,
        )
        .stays(
            "the cookie of the first attempt",
            FRONT,
            talk.client_sends(&cookie_echo()),
            Reason::HandshakeMismatch,
        )
        .sent(
            "the second INIT ACK",
            talk.answer(&its_answer),
            Reason::ForwardedToClient,
        )
        .sent(
            "the second cookie",
            talk.request(&Segment::sctp(
                99,
                &[Chunk::new(Chunk::COOKIE_ECHO, b"second")],
            )),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
        .leaves(1, 0)
}

/// RFC 9260 §5.2.1.
fn collision(family: Family, world: &World) -> Case {
    let talk = world.sctp(family);
    let own = Segment::sctp(0, &[Chunk::initiate(Chunk::INIT, BACKEND, b"")]);
    let answer = Segment::sctp(
        BACKEND,
        &[Chunk::initiate(Chunk::INIT_ACK, CLIENT, b"cook")],
    );
    let name = format!("{family:?}: both ends open at once, and the client's answer counts");
    Case::new(name, &world.contents)
        .sent("the INIT", talk.request(&init()), Reason::ScheduledNewFlow)
        .sent(
            "the backend's own",
            talk.answer(&own),
            Reason::ForwardedToClient,
        )
        .sent(
            "the client's INIT ACK",
            talk.request(&answer),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the backend's cookie",
            talk.answer(&down(Chunk::COOKIE_ECHO)),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn unasked(family: Family, world: &World) -> Case {
    let talk = world.sctp(family);
    let name = format!("{family:?}: an INIT ACK to the VIP opens nothing");
    Case::new(name, &world.contents)
        .stays(
            "the INIT ACK",
            FRONT,
            talk.client_sends(&init_ack()),
            Reason::HandshakeMismatch,
        )
        .leaves(0, 0)
}

fn refused(family: Family, world: &World) -> Case {
    let talk = world.sctp(family);
    let name =
        format!("{family:?}: a refused association reaches the client, and the next attempt works");
    let case = Case::new(name, &world.contents)
        .sent("the INIT", talk.request(&init()), Reason::ScheduledNewFlow)
        .sent(
            "the ABORT",
            talk.answer(&down(Chunk::ABORT)),
            Reason::ForwardedToClient,
        );
    associated(case, &talk).counts(ONE).leaves(1, 0)
}

fn aborted(family: Family, world: &World) -> Case {
    let talk = world.sctp(family);
    let name =
        format!("{family:?}: data after an ABORT shows that nobody believed it; silence does not");
    associated(Case::new(name, &world.contents), &talk)
        .sent(
            "an ABORT with a reflected tag",
            talk.answer(&Segment::sctp(
                BACKEND,
                &[Chunk::new(Chunk::ABORT, b"").flags(1)],
            )),
            Reason::ForwardedToClient,
        )
        .sent(
            "data",
            talk.request(&up_data(b"still here")),
            Reason::ForwardedToBackend,
        )
        .after(60)
        .sent(
            "data a minute later",
            talk.request(&up_data(b"and now")),
            Reason::ForwardedToBackend,
        )
        .sent(
            "another ABORT",
            talk.request(&up(Chunk::ABORT)),
            Reason::ForwardedToBackend,
        )
        .after(11)
        .sent(
            "data too late",
            talk.request(&up_data(b"late")),
            Reason::PickedUpFlow,
        )
        .counts(REMOVED)
        .leaves(0, 1)
}

fn closed_by_backend(family: Family, world: &World) -> Case {
    let talk = world.sctp(family);
    let name = format!(
        "{family:?}: the backend shuts down, its SHUTDOWN behind a SACK; the flow is kept as a closed one"
    );
    let shutdown = Segment::sctp(
        CLIENT,
        &[
            Chunk::new(Chunk::SACK, &[0; 12]),
            Chunk::new(Chunk::SHUTDOWN, &[0; 4]),
        ],
    );
    associated(Case::new(name, &world.contents), &talk)
        .sent(
            "a SACK and the SHUTDOWN",
            talk.answer(&shutdown),
            Reason::ForwardedToClient,
        )
        .sent(
            "the SHUTDOWN ACK",
            talk.request(&up(Chunk::SHUTDOWN_ACK)),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the SHUTDOWN COMPLETE",
            talk.answer(&down(Chunk::SHUTDOWN_COMPLETE)),
            Reason::ForwardedToClient,
        )
        // Longer than a closed flow is kept, shorter than a half-closed one.
        .after(20)
        .stays(
            "a stray packet",
            BACK,
            talk.backend_sends(&down_data(b"stray")),
            Reason::NotOurs,
        )
        .counts(REMOVED)
        .leaves(0, 0)
}

fn forgotten(family: Family, world: &World) -> Case {
    let talk = world.sctp(family);
    let name = format!("{family:?}: an idle association is forgotten as an idle connection is");
    associated(Case::new(name, &world.contents), &talk)
        .after(7199)
        .sent(
            "data in time",
            talk.request(&up_data(b"data")),
            Reason::ForwardedToBackend,
        )
        .after(7201)
        .sent(
            "data too late",
            talk.request(&up_data(b"data")),
            Reason::PickedUpFlow,
        )
        .counts(REMOVED)
        .leaves(0, 1)
}

fn opened_again(family: Family, world: &World) -> Case {
    let talk = world.sctp(family);
    let name = format!("{family:?}: after a SHUTDOWN the client opens anew, from the same port");
    let case = associated(Case::new(name, &world.contents), &talk).sent(
        "the SHUTDOWN",
        talk.request(&up(Chunk::SHUTDOWN)),
        Reason::ForwardedToBackend,
    );
    associated(case, &talk)
        .counts(TableCounters {
            inserted: 2,
            removed: 1,
            ..ONE
        })
        .leaves(1, 0)
}

/// RFC 9260 §5.2.2: the backend judges, and answers with its own tags.
fn restarted(family: Family, world: &World) -> Case {
    let talk = world.sctp(family);
    let again = Segment::sctp(0, &[Chunk::initiate(Chunk::INIT, 7, b"")]);
    let answer = Segment::sctp(7, &[Chunk::initiate(Chunk::INIT_ACK, BACKEND, b"tie tags")]);
    let name = format!("{family:?}: an endpoint that restarted finds its backend again");
    associated(Case::new(name, &world.contents), &talk)
        .sent(
            "an INIT on a living association",
            talk.request(&again),
            Reason::ForwardedToBackend,
        )
        .sent(
            "its answer",
            talk.answer(&answer),
            Reason::ForwardedToClient,
        )
        .sent(
            "the cookie",
            talk.request(&cookie_echo()),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn picked_up(family: Family, world: &World) -> Case {
    let talk = world.sctp(family);
    let name = format!("{family:?}: an association is picked up in the middle once it is answered");
    Case::new(name, &world.contents)
        .sent(
            "data",
            talk.request(&up_data(b"data")),
            Reason::PickedUpFlow,
        )
        .sent(
            "a SACK",
            talk.answer(&down(Chunk::SACK)),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
        .leaves(1, 0)
}

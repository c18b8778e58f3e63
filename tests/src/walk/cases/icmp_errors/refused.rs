//! ICMP errors that are not translated.

use adc_common::abi::{Protocol, Reason};

use super::{
    super::{ONE, answer, established, request},
    TTL, WHOLE, about_answer, about_request, router, unreachable,
};
use crate::{
    packets::{IcmpError, split},
    walk::{BACK, Case, FRONT, Family, Talk, World},
};

pub(super) fn cases(family: Family, world: &World) -> Vec<Case> {
    vec![
        untracked(family, world),
        malformed(family, world),
        about_a_range(family, world),
        misdirected(family, world),
        last_hop(family, world),
    ]
}

fn untracked(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let error = unreachable(family);
    let down = answer("PA", 0);
    let outside = router(family, false);
    let mut elsewhere = talk.clone();
    elsewhere.vip.set_port(22);
    let frame = |talk: &Talk| about_answer(talk, outside, &error, &down, WHOLE).frame;
    let mut own = talk.clone();
    own.vip = router(family, true);
    own.vip.set_port(80);
    let name =
        format!("{family:?}: errors about no flow: dropped if about a service, else the kernel's");
    Case::new(name, &world.contents)
        .stays(
            "about the service",
            FRONT,
            frame(&talk),
            Reason::IcmpErrorUntracked,
        )
        .stays(
            "about sshd on the VIP",
            FRONT,
            frame(&elsewhere),
            Reason::OtherProtocol,
        )
        .stays(
            "about the node's own connection",
            FRONT,
            frame(&own),
            Reason::OtherProtocol,
        )
        .stays(
            "about a flow of a backend that is not ours",
            BACK,
            about_request(&talk, outside, &error, &request("A", 0), WHOLE).frame,
            Reason::OtherProtocol,
        )
        .leaves(0, 0)
}

fn about_a_range(family: Family, world: &World) -> Case {
    let mut world = world.clone();
    let mut talk = world.tcp(family);
    let vip = talk.vip.ip();
    world.contents.range(vip, (5000, 5100), Protocol::TCP);
    let error = unreachable(family);
    let down = answer("PA", 0);
    let name = format!("{family:?}: errors about no flow of a range, and beside it");
    let mut case = Case::new(name, &world.contents);
    for (what, port, reason) in [
        ("about the first port", 5000, Reason::IcmpErrorUntracked),
        ("about the last port", 5100, Reason::IcmpErrorUntracked),
        ("about the port before", 4999, Reason::OtherProtocol),
        ("about the port after", 5101, Reason::OtherProtocol),
        ("about port 0", 0, Reason::OtherProtocol),
    ] {
        talk.vip.set_port(port);
        let frame = about_answer(&talk, router(family, false), &error, &down, WHOLE).frame;
        case = case.stays(what, FRONT, frame, reason);
    }
    case.leaves(0, 0)
}

fn malformed(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: an error that quotes nonsense");
    let mut case = established(Case::new(name, &world.contents), &talk);
    let whole = talk
        .client_link
        .outgoing(talk.vip, talk.client)
        .frame(&answer("PA", 0).data(&[0; 60]));
    let envelope = talk.client_link.incoming(router(family, false), talk.vip);
    let error = unreachable(family).about(&whole, WHOLE);
    let with = |at: usize, byte: u8| {
        let mut error = error.clone();
        error.quote[at] = byte;
        error.frame(&envelope, TTL)
    };
    let bad = Reason::BadIcmpError;
    case = case.stays("another version", FRONT, with(0, 0x55), bad);
    case = match family {
        Family::V4 => case
            .stays("an IHL of 4", FRONT, with(0, 0x44), bad)
            .stays(
                "an IHL past the quote",
                FRONT,
                {
                    let mut short = error.clone();
                    short.quote.truncate(40);
                    short.quote[0] = 0x4f;
                    short.frame(&envelope, TTL)
                },
                bad,
            )
            .stays(
                "a later fragment",
                FRONT,
                with(7, 9),
                Reason::IcmpErrorAboutFragment,
            )
            .stays(
                "another protocol",
                FRONT,
                with(9, 47),
                Reason::OtherProtocol,
            )
            .stays(
                "source quench",
                FRONT,
                {
                    IcmpError::new(4, 0)
                        .about(&whole, WHOLE)
                        .frame(&envelope, TTL)
                },
                Reason::OtherProtocol,
            ),
        Family::V6 => case
            .stays("headers without end", FRONT, with(6, 60), bad)
            .stays(
                "another protocol",
                FRONT,
                with(6, 47),
                Reason::OtherProtocol,
            )
            .stays(
                "a later fragment",
                FRONT,
                {
                    let split = split(&whole, 40, 5);
                    unreachable(family)
                        .about(&split[1], WHOLE)
                        .frame(&envelope, TTL)
                },
                Reason::IcmpErrorAboutFragment,
            ),
    };
    case.counts(ONE).leaves(1, 0)
}

/// RFC 5927 §4.1: an error comes to whoever sent what it quotes.
fn misdirected(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: an error that quotes a packet of somebody else's was made up");
    let quoted = talk
        .client_link
        .outgoing(talk.vip, talk.client)
        .frame(&answer("PA", 0));
    let elsewhere = router(family, true);
    let error = unreachable(family).about(&quoted, WHOLE);
    let frame = error.frame(
        &talk.client_link.incoming(router(family, false), elsewhere),
        TTL,
    );
    established(Case::new(name, &world.contents), &talk)
        .stays("not to the VIP", FRONT, frame, Reason::BadIcmpError)
        .counts(ONE)
        .leaves(1, 0)
}

fn last_hop(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: an error whose TTL ends here goes no further");
    let quoted = talk
        .client_link
        .outgoing(talk.vip, talk.client)
        .frame(&answer("PA", 0));
    let error = unreachable(family).about(&quoted, WHOLE);
    let frame = error.frame(
        &talk.client_link.incoming(router(family, false), talk.vip),
        1,
    );
    established(Case::new(name, &world.contents), &talk)
        .stays("TTL 1", FRONT, frame, Reason::TtlExceeded)
        .counts(ONE)
}

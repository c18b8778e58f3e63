//! Backends that are down, in pools that do not keep their flows.

use std::net::SocketAddr;

use adc_common::abi::{BackendFlags, Protocol, Reason, TableCounters};

use super::{BACKEND, CLIENT, ONE, answer, established, request, syn, syn_ack};
use crate::{
    packets::{Extension, Segment, Tag, Transport, ip_offset},
    walk::{BACK, Case, Contents, Crossing, Exit, FRONT, Family, Link, Talk, World},
};

const REMOVED: TableCounters = TableCounters { removed: 1, ..ONE };

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![reset_across_families()];
    for family in Family::BOTH {
        cases.extend([
            reset_both_ends(family),
            reset_bare(family),
            reset_through_tags(family),
            reset_during_handshake(family),
            reset_then_new_connection(family),
            up_again(family),
            reselect_tcp(family),
            reselect_without_anybody(family),
        ]);
        for flags in [BackendFlags::DOWN_RESET, BackendFlags::DOWN_RESELECT] {
            cases.push(datagrams_move(family, flags));
        }
    }
    cases
}

/// A service whose backend fails, and one that takes over.
pub(super) struct Failure {
    pub(super) before: Contents,
    pub(super) after: Contents,
    pub(super) talk: Talk,
    pub(super) spare: Talk,
}

pub(super) fn failure(world: &World, talk: Talk, flags: BackendFlags) -> Failure {
    let spare_address = match talk.backend {
        SocketAddr::V4(_) => "10.20.0.2",
        SocketAddr::V6(_) => "fd00:20::2",
    };
    let mut spare = talk.clone();
    spare
        .backend
        .set_ip(spare_address.parse().expect("an address"));
    let mut before = world.contents.clone();
    let (id, entry) = before
        .backends
        .iter()
        .find(|(_, entry)| SocketAddr::new(entry.address.into(), entry.port.host()) == talk.backend)
        .map(|(id, entry)| (*id, *entry))
        .expect("the talk's backend");
    let mut after = before.clone();
    for contents in [&mut before, &mut after] {
        let spare = contents.backend(entry.service, spare.backend, &world.backend_link);
        contents.rings.insert(entry.service, vec![id]);
        assert_ne!(spare, id);
    }
    let spare_id = *after.backends.keys().last().expect("a backend");
    after.rings.insert(entry.service, vec![spare_id]);
    let down = after.backends.get_mut(&id).expect("the backend");
    down.flags = down.flags.with(flags, true);
    Failure {
        before,
        after,
        talk,
        spare,
    }
}

fn tcp(family: Family, flags: BackendFlags) -> Failure {
    let world = World::two_arm();
    failure(&world, world.tcp(family), flags)
}

impl Failure {
    fn established(&self, name: String) -> Case {
        established(Case::new(name, &self.before), &self.talk).reload(&self.after)
    }

    /// The client's segment, answered with a RST.
    fn client_reset(&self, segment: &Segment, seq: u32) -> Crossing {
        let Talk {
            client_link,
            client,
            vip,
            ..
        } = &self.talk;
        let frame = self.talk.client_sends(segment);
        turned(client_link, frame, *vip, *client, seq)
    }

    /// The backend's segment, answered with a RST.
    fn backend_reset(&self, segment: &Segment, seq: u32) -> Crossing {
        let Talk {
            backend_link,
            backend,
            seen_as,
            ..
        } = &self.talk;
        let frame = self.talk.backend_sends(segment);
        turned(backend_link, frame, *seen_as, *backend, seq)
    }
}

/// The RST that goes back by the way the segment came: no options, no payload, nothing of the segment's IP header.
fn turned(link: &Link, frame: Vec<u8>, from: SocketAddr, to: SocketAddr, seq: u32) -> Crossing {
    let mut rst = Segment::tcp("R", seq, 0);
    rst.id = 0;
    if let Transport::Tcp(header) = &mut rst.transport {
        header.window_size = 0;
    }
    let mut out = link.outgoing(from, to).frame(&rst);
    if from.is_ipv6() {
        let ip = ip_offset(&out);
        out[ip..ip + 4].copy_from_slice(&[0x60, 0, 0, 0]);
    }
    Crossing {
        by: link.interface,
        frame,
        exit: Exit::Transmit,
        via: link.interface,
        out,
    }
}

fn reset_both_ends(family: Family) -> Case {
    let failure = tcp(family, BackendFlags::DOWN_RESET);
    failure
        .established(format!(
            "{family:?}: reset: each end gets a RST with the number that it expects next"
        ))
        .sent(
            "the client's data",
            failure.client_reset(&request("PA", 0).data(b"GET / HTTP/1.1"), BACKEND + 1),
            Reason::BackendDownReset,
        )
        .sent(
            "data of the backend, which lives after all",
            failure.backend_reset(&answer("PA", 0).data(b"late"), CLIENT.wrapping_add(1)),
            Reason::BackendDownReset,
        )
        .sent(
            "the client again, which lost the RST",
            failure.client_reset(&request("A", 14), BACKEND + 1),
            Reason::BackendDownReset,
        )
        .sent(
            "its FIN",
            failure.client_reset(&request("FA", 14), BACKEND + 1),
            Reason::BackendDownReset,
        )
        .stays(
            "a RST, which nobody answers",
            FRONT,
            failure.talk.client_sends(&request("R", 14)),
            Reason::BackendDown,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn reset_across_families() -> Case {
    let world = World::two_arm().with_full_nat();
    let failure = failure(&world, world.nat64(Protocol::TCP), BackendFlags::DOWN_RESET);
    failure
        .established("NAT64: reset: the client gets an IPv6 RST, the backend an IPv4 one".into())
        .sent(
            "the client's data",
            failure.client_reset(&request("PA", 0).data(b"GET / HTTP/1.1"), BACKEND + 1),
            Reason::BackendDownReset,
        )
        .sent(
            "the backend's data",
            failure.backend_reset(&answer("PA", 0).data(b"late"), CLIENT.wrapping_add(1)),
            Reason::BackendDownReset,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn reset_bare(family: Family) -> Case {
    let failure = tcp(family, BackendFlags::DOWN_RESET);
    let options = [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0];
    let mut data = request("PA", 0)
        .data(b"what the client said")
        .tcp_options(&options)
        .padded(7);
    match family {
        Family::V4 => data = data.options(&[1; 8]),
        Family::V6 => data = data.extensions(&[Extension::new(Extension::HOP_BY_HOP, 16)]),
    }
    failure
        .established(format!(
            "{family:?}: reset: the RST has no options, headers, data or padding of what it answers"
        ))
        .sent(
            "data with all of it",
            failure.client_reset(&data, BACKEND + 1),
            Reason::BackendDownReset,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn reset_through_tags(family: Family) -> Case {
    let front = Link::new(FRONT, 0xfe).tagged(&[Tag::service(3), Tag::customer(8)]);
    let world = World::new(front, Link::new(BACK, 10));
    let failure = failure(&world, world.tcp(family), BackendFlags::DOWN_RESET);
    failure
        .established(format!(
            "{family:?}: reset: the RST goes back with the tags that the segment came with"
        ))
        .sent(
            "an ACK",
            failure.client_reset(&request("A", 0), BACKEND + 1),
            Reason::BackendDownReset,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn reset_during_handshake(family: Family) -> Case {
    let failure = tcp(family, BackendFlags::DOWN_RESET);
    let talk = &failure.talk;
    let name = format!("{family:?}: reset: the ACK that completes a handshake is answered too");
    Case::new(name, &failure.before)
        .sent("the SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .sent(
            "the SYN-ACK",
            talk.answer(&syn_ack()),
            Reason::ForwardedToClient,
        )
        .reload(&failure.after)
        .sent(
            "the ACK",
            failure.client_reset(&request("A", 0), BACKEND + 1),
            Reason::BackendDownReset,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn reset_then_new_connection(family: Family) -> Case {
    let failure = tcp(family, BackendFlags::DOWN_RESET);
    failure
        .established(format!(
            "{family:?}: reset: the client's new connection from the same port goes to another backend"
        ))
        .sent(
            "data",
            failure.client_reset(&request("PA", 0).data(b"x"), BACKEND + 1),
            Reason::BackendDownReset,
        )
        .sent(
            "a new SYN",
            failure.spare.request(&syn()),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "its SYN-ACK",
            failure.spare.answer(&syn_ack()),
            Reason::ForwardedToClient,
        )
        .counts(REMOVED)
        .leaves(0, 1)
}

fn up_again(family: Family) -> Case {
    let failure = tcp(family, BackendFlags::DOWN_RESET);
    failure
        .established(format!(
            "{family:?}: reset: what nobody asked for while the backend was down goes on when it is up"
        ))
        .reload(&failure.before)
        .sent(
            "data",
            failure.talk.request(&request("PA", 0).data(b"x")),
            Reason::ForwardedToBackend,
        )
        .sent(
            "its ACK",
            failure.talk.answer(&answer("A", 0)),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn reselect_tcp(family: Family) -> Case {
    let failure = tcp(family, BackendFlags::DOWN_RESELECT);
    let rst = Segment::tcp("R", BACKEND + 1, 0);
    failure
        .established(format!(
            "{family:?}: reselect: a segment goes to another backend as one of an unknown connection does"
        ))
        .sent(
            "data",
            failure.spare.request(&request("PA", 0).data(b"x")),
            Reason::PickedUpFlow,
        )
        .sent(
            "the RST of a backend that knows nothing of it",
            failure.spare.answer(&rst),
            Reason::ForwardedToClient,
        )
        .counts(REMOVED)
        .leaves(0, 1)
}

fn reselect_without_anybody(family: Family) -> Case {
    let mut failure = tcp(family, BackendFlags::DOWN_RESELECT);
    for ring in failure.after.rings.values_mut() {
        ring.clear();
    }
    let data = request("PA", 0).data(b"x");
    failure
        .established(format!(
            "{family:?}: reselect: with nobody left the client may try again"
        ))
        .stays(
            "data",
            FRONT,
            failure.talk.client_sends(&data),
            Reason::NoBackend,
        )
        .reload(&failure.before)
        .sent(
            "data again, with the backend up",
            failure.talk.request(&data),
            Reason::PickedUpFlow,
        )
        .counts(REMOVED)
        .leaves(0, 1)
}

fn datagrams_move(family: Family, flags: BackendFlags) -> Case {
    let world = World::two_arm();
    let failure = failure(&world, world.talk(family, Protocol::UDP), flags);
    let Failure { talk, spare, .. } = &failure;
    let what = if flags == BackendFlags::DOWN_RESET {
        "reset"
    } else {
        "reselect"
    };
    let name = format!("{family:?}: {what}: the next datagram of a client opens a flow elsewhere");
    Case::new(name, &failure.before)
        .sent(
            "a question",
            talk.request(&Segment::udp(b"question")),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "its answer",
            talk.answer(&Segment::udp(b"answer")),
            Reason::ForwardedToClient,
        )
        .reload(&failure.after)
        .sent(
            "a late answer",
            talk.answer(&Segment::udp(b"late")),
            Reason::ForwardedToClient,
        )
        .sent(
            "the next question",
            spare.request(&Segment::udp(b"next")),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "its answer from elsewhere",
            spare.answer(&Segment::udp(b"answer")),
            Reason::ForwardedToClient,
        )
        .stays(
            "an answer that is too late",
            BACK,
            talk.backend_sends(&Segment::udp(b"too late")),
            Reason::NotOurs,
        )
        .counts(TableCounters {
            inserted: 2,
            removed: 1,
            ..ONE
        })
        .leaves(1, 0)
}

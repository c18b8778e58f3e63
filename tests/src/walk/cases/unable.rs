//! Packets that are ours and can not be delivered.

use adc_common::abi::{
    BackendEntry, BackendFlags, BackendId, InterfaceId, Reason, ServiceId, TableCounters,
};
use bytemuck::Zeroable as _;

use super::{ONE, answer, established, request, syn};
use crate::{
    packets::Segment,
    walk::{BACK, Case, Family, Talk, World},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for family in Family::BOTH {
        let world = World::two_arm();
        let talk = world.tcp(family);
        cases.extend([
            no_backend(family, &world, &talk),
            unresolved(family, &world, &talk),
            unset(family, &world, &talk),
            resolved_again(family, &world, &talk),
            not_attached(family, &world, &talk),
            detached(family, &world, &talk),
            dead_while_connecting(family),
            dead_udp(family),
        ]);
    }
    cases
}

/// Changes every backend of a world.
fn backends(world: &World, change: impl Fn(&mut BackendEntry)) -> World {
    let mut world = world.clone();
    world.contents.backends.values_mut().for_each(change);
    world
}

fn dropped(case: Case, what: &'static str, talk: &Talk, segment: &Segment, reason: Reason) -> Case {
    case.stays(
        what,
        talk.client_link.interface,
        talk.client_sends(segment),
        reason,
    )
}

fn no_backend(family: Family, world: &World, talk: &Talk) -> Case {
    let mut empty = world.clone();
    empty.contents.rings.values_mut().for_each(Vec::clear);
    let udp = world.udp(family);
    let name = format!("{family:?}: a service without backends drops new flows and keeps old ones");
    let mut case = Case::new(name, &empty.contents);
    case = dropped(case, "a SYN", talk, &syn(), Reason::NoBackend);
    case = dropped(case, "an ACK", talk, &request("A", 0), Reason::NoBackend);
    case = dropped(
        case,
        "a datagram",
        &udp,
        &Segment::udp(b""),
        Reason::NoBackend,
    );
    established(case.reload(&world.contents), talk)
        .reload(&empty.contents)
        .sent(
            "an established flow",
            talk.request(&request("PA", 0).data(b"x")),
            Reason::ForwardedToBackend,
        )
        .sent(
            "its answer",
            talk.answer(&answer("PA", 0).data(b"y")),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn unresolved(family: Family, world: &World, talk: &Talk) -> Case {
    let lost = backends(world, |backend| backend.flags = BackendFlags(0));
    let name = format!("{family:?}: a backend whose next hop is unknown gets nothing");
    let case = Case::new(name, &lost.contents);
    dropped(case, "a SYN", talk, &syn(), Reason::NextHopUnresolved)
        .counts(TableCounters::default())
        .leaves(0, 0)
}

fn resolved_again(family: Family, world: &World, talk: &Talk) -> Case {
    let lost = backends(world, |backend| backend.flags = BackendFlags(0));
    let moved = {
        let mut moved = world.clone();
        moved.backend_link.far = crate::packets::MacAddress::local(2, 99);
        let hop = moved.backend_link.hop();
        backends(&moved, |backend| backend.hop = hop)
    };
    let there = moved.tcp(family);
    let name = format!("{family:?}: an established flow follows its backend's next hop");
    let case = established(Case::new(name, &world.contents), talk).reload(&lost.contents);
    dropped(
        case,
        "while it is unknown",
        talk,
        &request("A", 0),
        Reason::NextHopUnresolved,
    )
    .sent(
        "answers need none",
        talk.answer(&answer("PA", 0).data(b"y")),
        Reason::ForwardedToClient,
    )
    .reload(&moved.contents)
    .sent(
        "to the new one",
        there.request(&request("PA", 0).data(b"x")),
        Reason::ForwardedToBackend,
    )
    .counts(ONE)
    .leaves(1, 0)
}

fn unset(family: Family, world: &World, talk: &Talk) -> Case {
    let mut gone = world.clone();
    gone.contents.backends.clear();
    let name = format!("{family:?}: a backend that is not in the table is an error, and counted");
    let case = Case::new(name, &gone.contents);
    let case = dropped(case, "a SYN", talk, &syn(), Reason::BackendUnset);
    let case = established(case.reload(&world.contents), talk).reload(&gone.contents);
    dropped(
        case,
        "an established flow",
        talk,
        &request("A", 0),
        Reason::BackendUnset,
    )
    .counts(ONE)
}

fn not_attached(family: Family, world: &World, talk: &Talk) -> Case {
    let name =
        format!("{family:?}: a new flow from an interface we are not attached to is dropped");
    Case::new(name, &world.contents)
        .stays(
            "a SYN",
            InterfaceId(0),
            talk.client_sends(&syn()),
            Reason::InterfaceUnset,
        )
        .counts(TableCounters::default())
        .leaves(0, 0)
}

fn detached(family: Family, world: &World, talk: &Talk) -> Case {
    let mut detached = world.clone();
    detached.contents.interfaces.remove(&BACK);
    let name = format!("{family:?}: nothing leaves by an interface we are not attached to");
    let case = Case::new(name, &detached.contents);
    dropped(case, "a SYN", talk, &syn(), Reason::InterfaceUnset)
}

/// A world with a second backend for every service; the first is dead, as a monitor found: out of the ring, but
/// still in the table, for its established flows.
fn failed_over(family: Family, udp: bool) -> (World, World, Talk) {
    let before = World::two_arm();
    let mut after = before.clone();
    let (service, mut talk) = if udp {
        (before.udp(family).vip, before.udp(family))
    } else {
        (before.tcp(family).vip, before.tcp(family))
    };
    let service: ServiceId = *after
        .contents
        .index
        .iter()
        .find(|(key, id)| {
            std::net::IpAddr::from(key.vip) == service.ip()
                && key.port.host() == service.port()
                && id.0 != 0
        })
        .expect("the service")
        .1;
    let mut second = talk.backend;
    second.set_port(9999);
    let id = after
        .contents
        .backend(service, second, &before.backend_link);
    after.contents.rings.insert(service, vec![id]);
    debug_assert_ne!(id, BackendId::zeroed());
    talk.backend = second;
    (before, after, talk)
}

fn dead_while_connecting(family: Family) -> Case {
    let (before, after, second) = failed_over(family, false);
    let first = before.tcp(family);
    let name = format!(
        "{family:?}: a SYN that its backend never answered is scheduled anew when the backend has died"
    );
    Case::new(name, &before.contents)
        .sent("the SYN", first.request(&syn()), Reason::ScheduledNewFlow)
        .reload(&after.contents)
        .after(1)
        .sent(
            "the SYN again",
            second.request(&syn()),
            Reason::ScheduledNewFlow,
        )
        .leaves(0, 1)
}

fn dead_udp(family: Family) -> Case {
    let (before, after, second) = failed_over(family, true);
    let first = before.udp(family);
    let name = format!(
        "{family:?}: datagrams that nobody answers go to another backend when theirs has died"
    );
    Case::new(name, &before.contents)
        .sent(
            "a log line",
            first.request(&Segment::udp(b"log line")),
            Reason::ScheduledNewFlow,
        )
        .reload(&after.contents)
        .after(1)
        .sent(
            "the next",
            second.request(&Segment::udp(b"log line")),
            Reason::ScheduledNewFlow,
        )
        .leaves(0, 1)
}

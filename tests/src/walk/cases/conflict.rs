//! New flows of mode `nat` whose answers would look like those of others.

use adc_common::abi::{HashOn, Reason, ServiceId};

use super::syn;
use crate::walk::{Case, FRONT, Family, HostWalk, Talk, Walk as _, World};

/// Client ports that are tried, the client's own first.
const ATTEMPTS: u16 = 4;
/// Ports of the VIP that all become one of the backend.
const FIRST: u16 = 5001;

pub(super) fn cases() -> Vec<Case> {
    Family::BOTH.into_iter().map(exhausted).collect()
}

/// One client port at more ports of a range than there are ports to try. What is tried follows from the flow's hash; one that
/// sees only the client's address gives all of them the same.
fn exhausted(family: Family) -> Case {
    let mut world = World::two_arm();
    let talk = world.tcp(family);
    let protocol = adc_common::abi::Protocol::TCP;
    let range = (FIRST, FIRST + 99);
    let service = world.contents.range(talk.vip.ip(), range, protocol);
    let link = world.backend_link.clone();
    world.contents.backend(service, talk.backend, &link);
    hash_on_source(&mut world, service);
    let at = |n: u16| {
        let mut other = talk.clone();
        other.vip.set_port(FIRST + n);
        other
    };
    let name = format!(
        "{family:?}: a client port that is taken gets three others, and is refused when they are taken too"
    );
    let mut case = Case::new(name, &world.contents);
    let mut host = HostWalk::default();
    host.pour(&world.contents);
    for n in 0..ATTEMPTS {
        let seen = as_seen(&mut host, &at(n));
        case = case.sent("a SYN", seen.request(&syn()), Reason::ScheduledNewFlow);
    }
    let late = at(ATTEMPTS);
    let refused = late.client_sends(&syn());
    case.stays(
        "one too many",
        FRONT,
        refused.clone(),
        Reason::TupleConflict,
    )
    .stays("and again", FRONT, refused, Reason::TupleConflict)
    .after(21)
    .sent(
        "when the others have given up: its own port",
        late.request(&syn()),
        Reason::ScheduledNewFlow,
    )
}

fn hash_on_source(world: &mut World, service: ServiceId) {
    let entry = world.contents.services.get_mut(&service);
    entry.expect("the service").hash_on = HashOn::SOURCE;
}

/// The same talk with the port that the backend sees, which the walk on the host tells.
fn as_seen(host: &mut HostWalk, talk: &Talk) -> Talk {
    let crossing = talk.request(&syn());
    let arrival = host.arrive(&crossing.frame, crossing.by);
    let frame = arrival.expect("a whole frame").frame;
    let (from, _, _) = adc_userspace::explain::tuple_of(&frame).expect("a TCP segment");
    let mut seen = talk.clone();
    seen.seen_as.set_port(from.port());
    seen
}

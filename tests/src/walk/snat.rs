//! How far the ports of local addresses go. Run on the host and in the kernel.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};

use adc_common::abi::{Protocol, Reason};

use super::{Exit, LOCAL4, Talk, Walk, World, traffic::Dice};
use crate::packets::{Segment, ip_offset, transport_offset};

/// One SYN of client `n`; the local address and port that the backend sees, or `None` if it sees nothing.
fn opens(place: &mut dyn Walk, talk: &Talk) -> Option<(IpAddr, u16)> {
    let crossing = talk.request(&Segment::tcp("S", 100, 0));
    let arrival = place
        .arrive(&crossing.frame, crossing.by)
        .expect("a whole frame");
    if arrival.exit == Exit::Drop {
        return None;
    }
    assert_eq!(arrival.exit, crossing.exit);
    let source = ip_offset(&arrival.frame) + 12;
    let [a, b, c, d] = [0, 1, 2, 3].map(|n| arrival.frame[source + n]);
    let at = transport_offset(&arrival.frame);
    let port = u16::from_be_bytes([arrival.frame[at], arrival.frame[at + 1]]);
    Some(([a, b, c, d].into(), port))
}

/// The rest of a handshake.
fn establishes(place: &mut dyn Walk, talk: &Talk) {
    for crossing in [
        talk.answer(&Segment::tcp("SA", 900, 101)),
        talk.request(&Segment::tcp("A", 101, 901)),
    ] {
        let arrival = place
            .arrive(&crossing.frame, crossing.by)
            .expect("a whole frame");
        assert!(
            arrival.frame == crossing.out,
            "{:?} to {:?}",
            talk.client,
            talk.seen_as
        );
    }
}

/// Client `n` of many: ports as Linux picks them, from a range of its own.
fn client(dice: &mut Dice, n: u32) -> SocketAddr {
    let [_, a, b, c] = n.to_be_bytes();
    SocketAddr::new([198, 18 + a, b, c].into(), 32_768 + dice.below(28_232_u16))
}

/// As many flows as ever wanted to one backend, through one local address, all established at once.
///
/// # Panics
/// If one finds no port, or has to share it.
pub fn flows_of_one_address(place: &mut dyn Walk, flows: u32) {
    let world = World::two_arm().with_full_nat();
    let mut talk = world.talk(super::Family::V4, Protocol::TCP);
    place.pour(&world.contents);
    let mut dice = Dice::new(7);
    let mut ports = HashSet::new();
    let mut kept = 0;
    for n in 0..flows {
        talk.client = client(&mut dice, n);
        let found = opens(place, &talk);
        let Some((address, port)) = found else {
            panic!("no port for flow {n}: {:?}", place.counters().reasons);
        };
        assert_eq!(address, LOCAL4);
        assert!(ports.insert(port), "port {port} twice");
        kept += u32::from(port == talk.client.port());
        talk.seen_as.set_port(port);
        establishes(place, &talk);
    }
    // Of random ports out of 28 232, as many are distinct as expected: (1 - 1/28232)^flows of the range stay unused.
    assert!(kept > flows / 4, "only {kept} ports were kept");
}

/// Every port of one local address: then the reason is counted, and a port that is given back is found again.
///
/// # Panics
/// If not.
pub fn exhaustion_ends_when_a_flow_does(place: &mut dyn Walk) {
    let world = World::two_arm().with_full_nat();
    let mut talk = world.talk(super::Family::V4, Protocol::TCP);
    place.pour(&world.contents);
    let before = place.counters();
    let mut dice = Dice::new(8);
    let mut n = 0;
    // The last ports are found by and by: a client that gets nothing asks again.
    let mut refused_in_a_row = 0_u32;
    let mut taken = Vec::new();
    while refused_in_a_row < 64_512 / 31 + 1 {
        talk.client = client(&mut dice, n);
        n += 1;
        match opens(place, &talk) {
            None => refused_in_a_row += 1,
            Some((_, port)) => {
                refused_in_a_row = 0;
                talk.seen_as.set_port(port);
                establishes(place, &talk);
                taken.push(talk.clone());
            }
        }
    }
    assert_eq!(taken.len(), 64_512, "every spare port is found");
    let counted = place.counters().since(&before);
    let refused = counted.reasons[Reason::SnatExhausted.name()].packets;
    assert!(refused >= u64::from(refused_in_a_row));
    let of_backends: u64 = counted.backends.values().map(|b| b.snat_exhausted).sum();
    assert_eq!(of_backends, refused);
    // One ends; its port is free once the flow is forgotten.
    let ended = &taken[taken.len() / 2];
    let reset = ended.request(&Segment::tcp("R", 101, 0));
    let arrival = place.arrive(&reset.frame, reset.by).expect("a whole frame");
    assert_eq!(arrival.exit, reset.exit);
    place.age(11);
    let port = ended.seen_as.port();
    talk.client = SocketAddr::new([198, 51, 100, 1].into(), port);
    assert_eq!(opens(place, &talk), Some((LOCAL4, port)));
}

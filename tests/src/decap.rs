//! What the decapsulator must do with which frame, on the host and in the kernel.

use std::net::SocketAddr;

use adc_common::abi::DecapOutcome;

use crate::{
    packets::{Envelope, MacAddress, Outer, Segment, Tag, complaint, ip_offset, set_byte, wrapped},
    walk::{Family, Way},
};

/// MAC of the backend.
pub const OWN_MAC: MacAddress = MacAddress::local(2, 10);
/// Another one that it answers to.
pub const OTHER_MAC: MacAddress = MacAddress::local(2, 11);

/// One place where the decapsulator runs. It is told UDP port 6080, both MACs, and both VIPs of the frames that are sent.
pub trait Decap {
    /// For messages.
    fn name(&self) -> &'static str;

    /// One frame: what was done, and the frame then. `None` if the place can not take a frame so short.
    fn arrive(&mut self, frame: &[u8]) -> Option<(DecapOutcome, Vec<u8>)>;
}

/// VIPs that packets inside are for.
pub const VIPS: [&str; 2] = ["203.0.113.10", "2001:db8:f::10"];

/// A frame to `vip` as the balancer would send it without a tunnel.
fn frame(family: Family, tags: &[Tag], segment: &Segment, vip: &str) -> Vec<u8> {
    let address = |text: &str, port| SocketAddr::new(text.parse().expect("an address"), port);
    let client = match family {
        Family::V4 => "192.0.2.7",
        Family::V6 => "2001:db8:c::7",
    };
    Envelope {
        to_mac: OWN_MAC,
        from_mac: MacAddress::local(2, 1),
        tags: tags.to_vec(),
        from: address(client, 40_000),
        to: address(vip, 80),
    }
    .frame(segment)
}

fn vip(family: Family) -> &'static str {
    match family {
        Family::V4 => VIPS[0],
        Family::V6 => VIPS[1],
    }
}

fn request() -> Segment {
    Segment::tcp("PA", 1, 1).data(b"GET / HTTP/1.1\r\n")
}

fn tunnels() -> Vec<Outer> {
    let outers = Way::ALL.iter().filter_map(|way| way.outer(0x1234_5678));
    outers.collect()
}

fn expect(place: &mut dyn Decap, what: &str, frame: &[u8], outcome: DecapOutcome, out: &[u8]) {
    let Some((found, bytes)) = place.arrive(frame) else {
        return;
    };
    let name = place.name();
    assert_eq!(found, outcome, "{what} ({name})");
    assert!(
        bytes == out,
        "{what} ({name}): {bytes:02x?}\nshould be {out:02x?}"
    );
}

/// Every case.
///
/// # Panics
/// If one does not hold.
pub fn check(place: &mut dyn Decap) {
    for family in Family::BOTH {
        for outer in tunnels() {
            taken_out(place, family, &outer);
            left_alone(place, family, &outer);
            damaged(place, family, &outer);
            congested(place, family, &outer);
            addressed(place, family, &outer);
        }
    }
}

fn taken_out(place: &mut dyn Decap, family: Family, outer: &Outer) {
    let tags: [&[Tag]; 3] = [
        &[],
        &[Tag::customer(5).priority(3)],
        &[Tag::service(100), Tag::customer(200)],
    ];
    let segments = [
        request(),
        request().padded(9),
        Segment::udp(b"").without_checksum(),
        request().data(&[5; 1300]),
    ];
    for tags in tags {
        for segment in &segments {
            let inner = frame(family, tags, segment, vip(family));
            assert_eq!(complaint(&inner), None);
            let what = format!("{family:?} in {outer:?}, {} tags", tags.len());
            let whole = wrapped(&inner, outer);
            expect(place, &what, &whole, DecapOutcome::Decapsulated, &inner);
            // Cut inside, it is no packet any more.
            for length in 14..whole.len() - segment.padding {
                let cut = &whole[..length];
                expect(place, "cut", cut, DecapOutcome::NotTunnelled, cut);
            }
        }
    }
}

fn left_alone(place: &mut dyn Decap, family: Family, outer: &Outer) {
    let plain = frame(family, &[], &request(), vip(family));
    expect(
        place,
        "no tunnel",
        &plain,
        DecapOutcome::NotTunnelled,
        &plain,
    );
    let stranger = match family {
        Family::V4 => "203.0.113.11",
        Family::V6 => "2001:db8:f::11",
    };
    let other = wrapped(&frame(family, &[], &request(), stranger), outer);
    expect(place, "another VIP", &other, DecapOutcome::OtherVip, &other);
    let whole = wrapped(&plain, outer);
    let at = ip_offset(&whole);
    if outer.to.is_ipv4() {
        let first = set_byte(&whole, at + 6, 0x20);
        expect(
            place,
            "a first fragment",
            &first,
            DecapOutcome::OuterFragment,
            &first,
        );
    }
    if outer.port.is_some() {
        let payload = at + outer.overhead();
        let port = set_byte(&whole, payload - 5, 0xff);
        expect(
            place,
            "another port",
            &port,
            DecapOutcome::NotTunnelled,
            &port,
        );
        let variant = set_byte(&whole, payload, 0x00);
        expect(
            place,
            "GUE variant 0",
            &variant,
            DecapOutcome::NotTunnelled,
            &variant,
        );
    }
}

/// Headers inside that contradict the outside.
fn damaged(place: &mut dyn Decap, family: Family, outer: &Outer) {
    let whole = wrapped(&frame(family, &[], &request(), vip(family)), outer);
    let inner = ip_offset(&whole) + outer.overhead();
    let damage: &[(usize, u8)] = match family {
        Family::V4 => &[(0, 0x44), (2, 0xff), (3, 0x03)],
        Family::V6 => &[(4, 0xff)],
    };
    for (at, value) in damage {
        let bad = set_byte(&whole, inner + at, *value);
        expect(place, "damaged inside", &bad, DecapOutcome::Malformed, &bad);
    }
    if outer.port.is_none() {
        let bad = set_byte(&whole, inner, 0x95);
        expect(place, "of no version", &bad, DecapOutcome::Malformed, &bad);
    }
}

/// A router on the way marked the outer header.
fn congested(place: &mut dyn Decap, family: Family, outer: &Outer) {
    let inside = |ecn: u8| frame(family, &[], &request().class(0xb8 | ecn), vip(family));
    for (ecn, outcome) in [
        (0, DecapOutcome::Congestion),
        (1, DecapOutcome::Decapsulated),
        (2, DecapOutcome::Decapsulated),
        (3, DecapOutcome::Decapsulated),
    ] {
        // The tunnel copies the ECN field; so what is inside is put there afterwards.
        let mut marked = wrapped(&inside(3), outer);
        let inner = ip_offset(&marked) + outer.overhead();
        let original = inside(ecn);
        let length = original.len() - 14;
        marked[inner..inner + length].copy_from_slice(&original[14..]);
        let out = if outcome == DecapOutcome::Decapsulated {
            inside(3)
        } else {
            marked.clone()
        };
        expect(
            place,
            &format!("congestion, ECN {ecn} inside"),
            &marked,
            outcome,
            &out,
        );
    }
}

/// Frames are for those whose MAC they name.
fn addressed(place: &mut dyn Decap, family: Family, outer: &Outer) {
    let plain = frame(family, &[], &request(), vip(family));
    let whole = wrapped(&plain, outer);
    let to = |frame: &[u8], mac: MacAddress| [&mac.0[..], &frame[6..]].concat();
    let (sent, inside) = (to(&whole, OTHER_MAC), to(&plain, OTHER_MAC));
    expect(
        place,
        "to its other MAC",
        &sent,
        DecapOutcome::Decapsulated,
        &inside,
    );
    for mac in [MacAddress::local(2, 12), MacAddress([0xff; 6])] {
        let stray = to(&whole, mac);
        expect(
            place,
            "to another MAC",
            &stray,
            DecapOutcome::OtherHost,
            &stray,
        );
    }
}

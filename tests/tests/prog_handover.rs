//! While flows move between layouts, each packet goes to the program that holds its flow.

use std::net::SocketAddr;

use adc_common::abi::{Addr4, Addr6, FlowKey, Port, Protocol, Tuple};
use adc_tests::{
    packets::{Envelope, Extension, MacAddress, Segment, Tag, arp},
    program::{
        Limits, Program,
        handover::{Between, Kept},
    },
    require,
};

const LIMITS: Limits = Limits {
    flows: 16,
    half_open: 16,
};

/// The program in between, and the two behind it, each with maps of its own.
struct Bench {
    between: Between,
    earlier: Program,
    own: Program,
}

/// Who counted a packet.
#[derive(Debug, PartialEq)]
enum Seen {
    Earlier,
    Own,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            between: Between::load(),
            earlier: Program::load(LIMITS),
            own: Program::load(LIMITS),
        };
        bench.between.before(&mut bench.earlier);
        bench
    }

    /// Which of the two programs got the frame.
    fn run(&mut self, frame: &[u8]) -> Seen {
        let before = [packets(&self.earlier), packets(&self.own)];
        self.between.run(frame);
        let after = [packets(&self.earlier), packets(&self.own)];
        match [after[0] - before[0], after[1] - before[1]] {
            [1, 0] => Seen::Earlier,
            [0, 1] => Seen::Own,
            counted => panic!("a packet was counted {counted:?} times"),
        }
    }
}

fn packets(program: &Program) -> u64 {
    let counters = program.maps.counters();
    counters.reasons.values().map(|reason| reason.packets).sum()
}

fn envelope(from: &str, to: &str) -> Envelope {
    Envelope {
        to_mac: MacAddress([2, 0, 0, 0, 0, 1]),
        from_mac: MacAddress([2, 0, 0, 0, 0, 2]),
        tags: Vec::new(),
        from: from.parse().expect("an address"),
        to: to.parse().expect("an address"),
    }
}

fn tuple<A>(from: SocketAddr, to: SocketAddr, [src, dst]: [A; 2]) -> Tuple<A> {
    Tuple {
        src,
        dst,
        sport: Port(from.port().to_be_bytes()),
        dport: Port(to.port().to_be_bytes()),
    }
}

fn key4(envelope: &Envelope, protocol: Protocol) -> FlowKey<Addr4> {
    let ends = [envelope.from, envelope.to].map(|end| match end {
        SocketAddr::V4(end) => Addr4(end.ip().octets()),
        SocketAddr::V6(end) => panic!("{end}"),
    });
    FlowKey::new(tuple(envelope.from, envelope.to, ends), protocol)
}

/// Of IPv4 too, as the tables of IPv6 have it.
fn key6(envelope: &Envelope, protocol: Protocol) -> FlowKey<Addr6> {
    let ends = [envelope.from, envelope.to].map(|end| match end {
        SocketAddr::V4(end) => Addr6(end.ip().to_ipv6_mapped().octets()),
        SocketAddr::V6(end) => Addr6(end.ip().octets()),
    });
    FlowKey::new(tuple(envelope.from, envelope.to, ends), protocol)
}

#[test]
fn until_flows_are_switched_every_packet_is_the_earlier_programs() {
    require!(object, handover);
    let mut bench = Bench::new();
    let packet = envelope("192.0.2.1:4000", "198.51.100.1:80");
    assert_eq!(
        bench.run(&packet.frame(&Segment::tcp("S", 1, 0))),
        Seen::Earlier
    );
    assert_eq!(bench.run(&arp(&packet)), Seen::Earlier);
}

#[test]
fn a_packet_of_a_flow_that_was_not_moved_is_the_earlier_programs_and_any_other_ours() {
    require!(object, handover);
    let mut bench = Bench::new();
    let Bench { between, own, .. } = &mut bench;
    between.switch_to(own);
    let v4 = envelope("192.0.2.1:4000", "198.51.100.1:80");
    let half = envelope("192.0.2.2:4000", "198.51.100.1:80");
    let answer = envelope("10.2.0.1:8080", "10.2.0.100:4000");
    let v6 = envelope("[2001:db8::1]:4000", "[2001:db8::80]:80");
    between.keep4(Kept::Main, key4(&v4, Protocol::TCP));
    between.keep4(Kept::HalfOpen, key4(&half, Protocol::UDP));
    between.keep6(Kept::Main, key6(&v6, Protocol::UDP));
    between.keep6(Kept::HalfOpen, key6(&answer, Protocol::TCP));
    let segment = Segment::tcp("A", 1, 1);
    let datagram = Segment::udp(b"word");
    let tagged = Envelope {
        tags: vec![Tag::customer(7)],
        ..v4.clone()
    };
    for (what, frame) in [
        ("a validated flow", v4.frame(&segment)),
        ("the same in a VLAN", tagged.frame(&segment)),
        ("a half-open flow", half.frame(&datagram)),
        ("IPv6", v6.frame(&datagram)),
        (
            "IPv6 behind an extension header",
            v6.frame(
                &datagram
                    .clone()
                    .extensions(&[Extension::new(Extension::DESTINATION, 8)]),
            ),
        ),
        ("an IPv4 answer to an IPv6 client", answer.frame(&segment)),
    ] {
        assert_eq!(bench.run(&frame), Seen::Earlier, "{what}");
    }
    let other = envelope("192.0.2.9:4000", "198.51.100.1:80");
    let piece = v4.frame(&datagram.clone().fragment(0, true));
    for (what, frame) in [
        ("another client", other.frame(&segment)),
        ("another protocol", v4.frame(&datagram)),
        ("another protocol over IPv6", v6.frame(&segment)),
        ("a fragment", piece),
        ("no IP", arp(&v4)),
        ("a cut-off packet", v4.frame(&segment)[..20].to_vec()),
    ] {
        assert_eq!(bench.run(&frame), Seen::Own, "{what}");
    }
}

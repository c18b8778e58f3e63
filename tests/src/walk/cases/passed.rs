//! What is none of our business: handed to the kernel, byte for byte.

use std::net::SocketAddr;

use adc_common::abi::Reason;
use etherparse::Icmpv6Type;

use crate::{
    packets::{
        Envelope, Extension, Segment, Tag, arp, ethernet, icmp_echo, icmp6, ipv4_protocol,
        ipv6_protocol,
    },
    walk::{Case, FRONT, Family, World},
};

pub(super) fn cases() -> Vec<Case> {
    let world = World::one_arm();
    let mut cases = vec![not_ip(&world), v4(&world), v6(&world), tags(&world)];
    for family in Family::BOTH {
        cases.push(the_box(family, &world));
        cases.push(vip(family, &world));
    }
    cases
}

fn to(world: &World, family: Family, to: SocketAddr) -> Envelope {
    world.client_link.incoming(world.tcp(family).client, to)
}

fn passes(case: Case, what: &'static str, frame: Vec<u8>, reason: Reason) -> Case {
    case.stays(what, FRONT, frame, reason)
}

fn not_ip(world: &World) -> Case {
    let vip = to(world, Family::V4, world.tcp(Family::V4).vip);
    let body = [0x5a; 46];
    let mut case = Case::new("what is not IP passes", &world.contents);
    case = passes(case, "an ARP request for a VIP", arp(&vip), Reason::NotIp);
    for (what, ethertype) in [
        ("LLDP", 0x88cc),
        ("PPPoE", 0x8864),
        ("MPLS", 0x8847),
        ("MACsec", 0x88e5),
        ("spanning tree (802.3 with a length)", 0x0026),
        ("a tag of another TPID", 0x9200),
    ] {
        case = passes(case, what, ethernet(&vip, ethertype, &body), Reason::NotIp);
    }
    case.leaves(0, 0)
}

fn tags(world: &World) -> Case {
    let mut vip = to(world, Family::V4, world.tcp(Family::V4).vip);
    let mut case = Case::new("frames with tags that are not ours pass", &world.contents);
    vip.tags = vec![Tag::customer(5)];
    case = passes(case, "a tagged ARP request", arp(&vip), Reason::NotIp);
    vip.tags = vec![Tag::service(5), Tag::customer(6)];
    case = passes(case, "an ARP request in QinQ", arp(&vip), Reason::NotIp);
    vip.tags = vec![Tag::service(5), Tag::service(6), Tag::customer(7)];
    let syn = vip.frame(&Segment::tcp("S", 1, 0));
    passes(case, "three tags", syn, Reason::NotIp).leaves(0, 0)
}

fn v4(world: &World) -> Case {
    let vip = to(world, Family::V4, world.tcp(Family::V4).vip);
    let mut case = Case::new("V4: other protocols pass, to a VIP too", &world.contents);
    case = passes(case, "a ping", icmp_echo(&vip), Reason::OtherProtocol);
    for (what, protocol) in [
        ("IGMP", 2),
        ("IPIP", 4),
        ("GRE", 47),
        ("ESP", 50),
        ("AH", 51),
        ("OSPF", 89),
        ("VRRP", 112),
        ("UDP-Lite", 136),
        ("protocol 0", 0),
        ("protocol 255", 255),
    ] {
        let packet = ipv4_protocol(&vip, protocol, &[0; 24]);
        case = passes(case, what, packet, Reason::OtherProtocol);
    }
    case.leaves(0, 0)
}

fn v6(world: &World) -> Case {
    let vip = to(world, Family::V6, world.tcp(Family::V6).vip);
    let target = [0xfe; 20];
    let mut case = Case::new("V6: other protocols pass, to a VIP too", &world.contents);
    case = passes(case, "a ping", icmp_echo(&vip), Reason::OtherProtocol);
    for (what, kind) in [
        ("a router solicitation", 133),
        ("a router advertisement", 134),
        ("a neighbour solicitation", 135),
        ("a neighbour advertisement", 136),
        ("a multicast listener report", 143),
    ] {
        let kind = Icmpv6Type::Unknown {
            type_u8: kind,
            code_u8: 0,
            bytes5to8: [0; 4],
        };
        let packet = icmp6(&vip, kind, &target);
        case = passes(case, what, packet, Reason::OtherProtocol);
    }
    for (what, protocol) in [
        ("ESP", Extension::ENCRYPTED),
        ("no next header", Extension::NONE),
        ("mobility", Extension::MOBILITY),
        ("HIP", 139),
        ("Shim6", 140),
        ("an experiment", 253),
    ] {
        let packet = ipv6_protocol(&vip, protocol, &[0; 24]);
        case = passes(case, what, packet, Reason::OtherProtocol);
    }
    case.leaves(0, 0)
}

fn the_box(family: Family, world: &World) -> Case {
    let host = match family {
        Family::V4 => "192.0.2.1",
        Family::V6 => "[2001:db8:c::1]",
    };
    let address = |port: u16| format!("{host}:{port}").parse().expect("an address");
    let name = format!("{family:?}: what is for the box itself passes");
    let mut case = Case::new(name, &world.contents);
    for (what, port, segment) in [
        ("SSH: a SYN", 22, Segment::tcp("S", 1, 0)),
        ("SSH: data", 22, Segment::tcp("PA", 1, 1).data(b"SSH-2.0-")),
        ("port 80 of the box", 80, Segment::tcp("S", 1, 0)),
        ("DNS", 53, Segment::udp(b"query")),
        ("strange flags", 80, Segment::tcp("SF", 1, 0)),
    ] {
        let frame = to(world, family, address(port)).frame(&segment);
        let reason = if what == "strange flags" {
            Reason::MalformedNotOurs
        } else {
            Reason::NotOurs
        };
        case = passes(case, what, frame, reason);
    }
    let backend = world.tcp(family).backend_sends(&Segment::tcp("PA", 1, 1));
    passes(case, "a backend's own connection", backend, Reason::NotOurs).leaves(0, 0)
}

fn vip(family: Family, world: &World) -> Case {
    let name = format!("{family:?}: another port or protocol of a VIP passes");
    let mut case = Case::new(name, &world.contents);
    for (what, port, segment) in [
        (
            "TCP to a port without a service",
            81,
            Segment::tcp("S", 1, 0),
        ),
        ("SSH to a VIP", 22, Segment::tcp("S", 1, 0)),
        ("TCP to a UDP service", 53, Segment::tcp("S", 1, 0)),
        ("UDP to a TCP service", 80, Segment::udp(b"")),
        ("TCP to port 0", 0, Segment::tcp("S", 1, 0)),
        ("UDP to port 0", 0, Segment::udp(b"")),
    ] {
        let mut address = world.tcp(family).vip;
        address.set_port(port);
        let frame = to(world, family, address).frame(&segment);
        case = passes(case, what, frame, Reason::VipOtherPort);
    }
    case.leaves(0, 0)
}

//! What is left to the kernel, and is not while a group may not be served.

use std::net::{IpAddr, SocketAddr};

use adc_common::abi::Reason;
use etherparse::Icmpv6Type;

use super::{OURS, dropped, group};
use crate::{
    packets::{Envelope, MacAddress, arp, icmp_echo, icmp6, ipv4_protocol, split},
    walk::{
        BACK, Case, Family, Lease, Link, World,
        cases::{request, syn, syn_ack},
    },
};

/// What asks who has an address: ARP, or a neighbour solicitation to its solicited-node group.
pub(super) fn question(link: &Link, from: SocketAddr, about: IpAddr, mac: MacAddress) -> Vec<u8> {
    let address = |ip: &str| SocketAddr::new(ip.parse().expect("an address"), 0);
    let envelope = |to: SocketAddr| Envelope {
        to_mac: mac,
        ..link.incoming(from, to)
    };
    match about {
        IpAddr::V4(_) => arp(&envelope(SocketAddr::new(about, 0))),
        IpAddr::V6(target) => {
            let kind = Icmpv6Type::Unknown {
                type_u8: 135,
                code_u8: 0,
                bytes5to8: [0; 4],
            };
            let mut body = target.octets().to_vec();
            body.extend([1, 1]);
            body.extend(link.far.0);
            icmp6(&envelope(address("ff02::1:ff00:10")), kind, &body)
        }
    }
}

/// Questions reach every host of a link, or this one alone.
pub(super) fn macs(link: &Link, family: Family) -> [(&'static str, MacAddress, Reason); 2] {
    match family {
        Family::V4 => [
            ("who has it, to all", MacAddress([0xff; 6]), Reason::NotIp),
            ("who has it, to us", link.near, Reason::NotIp),
        ],
        Family::V6 => [
            (
                "who has it, to a group",
                MacAddress([0x33, 0x33, 0xff, 0, 0, 0x10]),
                Reason::GroupMac,
            ),
            ("who has it, to us", link.near, Reason::OtherProtocol),
        ],
    }
}

pub(super) fn untracked(family: Family) -> Case {
    let world = World::one_arm().with_icmp_errors();
    let talk = world.tcp(family);
    let name =
        format!("{family:?}: without a lease nothing begins, and the kernel is asked nothing");
    let mut case = Case::new(name, &group(&world, &talk, Lease::Lapsed));
    for (what, segment) in [
        ("a SYN", syn()),
        ("a SYN with TTL 1", syn().ttl(1)),
        ("the middle of a flow", request("PA", 5)),
        ("a SYN-ACK", syn_ack()),
    ] {
        case = dropped(case, what, &talk, talk.client_sends(&segment));
    }
    let mut ssh = talk.clone();
    ssh.vip.set_port(22);
    case = dropped(
        case,
        "a port without a service",
        &talk,
        ssh.client_sends(&syn()),
    );
    let to_vip = talk.client_link.incoming(talk.client, talk.vip);
    let echo = icmp_echo(&to_vip);
    for piece in split(&echo, 8, 9) {
        case = dropped(case, "a piece of a ping", &talk, piece);
    }
    case = dropped(case, "a ping", &talk, echo);
    if family == Family::V4 {
        let gre = ipv4_protocol(&to_vip, 47, &[0; 24]);
        case = dropped(case, "another protocol", &talk, gre);
    }
    for (what, mac, _) in macs(&talk.client_link, family) {
        let question = question(&talk.client_link, talk.client, talk.vip.ip(), mac);
        case = dropped(case, what, &talk, question);
    }
    case.leaves(0, 0)
}

/// The backends' gateway moves with the group, and no service has it.
pub(super) fn gateway(family: Family) -> Case {
    let world = World::two_arm();
    let talk = world.tcp(family);
    let gateway: IpAddr = match family {
        Family::V4 => "10.20.0.254",
        Family::V6 => "fd00:20::fe",
    }
    .parse()
    .expect("an address");
    let name = format!("{family:?}: a gateway of a group without a lease is not there");
    let contents = world.contents.clone();
    let lapsed = contents.in_group(OURS, gateway).leased(OURS, Lease::Lapsed);
    let held = lapsed.clone().leased(OURS, Lease::Exact);
    let link = &talk.backend_link;
    let echo = icmp_echo(&link.incoming(talk.backend, SocketAddr::new(gateway, 0)));
    let mut case =
        Case::new(name, &lapsed).stays("a ping", BACK, echo.clone(), Reason::LeaseLapsed);
    for (what, mac, _) in macs(link, family) {
        let question = question(link, talk.backend, gateway, mac);
        case = case.stays(what, BACK, question, Reason::LeaseLapsed);
    }
    // What it only routes is the kernel's.
    let elsewhere = match family {
        Family::V4 => "198.51.100.9:443",
        Family::V6 => "[2001:db8:99::9]:443",
    };
    let elsewhere = elsewhere.parse().expect("an address");
    let routed = link.incoming(talk.backend, elsewhere).frame(&syn());
    case.stays("a packet through it", BACK, routed, Reason::NotOurs)
        .reload(&held)
        .stays("a ping", BACK, echo, Reason::OtherProtocol)
        .leaves(0, 0)
}

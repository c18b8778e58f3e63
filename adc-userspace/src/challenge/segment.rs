//! The segment itself.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use adc_common::abi::{Hop, Mac, VlanId};
use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader, TcpOptionElement};

const HOP_LIMIT: u8 = 64;

/// Half of the sequence space: two numbers this far apart do not lie in one window, which has at most a quarter of it
/// (RFC 7323 §2.3).
const HALF: u32 = 1 << 31;

/// Two ACKs from one end to the other without data, whose numbers and timestamp are anything; sent by `hop` from `mac`.
///
/// They have a timestamp option because a connection that agreed on them may silently drop segments without (RFC 7323
/// §3.2). An old timestamp is answered as an unacceptable number is (§5.3), and a connection without them ignores it.
///
/// Two, half of the sequence space apart and with one timestamp: at most one lies in the window; and Linux drops an
/// ACK without an answer if both its timestamp and its number are old (`PAWSOldAck`, Linux 6.14). To the end that
/// understands both, the second is one too many: it answers one in half a second (`tcp_invalid_ratelimit`).
///
/// # Errors
/// If the addresses are of different families.
pub fn challenge(
    mac: Mac,
    hop: &Hop,
    from: SocketAddr,
    to: SocketAddr,
    any: u32,
) -> io::Result<[Vec<u8>; 2]> {
    Ok([
        segment(mac, hop, from, to, any, any)?,
        segment(mac, hop, from, to, any ^ HALF, any)?,
    ])
}

fn segment(
    mac: Mac,
    hop: &Hop,
    from: SocketAddr,
    to: SocketAddr,
    seq: u32,
    timestamp: u32,
) -> io::Result<Vec<u8>> {
    let (ethertype, builder): ([u8; 2], _) = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (
            [0x08, 0x00],
            PacketBuilder::ipv4(from.octets(), to.octets(), HOP_LIMIT),
        ),
        (IpAddr::V6(from), IpAddr::V6(to)) => (
            [0x86, 0xdd],
            PacketBuilder::ipv6(from.octets(), to.octets(), HOP_LIMIT),
        ),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            return Err(io::Error::other("addresses of different families"));
        }
    };
    let options = [
        TcpOptionElement::Noop,
        TcpOptionElement::Noop,
        TcpOptionElement::Timestamp(timestamp, 0),
    ];
    let builder: PacketBuilderStep<TcpHeader> = builder
        .tcp(from.port(), to.port(), seq, 0)
        .ack(!seq)
        .options(&options)
        .map_err(|error| io::Error::other(error.to_string()))?;
    let mut frame = link(mac, hop, ethertype);
    frame.reserve(builder.size(0));
    builder.write(&mut frame, &[]).map_err(io::Error::other)?;
    Ok(frame)
}

/// Ethernet header and the tags that the hop wants.
fn link(mac: Mac, hop: &Hop, ethertype: [u8; 2]) -> Vec<u8> {
    let mut link = Vec::with_capacity(96);
    link.extend(hop.mac.0);
    link.extend(mac.0);
    let tags = [hop.vlan, hop.inner_vlan];
    // Without an outer tag there is no inner one.
    for tag in tags.into_iter().take_while(|tag| *tag != VlanId::NONE) {
        link.extend(tag.tpid().to_be_bytes());
        link.extend(tag.id().to_be_bytes());
    }
    link.extend(ethertype);
    link
}

#[cfg(test)]
mod tests {
    use adc_common::abi::InterfaceId;
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn hop(vlan: u16, inner_vlan: u16) -> Hop {
        Hop {
            mac: Mac([2, 0, 0, 0, 0, 2]),
            vlan: VlanId(vlan),
            inner_vlan: VlanId(inner_vlan),
            interface: InterfaceId(1),
        }
    }

    #[test]
    fn a_challenge_is_a_bare_ack_with_a_timestamp_and_right_checksums_in_both_families() {
        for (from, to) in [
            ("203.0.113.1:80", "192.0.2.1:40000"),
            ("[2001:db8::1]:80", "[2001:db8::2]:40000"),
        ] {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            let frames = challenge(MAC, &hop(0, 0), from, to, 0x9000_0000).unwrap();
            for (frame, seq) in frames.iter().zip([0x9000_0000, 0x1000_0000]) {
                check(frame, seq);
            }
        }
    }

    fn check(frame: &[u8], seq: u32) {
        let packet = SlicedPacket::from_ethernet(frame).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else {
            panic!("{frame:02x?}");
        };
        assert_eq!(tcp.source_port(), 80);
        assert_eq!(tcp.destination_port(), 40_000);
        assert!(tcp.ack() && !tcp.rst() && !tcp.syn() && !tcp.fin());
        assert_eq!(tcp.sequence_number(), seq);
        assert!(tcp.payload().is_empty());
        // Timestamps (kind 8), the same in both.
        assert_eq!(tcp.options()[..8], [1, 1, 8, 10, 0x90, 0, 0, 0]);
        let header = tcp.to_header();
        let checksum = match packet.net.unwrap() {
            NetSlice::Ipv4(ip) => header.calc_checksum_ipv4(&ip.header().to_header(), &[]),
            NetSlice::Ipv6(ip) => header.calc_checksum_ipv6(&ip.header().to_header(), &[]),
            NetSlice::Arp(_) => panic!("{frame:02x?}"),
        };
        assert_eq!(checksum.unwrap(), tcp.checksum());
    }

    #[test]
    fn a_challenge_has_the_tags_of_its_hop() {
        let (from, to) = ("203.0.113.1:80", "192.0.2.1:40000");
        for (hop, tags) in [
            (hop(0, 0), vec![]),
            (hop(7, 0), vec![7]),
            (hop(VlanId::service(9).0, 8), vec![9, 8]),
        ] {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            let [frame, _] = challenge(MAC, &hop, from, to, 1).unwrap();
            let packet = SlicedPacket::from_ethernet(&frame).unwrap();
            let found: Vec<u16> = packet.vlan_ids().iter().map(|id| id.value()).collect();
            assert_eq!(found, tags);
            assert!(packet.transport.is_some(), "{frame:02x?}");
        }
    }
}

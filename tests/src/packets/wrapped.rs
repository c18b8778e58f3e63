//! Packets inside packets.

use std::net::IpAddr;

use etherparse::{IpDscp, IpEcn, IpNumber, Ipv4Header, Ipv6Header, UdpHeader};

use super::ip_offset;

/// The outer headers of a tunnel.
#[derive(Clone, Copy, Debug)]
pub struct Outer {
    /// Source address.
    pub from: IpAddr,
    /// Destination address.
    pub to: IpAddr,
    /// GUE: UDP destination port; `None` = IP in IP.
    pub port: Option<u16>,
    /// Hash of the flow inside.
    pub hash: u32,
}

impl Outer {
    /// Bytes that it adds.
    pub fn overhead(&self) -> usize {
        let ip = if self.to.is_ipv4() { 20 } else { 40 };
        ip + if self.port.is_some() { 8 } else { 0 }
    }
}

/// The packet of `frame` inside `outer`, behind the same Ethernet header and tags; padding stays behind it.
///
/// # Panics
/// If the frame is no IP packet, or the ends of the tunnel differ in family.
pub fn wrapped(frame: &[u8], outer: &Outer) -> Vec<u8> {
    let at = ip_offset(frame);
    let packet = &frame[at..];
    let v4 = packet[0] >> 4 == 4;
    let word = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let (length, class, id, dont_fragment) = if v4 {
        (word(2), packet[1], word(4), packet[6] & 0x40 != 0)
    } else {
        let class = packet[0] << 4 | packet[1] >> 4;
        (word(4) + 40, class, 0, true)
    };
    let [.., hash_high, hash_low] = outer.hash.to_be_bytes();
    let half = u16::from_be_bytes([hash_high, hash_low]);
    let mut payload = Vec::new();
    let mut protocol = if v4 { IpNumber::IPV4 } else { IpNumber::IPV6 };
    if let Some(port) = outer.port {
        let header = UdpHeader {
            source_port: 0xc000 | half,
            destination_port: port,
            length: length + 8,
            checksum: 0,
        };
        payload.extend(header.to_bytes());
        protocol = IpNumber::UDP;
    }
    let carried = length + u16::try_from(payload.len()).expect("8");
    let mut out = frame[..at].to_vec();
    match (outer.from, outer.to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out[at - 2..].copy_from_slice(&[0x08, 0x00]);
            let mut header = Ipv4Header::new(carried, 64, protocol, from.octets(), to.octets())
                .expect("packet length");
            header.dscp = IpDscp::try_new(class >> 2).expect("6 bits");
            header.ecn = IpEcn::try_new(class & 3).expect("2 bits");
            header.identification = id ^ half;
            header.dont_fragment = dont_fragment;
            header.header_checksum = header.calc_header_checksum();
            out.extend(header.to_bytes());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            out[at - 2..].copy_from_slice(&[0x86, 0xdd]);
            let header = Ipv6Header {
                traffic_class: class,
                flow_label: (outer.hash & 0x000f_ffff).try_into().expect("20 bits"),
                payload_length: carried,
                next_header: protocol,
                hop_limit: 64,
                source: from.octets(),
                destination: to.octets(),
            };
            out.extend(header.to_bytes());
        }
        (from, to) => panic!("{from} and {to} are of different families"),
    }
    out.extend(payload);
    out.extend(packet);
    out
}

//! An advert as an Ethernet frame: the kernel sends from its devices' MACs, and RFC 9568 §7.2 wants the virtual one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use adc_common::abi::Mac;

use super::packet::{HOP_LIMIT, PROTOCOL};

const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];

/// Class selector 6, as the sockets have it.
const TRAFFIC_CLASS: u8 = 0xc0;

/// The frame that carries `message` from the router with MAC `mac` to a group of routers. `None` = `to` is no such group, or
/// not of the family of `from`, or the message is longer than a packet.
pub(in crate::ha) fn multicast(
    mac: Mac,
    from: IpAddr,
    to: IpAddr,
    message: &[u8],
) -> Option<Vec<u8>> {
    let (destination, ethertype, header) = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) if to.is_multicast() => {
            let [_, b, c, d] = to.octets();
            // RFC 1112 §6.4: the low 23 bits.
            let group = [0x01, 0x00, 0x5e, b & 0x7f, c, d];
            (group, ETHERTYPE_IPV4, header_v4(from, to, message.len())?)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) if to.is_multicast() => {
            let [.., a, b, c, d] = to.octets();
            // RFC 2464 §7: the low 32 bits.
            let group = [0x33, 0x33, a, b, c, d];
            (group, ETHERTYPE_IPV6, header_v6(from, to, message.len())?)
        }
        (IpAddr::V4(_) | IpAddr::V6(_), IpAddr::V4(_) | IpAddr::V6(_)) => return None,
    };
    let parts: [&[u8]; 5] = [&destination, &mac.0, &ethertype, &header, message];
    Some(parts.concat())
}

/// Never to be fragmented, so that identification 0 says nothing (RFC 6864 §4.1).
fn header_v4(from: Ipv4Addr, to: Ipv4Addr, payload: usize) -> Option<Vec<u8>> {
    let [high, low] = u16::try_from(payload + 20).ok()?.to_be_bytes();
    let mut header = vec![
        0x45,
        TRAFFIC_CLASS,
        high,
        low,
        0,
        0,
        0x40,
        0,
        HOP_LIMIT,
        PROTOCOL,
        0,
        0,
    ];
    header.extend(from.octets());
    header.extend(to.octets());
    let words = header.chunks_exact(2);
    let words = words.map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [_, _, high, low] = sum.to_be_bytes();
    header[10] = !high;
    header[11] = !low;
    Some(header)
}

fn header_v6(from: Ipv6Addr, to: Ipv6Addr, payload: usize) -> Option<Vec<u8>> {
    let [high, low] = u16::try_from(payload).ok()?.to_be_bytes();
    // Version 6, then eight bits of class over the border of a byte.
    let class = [0x60 | TRAFFIC_CLASS >> 4, TRAFFIC_CLASS << 4];
    let mut header = vec![class[0], class[1], 0, 0, high, low, PROTOCOL, HOP_LIMIT];
    header.extend(from.octets());
    header.extend(to.octets());
    Some(header)
}

#[cfg(test)]
mod tests {
    use adc_common::abi::Vrid;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_ipv4_advert_comes_from_the_virtual_mac() {
        let mac = Vrid(51).mac_v4();
        let message = [0x31, 51, 100, 1];
        let frame = multicast(mac, ip("10.0.0.2"), ip("224.0.0.18"), &message).unwrap();
        assert_eq!(frame[..6], [0x01, 0, 0x5e, 0, 0, 18]);
        assert_eq!(frame[6..12], [0, 0, 0x5e, 0, 1, 51]);
        assert_eq!(frame[12..14], [0x08, 0]);
        assert_eq!(frame[16..18], [0, 24], "total length");
        assert_eq!(frame[22..24], [255, 112], "TTL, protocol");
        assert_eq!(frame[26..34], [10, 0, 0, 2, 224, 0, 0, 18]);
        assert_eq!(frame[34..], message);
        let words = frame[14..34].chunks_exact(2);
        let sum: u32 = words
            .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])))
            .sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "header checksum");
    }

    #[test]
    fn an_ipv6_advert_comes_from_the_virtual_mac() {
        let mac = Vrid(51).mac_v6();
        let frame = multicast(mac, ip("fe80::2"), ip("ff02::12"), &[1, 2, 3, 4]).unwrap();
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 0x12]);
        assert_eq!(frame[6..12], [0, 0, 0x5e, 0, 2, 51]);
        assert_eq!(frame[12..16], [0x86, 0xdd, 0x6c, 0]);
        assert_eq!(
            frame[18..22],
            [0, 4, 112, 255],
            "length, protocol, hop limit"
        );
        assert_eq!(frame.len(), 14 + 40 + 4);
    }

    #[test]
    fn what_goes_to_one_router_is_no_multicast() {
        let mac = Vrid(51).mac_v4();
        assert_eq!(multicast(mac, ip("10.0.0.2"), ip("10.0.0.3"), &[]), None);
        assert_eq!(multicast(mac, ip("fe80::2"), ip("fe80::3"), &[]), None);
        assert_eq!(multicast(mac, ip("fe80::2"), ip("224.0.0.18"), &[]), None);
    }
}

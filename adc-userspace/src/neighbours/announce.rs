//! Telling the link that a VIP is here now: another machine may have held it a moment ago, and hosts and
//! switches would go on sending there until their entries expire.

use std::{fs, io, net::IpAddr, path::Path};

use adc_common::abi::Mac;
use socket2::{Domain, SockAddr, SockAddrStorage, Socket, Type};

const BROADCAST: [u8; 6] = [0xff; 6];
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const ICMPV6: u8 = 58;
const ALL_NODES: [u8; 16] = [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// The Ethernet frame that announces `ip` at `mac`. `router` = the interface forwards IPv6 ([`is_router`]).
pub(crate) fn frame(mac: Mac, ip: IpAddr, router: bool) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => arp_announcement(mac, v4.octets()),
        IpAddr::V6(v6) => unsolicited_advertisement(mac, v6.octets(), router),
    }
}

/// Whether the kernel says of itself that it is a router when it is asked for an IPv6 address of that interface. What is
/// announced must say the same: a host takes an address that loses the flag off its list of routers (RFC 4861 §7.2.5).
pub(crate) fn is_router(interface: &str) -> bool {
    let path = Path::new("/proc/sys/net/ipv6/conf").join(interface);
    // Without IPv6 there is nothing to announce.
    fs::read_to_string(path.join("forwarding")).is_ok_and(|text| text.trim() != "0")
}

/// An ARP request by the address for itself (RFC 5227 §3, layout RFC 826).
fn arp_announcement(mac: Mac, ip: [u8; 4]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(42);
    frame.extend(BROADCAST);
    frame.extend(mac.0);
    frame.extend(ETHERTYPE_ARP);
    // Hardware Ethernet, protocol IPv4, address lengths 6 and 4, operation 1 = request.
    frame.extend([0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    frame.extend(mac.0);
    frame.extend(ip);
    frame.extend([0; 6]);
    frame.extend(ip);
    frame
}

/// A neighbour advertisement that nobody asked for (RFC 4861 §7.2.6), Override set so that hosts replace the
/// MAC they have.
fn unsolicited_advertisement(mac: Mac, ip: [u8; 16], router: bool) -> Vec<u8> {
    let mut body = Vec::with_capacity(32);
    // Type 136, code 0, checksum to come, flags: R, S = 0, O = 1.
    let flags = if router { 0xa0 } else { 0x20 };
    body.extend([136, 0, 0, 0, flags, 0, 0, 0]);
    body.extend(ip);
    // Option 2 (target link-layer address), length 1 unit of 8 bytes.
    body.extend([2, 1]);
    body.extend(mac.0);
    let sum = checksum(ip, ALL_NODES, &body);
    body[2..4].copy_from_slice(&sum);

    let mut frame = Vec::with_capacity(86);
    frame.extend(ALL_NODES_MAC);
    frame.extend(mac.0);
    frame.extend(ETHERTYPE_IPV6);
    // Version 6, class and label 0, payload 32 bytes; hop limit 255 proves that it comes from the link (§7.1.2).
    frame.extend([0x60, 0, 0, 0, 0, 32, ICMPV6, 255]);
    frame.extend(ip);
    frame.extend(ALL_NODES);
    frame.extend(body);
    frame
}

/// The Internet checksum over the IPv6 pseudo-header (RFC 8200 §8.1) and `body`, which must be of even length.
fn checksum(source: [u8; 16], destination: [u8; 16], body: &[u8]) -> [u8; 2] {
    let words = |bytes: &[u8]| -> u32 {
        bytes
            .chunks_exact(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum()
    };
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut sum = words(&source) + words(&destination) + words(body) + length + u32::from(ICMPV6);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [_, _, high, low] = sum.to_be_bytes();
    [!high, !low]
}

/// Sends frames as they are. One for many frames: closing a packet socket waits for an RCU grace period
/// (`packet_release`, net/packet/af_packet.c), tens of milliseconds that add up over hundreds of VIPs.
pub(crate) struct Announcer(Socket);

impl Announcer {
    /// Opens the socket.
    pub(crate) fn open() -> io::Result<Self> {
        // Protocol 0: the socket only sends and is handed no packet.
        Ok(Self(Socket::new(Domain::PACKET, Type::RAW, None)?))
    }

    /// Sends out of the interface with that index.
    pub(crate) fn send(&self, ifindex: u32, frame: &[u8]) -> io::Result<()> {
        self.0.send_to(frame, &link_address(ifindex)?).map(drop)
    }
}

fn link_address(ifindex: u32) -> io::Result<SockAddr> {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: the storage is large and aligned enough for every socket address, and all-zero bytes are a valid
    // `sockaddr_ll`.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::sa_family_t::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    address.sll_ifindex = libc::c_int::try_from(ifindex).map_err(io::Error::other)?;
    let length =
        libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).map_err(io::Error::other)?;
    // SAFETY: the storage holds a `sockaddr_ll` with its family set, of the length given.
    Ok(unsafe { SockAddr::new(storage, length) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([0x02, 0, 0, 0, 0, 0x0a]);

    #[test]
    fn a_vip_asks_for_itself_by_broadcast() {
        let frame = frame(MAC, "192.0.2.10".parse().unwrap(), false);
        #[rustfmt::skip]
        assert_eq!(frame, [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 0x0a, 0x08, 0x06,
            0, 1, 8, 0, 6, 4, 0, 1,
            0x02, 0, 0, 0, 0, 0x0a, 192, 0, 2, 10,
            0, 0, 0, 0, 0, 0, 192, 0, 2, 10,
        ]);
    }

    #[test]
    fn an_ipv6_vip_is_advertised_to_all_nodes_with_override() {
        let frame = frame(MAC, "2001:db8::10".parse().unwrap(), false);
        assert_eq!(frame.len(), 86);
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1]);
        assert_eq!(frame[21], 255, "hop limit");
        assert_eq!(frame[54], 136, "ICMPv6 type");
        assert_eq!(frame[58], 0x20, "flags: override only");
        let router = super::frame(MAC, "2001:db8::10".parse().unwrap(), true);
        assert_eq!(router[58], 0xa0, "flags: router, override");
        assert_eq!(frame[78..], [2, 1, 0x02, 0, 0, 0, 0, 0x0a]);
    }

    #[test]
    fn the_advertisements_checksum_verifies() {
        let frame = frame(MAC, "2001:db8::10".parse().unwrap(), false);
        let source: [u8; 16] = frame[22..38].try_into().unwrap();
        let destination: [u8; 16] = frame[38..54].try_into().unwrap();
        // A sum that includes a right checksum comes out as zero.
        assert_eq!(checksum(source, destination, &frame[54..]), [0, 0]);
        assert_ne!(frame[56..58], [0, 0]);
    }
}

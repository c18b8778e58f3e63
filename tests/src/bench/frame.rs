//! Addresses of the bench network and the frames that go through it.
//!
//! Clients are in the blocks reserved for benchmarks (198.18.0.0/15, RFC 2544; 2001:2::/48, RFC 5180), the VIP
//! and the backends in documentation blocks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use adc_common::{
    abi::{Addr4, Addr6, Mac, Port, Protocol, Tuple},
    bench::{
        BACKEND_PORT, FRAME4, FRAME6, FRESH_FLOWS, SERVICE_PORT, Traffic, backend_of, client_of,
        client_port_of, local_port_of,
    },
};
use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader};

use super::path::{Kind, Path, Tables};

/// The router that clients are behind.
pub(crate) const CLIENT_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
/// Our own interface.
pub(crate) const OWN_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);
/// Every backend.
pub(crate) const BACKEND_MAC: Mac = Mac([2, 0, 0, 0, 0, 3]);

/// Last 32 bits of the first client with an established flow.
const OLD_CLIENTS: u32 = 0xc612_0000;
/// Last 32 bits of the first client with a new flow.
const NEW_CLIENTS: u32 = 0xc613_0000;
/// Last 32 bits of the VIP: 192.0.2.1.
const VIP: u32 = 0xc000_0201;
/// Last 32 bits of the local address of `full-nat`: 198.51.100.1.
const LOCAL: u32 = 0xc633_6401;
/// Last 32 bits of backend 0: 203.0.113.1.
const FIRST_BACKEND: u32 = 0xcb00_7101;

/// The VIP.
pub(crate) fn vip(ipv6: bool) -> IpAddr {
    address(ipv6, VIP)
}

/// The address that `full-nat` sends from.
pub(crate) fn local(ipv6: bool) -> IpAddr {
    address(ipv6, LOCAL)
}

/// Address and port of a backend.
pub(crate) fn backend(ipv6: bool, index: u32) -> SocketAddr {
    SocketAddr::new(address(ipv6, FIRST_BACKEND + index), BACKEND_PORT)
}

fn address(ipv6: bool, last: u32) -> IpAddr {
    if ipv6 {
        Ipv6Addr::from_bits(0x2001_0002 << 96 | u128::from(last)).into()
    } else {
        Ipv4Addr::from_bits(last).into()
    }
}

/// An address family of the flow tables.
pub(crate) trait TableAddress: Copy {
    fn of(last: u32) -> Self;
}

impl TableAddress for Addr4 {
    fn of(last: u32) -> Self {
        Self(last.to_be_bytes())
    }
}

impl TableAddress for Addr6 {
    fn of(last: u32) -> Self {
        let IpAddr::V6(address) = address(true, last) else {
            unreachable!("asked for IPv6")
        };
        Self(address.octets())
    }
}

/// Tuples of an established flow: from the client, and from the backend.
pub(crate) fn tuples<A: TableAddress>(flow: u32, full_nat: bool) -> (Tuple<A>, Tuple<A>) {
    let client = A::of(OLD_CLIENTS + client_of(flow));
    let client_port = Port::new(client_port_of(flow));
    let forward = Tuple {
        src: client,
        dst: A::of(VIP),
        sport: client_port,
        dport: Port::new(SERVICE_PORT),
    };
    let (seen_as, seen_port) = if full_nat {
        (A::of(LOCAL), Port::new(local_port_of(flow)))
    } else {
        (client, client_port)
    };
    let reply = Tuple {
        src: A::of(FIRST_BACKEND + backend_of(flow)),
        dst: seen_as,
        sport: Port::new(BACKEND_PORT),
        dport: seen_port,
    };
    (forward, reply)
}

/// What the wrapper sends on a path.
pub(crate) fn traffic(path: Path, flows: u32) -> Traffic {
    assert!(flows.is_power_of_two() && flows <= FRESH_FLOWS);
    Traffic {
        frame: bytemuck::cast(template(path)),
        state: 0,
        mask: flows - 1,
        clients: match path.kind {
            Kind::New => NEW_CLIENTS,
            Kind::Forward | Kind::Reply => OLD_CLIENTS,
        },
        backends: FIRST_BACKEND,
        kind: path.bits(),
        _pad: [0; 8],
    }
}

/// Length of the path's frames.
pub(crate) const fn length(tables: Tables) -> usize {
    if tables.ipv6 { FRAME6 } else { FRAME4 }
}

/// A frame of flow 0, zero-padded.
fn template(path: Path) -> [u8; FRAME6] {
    let client = match path.kind {
        Kind::New => NEW_CLIENTS,
        Kind::Forward | Kind::Reply => OLD_CLIENTS,
    };
    let (mac, from, to) = match path.kind {
        Kind::Reply => (
            BACKEND_MAC,
            (FIRST_BACKEND, BACKEND_PORT),
            if path.tables.is_full_nat() {
                (LOCAL, local_port_of(0))
            } else {
                (client, client_port_of(0))
            },
        ),
        Kind::Forward | Kind::New => (CLIENT_MAC, (client, client_port_of(0)), (VIP, SERVICE_PORT)),
    };
    let link = PacketBuilder::ethernet2(mac.0, OWN_MAC.0);
    let network = match (
        address(path.tables.ipv6, from.0),
        address(path.tables.ipv6, to.0),
    ) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            link.ipv6(source.octets(), destination.octets(), 64)
        }
        (source, destination) => {
            let (IpAddr::V4(source), IpAddr::V4(destination)) = (source, destination) else {
                unreachable!("both addresses are of one family")
            };
            link.ipv4(source.octets(), destination.octets(), 64)
        }
    };
    let bytes = transport(network, path, from.1, to.1);
    let mut frame = [0; FRAME6];
    frame[..bytes.len()].copy_from_slice(&bytes);
    frame
}

fn transport(
    network: PacketBuilderStep<etherparse::IpHeaders>,
    path: Path,
    source_port: u16,
    destination_port: u16,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    if path.tables.protocol == Protocol::UDP {
        let step = network.udp(source_port, destination_port);
        step.write(&mut bytes, &[])
            .expect("a vector takes all bytes");
        return bytes;
    }
    let mut header = TcpHeader::new(source_port, destination_port, 1, 65_535);
    header.syn = path.kind == Kind::New;
    header.ack = path.kind != Kind::New;
    let step = network.tcp_header(header);
    step.write(&mut bytes, &[])
        .expect("a vector takes all bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_the_tuple_that_the_table_holds() {
        let path = Path {
            tables: Tables::TCP4,
            kind: Kind::Reply,
        };
        let frame = template(path);
        let (_, reply) = tuples::<Addr4>(0, false);
        assert_eq!(frame[26..30], reply.src.0);
        assert_eq!(frame[30..34], reply.dst.0);
        assert_eq!(frame[34..36], reply.sport.0);
        assert_eq!(frame[36..38], reply.dport.0);
    }

    #[test]
    fn flows_have_different_tuples() {
        let seen: std::collections::HashSet<_> = (0..200_000)
            .map(|flow| tuples::<Addr4>(flow, false).0)
            .collect();
        assert_eq!(seen.len(), 200_000);
    }
}

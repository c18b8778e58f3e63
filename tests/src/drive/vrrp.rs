//! A VRRP router that says what a case wants it to.

use std::{
    io,
    mem::MaybeUninit,
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use adc_userspace::ha::vrrp::{Advert, Dialect, Envelope, decode};
use etherparse::Ipv4HeaderSlice;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::net::Link;

const ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// A socket for VRRP over IPv4.
#[derive(Debug)]
pub struct VrrpEnd {
    socket: Socket,
}

/// An advert that came.
#[derive(Clone, Debug)]
pub struct HeardAdvert {
    /// Who sent it.
    pub source: Ipv4Addr,
    /// What it says.
    pub advert: Advert,
    /// How its checksum is made.
    pub dialect: Option<Dialect>,
    /// DSCP and ECN.
    pub traffic_class: u8,
}

impl VrrpEnd {
    /// Joins the routers' group on `link`.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[track_caller]
    pub fn join(link: &Link) -> Self {
        let index = link.details()["ifindex"].as_u64();
        let index = index.and_then(|index| u32::try_from(index).ok());
        let index = InterfaceIndexOrAddress::Index(index.expect("an index"));
        let open = || -> io::Result<Socket> {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(112)))?;
            socket.bind_device(Some(link.name.as_bytes()))?;
            socket.join_multicast_v4_n(&ROUTERS, &index)?;
            socket.set_multicast_loop_v4(false)?;
            socket.set_read_timeout(Some(Duration::from_millis(500)))?;
            Ok(socket)
        };
        let opened = link.namespace.enter(open);
        let socket = opened.unwrap_or_else(|error| panic!("cannot open a VRRP socket: {error}"));
        Self { socket }
    }

    /// Sends a message to all routers.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[track_caller]
    pub fn send(&self, message: &[u8], ttl: u8) {
        let to = SocketAddrV4::new(ROUTERS, 0);
        let sent = self.socket.set_multicast_ttl_v4(ttl.into());
        let sent = sent.and_then(|()| self.socket.send_to(message, &to.into()));
        sent.unwrap_or_else(|error| panic!("cannot send an advert: {error}"));
    }

    /// The next advert, if one comes within half a second.
    ///
    /// # Panics
    /// If it is not as RFC 9568 has it: TTL 255, to the routers' group, checksums right.
    #[track_caller]
    pub fn hear(&self) -> Option<HeardAdvert> {
        let mut buffer = [MaybeUninit::uninit(); 1500];
        let length = self.socket.recv(&mut buffer).ok()?;
        let packet: Vec<u8> = buffer[..length]
            .iter()
            // SAFETY: the kernel has written the first `length` bytes.
            .map(|byte| unsafe { byte.assume_init() })
            .collect();
        let header = Ipv4HeaderSlice::from_slice(&packet).expect("an IPv4 header");
        assert_eq!(header.destination_addr(), ROUTERS);
        assert_eq!(header.ttl(), 255);
        assert_eq!(usize::from(header.total_len()), packet.len());
        assert_eq!(
            header.header_checksum(),
            header.to_header().calc_header_checksum()
        );
        let envelope = Envelope {
            source: IpAddr::V4(header.source_addr()),
            destination: IpAddr::V4(header.destination_addr()),
            hop_limit: header.ttl(),
        };
        let payload = &packet[header.slice().len()..];
        let (advert, dialect) = decode(payload, &envelope, false).expect("an advert");
        let source = header.source_addr();
        let traffic_class = packet[1];
        Some(HeardAdvert {
            source,
            advert,
            dialect,
            traffic_class,
        })
    }
}

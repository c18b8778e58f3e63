//! The kernel's multicast groups: what changes, as it changes.
//!
//! The socket is read only when the resolver is ready for more, so the one queue there is has the kernel's
//! bound; when it overflows the kernel says so (`ENOBUFS`) and the resolver starts over from a full dump.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::{
    MulticastGroup,
    packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload},
    sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE},
};

use super::{NeighbourError, decode, facts::Fact};

/// What next hops depend on.
const GROUPS: [MulticastGroup; 9] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
    MulticastGroup::Nexthop,
];

/// Receive queue asked for, bytes: a few thousand changes. The kernel grants at most `net.core.rmem_max`.
const QUEUE: usize = 4 << 20;

/// Larger than any message that the kernel multicasts (it builds them in 16 KiB at most).
const BUFFER: usize = 64 << 10;

/// `RTM_NEWNEXTHOP` and `RTM_DELNEXTHOP` (linux/rtnetlink.h): routes may refer to the object that changed.
const NEXTHOP_TYPES: [u16; 2] = [104, 105];

/// What reading the groups gave.
pub(super) enum Heard {
    /// Changes, in order.
    Facts(Vec<Fact>),
    /// Some changes were lost; only a full dump tells what is true now.
    Lost(&'static str),
}

/// A subscription.
pub(super) struct Monitor {
    socket: TokioSocket,
    buffer: Vec<u8>,
}

impl Monitor {
    pub(super) fn open() -> Result<Self, NeighbourError> {
        Self::subscribe().map_err(|source| NeighbourError::Open {
            purpose: "follow links, routes and neighbours",
            source,
        })
    }

    fn subscribe() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        let inner = socket.socket_mut();
        let queue = libc::c_int::try_from(QUEUE).unwrap_or(libc::c_int::MAX);
        inner.set_rx_buf_sz(queue)?;
        inner.bind(&SocketAddr::new(0, 0))?;
        for group in GROUPS {
            inner.add_membership(group as u32)?;
        }
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(BUFFER),
        })
    }

    /// Waits for the next changes. Nothing is lost if the future is dropped before it is ready.
    pub(super) async fn next(&mut self) -> io::Result<Heard> {
        self.buffer.clear();
        match self.socket.recv_from(&mut self.buffer).await {
            Ok(_) => Ok(decode(&self.buffer)),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                Ok(Heard::Lost("the netlink queue overflowed"))
            }
            Err(error) => Err(error),
        }
    }
}

/// All messages of one datagram.
fn decode(mut datagram: &[u8]) -> Heard {
    let mut facts = Vec::new();
    while !datagram.is_empty() {
        let Ok(message) = NetlinkBuffer::new_checked(datagram) else {
            return Heard::Lost("a netlink message was cut short");
        };
        let (kind, length) = (message.message_type(), message.length() as usize);
        if NEXTHOP_TYPES.contains(&kind) {
            facts.push(Fact::RoutesChanged(None));
        } else {
            let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(datagram) else {
                return Heard::Lost("a netlink message could not be decoded");
            };
            if let NetlinkPayload::InnerMessage(inner) = &message.payload {
                facts.extend(decode::fact(inner));
            }
        }
        // Messages are aligned to 4 bytes (NLMSG_ALIGNTO).
        datagram = datagram
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
    }
    Heard::Facts(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_lies_about_its_length_asks_for_a_full_dump() {
        for length in [0_u32, 3, 15, 17, u32::MAX] {
            let mut datagram = vec![0_u8; 16];
            datagram[..4].copy_from_slice(&length.to_ne_bytes());
            assert!(
                matches!(decode(&datagram), Heard::Lost(_)),
                "length {length}"
            );
        }
    }

    #[test]
    fn a_changed_nexthop_object_casts_doubt_on_all_routes() {
        let mut datagram = vec![0_u8; 16];
        datagram[..4].copy_from_slice(&16_u32.to_ne_bytes());
        datagram[4..6].copy_from_slice(&104_u16.to_ne_bytes());
        let Heard::Facts(facts) = decode(&datagram) else {
            panic!("not decoded");
        };
        assert_eq!(facts, [Fact::RoutesChanged(None)]);
    }
}

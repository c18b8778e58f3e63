//! Packets for tests, built and judged by etherparse: nothing here uses the code under test.
//!
//! A [`Segment`] is what a sender means to say: IP fields, TCP, UDP or SCTP header, payload. An [`Envelope`] is
//! where it is on its way: MACs, VLAN tags, addresses, ports. So an expectation is the same segment in another
//! envelope, with all checksums computed from scratch.

mod checksums;
mod damage;
mod frame;
mod icmp;
mod icmp_error;
mod other;
mod sctp;
mod segment;
mod split;
mod wrapped;

pub use checksums::{checksums_hold, complaint};
pub use damage::{flip_bit, ip_offset, set_byte, set_word, transport_offset};
pub use frame::{Envelope, MacAddress, Tag};
pub use icmp::{time_exceeded, too_big};
pub use icmp_error::IcmpError;
pub use other::{arp, ethernet, icmp_echo, icmp6, ipv4_protocol, ipv6_protocol};
pub use sctp::{Chunk, SCTP, sctp_complaint, sctp_packet, seal_sctp};
pub use segment::{Extension, Fragment, Segment, Transport, UdpChecksum};
pub use split::split;
pub use wrapped::{Outer, wrapped};

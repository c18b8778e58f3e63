//! Clients: what a user of a service would do, with exact counts and times.

mod fixed;
mod held;
mod http;
mod load;
mod packet_socket;
mod ping;
mod raw;
mod sctp;
mod stream;
mod udp;
mod vrrp;

pub use fixed::get_from_port;
pub use held::HeldConnections;
pub use http::{Response, get, get_in};
pub use load::{Load, LoadReport, Request, Window};
pub(crate) use packet_socket::PacketSocket;
pub use packet_socket::Stamp;
pub use ping::{ping, ping_with};
pub use raw::RawSender;
pub use sctp::{SctpEnd, SctpNews};
pub(crate) use stream::ROOM;
pub use stream::Stream;
pub use udp::UdpClient;
pub use vrrp::{HeardAdvert, VrrpEnd};

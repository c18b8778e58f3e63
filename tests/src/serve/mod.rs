//! Servers that run on a backend's machine.

mod nginx;
mod tcp;
mod udp;

pub use nginx::Nginx;
pub use tcp::{TcpServer, echo, http, serve_http};
pub use udp::UdpEcho;

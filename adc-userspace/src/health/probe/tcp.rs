//! TCP: a completed handshake is health.

use std::net::SocketAddr;

use tokio::net::{TcpSocket, TcpStream};

use super::failure::{Deadline, Failure};

const CONNECT: &str = "tcp connect";

pub(super) async fn probe(address: SocketAddr, deadline: Deadline) -> Result<String, Failure> {
    connect(address, deadline).await?;
    Ok("tcp connect: accepted".to_owned())
}

/// Opens a connection that ends with RST when it is dropped.
///
/// An orderly close would leave one TIME_WAIT entry per probe for a minute on this machine; at thousands
/// of probes a second that fills `net.ipv4.tcp_max_tw_buckets`.
pub(super) async fn connect(address: SocketAddr, deadline: Deadline) -> Result<TcpStream, Failure> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
    .map_err(Failure::local("tcp socket"))?;
    socket
        .set_zero_linger()
        .map_err(Failure::local("tcp socket"))?;
    deadline
        .bound(CONNECT, async {
            socket.connect(address).await.map_err(Failure::io(CONNECT))
        })
        .await
}

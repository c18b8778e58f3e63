//! TCP: a completed handshake is health.

use std::net::SocketAddr;

use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
};

use super::failure::{Deadline, Failure};

const CONNECT: &str = "tcp connect";

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// With the first byte of the protocol.
    Plain,
    /// With a PROXY protocol header, for a server that wants one.
    ProxyHeader,
}

/// A header of version 2 with the command LOCAL: the connection is nobody's but its sender's ("The PROXY protocol",
/// §2.2). Family and length are 0.
const PROXY_LOCAL: [u8; 16] = *b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

pub(super) async fn probe(
    address: SocketAddr,
    opening: Opening,
    deadline: Deadline,
) -> Result<String, Failure> {
    connect(address, opening, deadline).await?;
    Ok("tcp connect: accepted".to_owned())
}

/// Opens a connection that ends with RST when it is dropped.
///
/// An orderly close would leave one TIME_WAIT entry per probe for a minute on this machine; at thousands
/// of probes a second that fills `net.ipv4.tcp_max_tw_buckets`.
pub(super) async fn connect(
    address: SocketAddr,
    opening: Opening,
    deadline: Deadline,
) -> Result<TcpStream, Failure> {
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
            let mut stream = socket
                .connect(address)
                .await
                .map_err(Failure::io(CONNECT))?;
            if opening == Opening::ProxyHeader {
                let sent = stream.write_all(&PROXY_LOCAL).await;
                sent.map_err(Failure::io("PROXY protocol header"))?;
            }
            Ok(stream)
        })
        .await
}

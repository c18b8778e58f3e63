//! TCP connections that are opened before a fault and tried after it.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use socket2::SockRef;

use crate::{net::Namespace, wait::soon};

/// To open a connection, and for its first echo.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);

/// Connections to an echo service, idle between two checks.
#[derive(Debug)]
pub struct Connections {
    streams: Vec<TcpStream>,
}

impl Connections {
    /// Opens `count` connections to `service` from `namespace`; each has echoed a byte.
    ///
    /// # Panics
    /// If one can not be opened.
    #[track_caller]
    pub fn open(namespace: &Namespace, service: SocketAddr, count: usize) -> Self {
        let streams = namespace.enter(|| (0..count).map(|_| open(service)).collect());
        let streams: io::Result<Vec<TcpStream>> = streams;
        let streams = streams.unwrap_or_else(|error| {
            panic!("cannot open {count} connections to {service}: {error}")
        });
        Self { streams }
    }

    /// Sends a byte by each connection; how many got it back within `patience`.
    pub fn survivors(&mut self, patience: Duration) -> usize {
        let mark = b'!';
        let mut waiting: Vec<&mut TcpStream> = Vec::new();
        for stream in &mut self.streams {
            let sent = stream.set_nonblocking(true);
            if sent.and_then(|()| stream.write_all(&[mark])).is_ok() {
                waiting.push(stream);
            }
        }
        let mut survived = 0;
        soon(patience, || {
            waiting.retain_mut(|stream| {
                let mut byte = [0];
                match stream.read(&mut byte) {
                    Ok(1) if byte == [mark] => {
                        survived += 1;
                        false
                    }
                    // Closed, or somebody else's byte.
                    Ok(_) => false,
                    Err(error) => error.kind() == io::ErrorKind::WouldBlock,
                }
            });
            waiting.is_empty()
        });
        survived
    }
}

fn open(service: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&service, OPEN_TIMEOUT)?;
    stream.set_nodelay(true)?;
    // Thousands are opened and closed in minutes: with RST, none is left waiting.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    stream.set_read_timeout(Some(OPEN_TIMEOUT))?;
    stream.write_all(b"?")?;
    stream.read_exact(&mut [0])?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::{require, serve::TcpServer};

    fn echo(mut stream: TcpStream) {
        let mut byte = [0];
        while let Ok(1) = stream.read(&mut byte) {
            if stream.write_all(&byte).is_err() {
                break;
            }
        }
    }

    #[test]
    fn connections_that_are_closed_or_not_answered_do_not_survive() {
        require!(root);
        let namespace = Namespace::new("held");
        let service = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let patience = Duration::from_secs(20);
        let lasting = TcpServer::start(&namespace, 7001, echo);
        let mut held = Connections::open(&namespace, service(7001), 20);
        assert_eq!(held.survivors(patience), 20);
        assert_eq!(held.survivors(patience), 20);

        let mortal = TcpServer::start(&namespace, 7002, echo);
        let others = Connections::open(&namespace, service(7002), 5);
        drop(mortal);
        held.streams.extend(others.streams);
        assert_eq!(held.survivors(patience), 20);

        // Answers the first byte only.
        let _silent = TcpServer::start(&namespace, 7003, |mut stream| {
            stream.read_exact(&mut [0]).ok();
            stream.write_all(b"?").ok();
            while let Ok(1) = stream.read(&mut [0]) {}
        });
        held.streams
            .extend(Connections::open(&namespace, service(7003), 3).streams);
        assert_eq!(held.survivors(Duration::from_millis(300)), 20);
        drop(lasting);
        assert_eq!(held.survivors(Duration::from_millis(300)), 0);
    }
}

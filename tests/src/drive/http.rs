//! One HTTP request over a new connection.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::net::Namespace;

/// Status and body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Body, without its last line end.
    pub body: String,
}

/// `GET path` over a new connection; `timeout` bounds the connect and each read.
///
/// # Errors
/// Of the socket, `InvalidData` for what is not HTTP, `UnexpectedEof` for a body that is shorter
/// than it says.
pub fn get(address: SocketAddr, path: &str, timeout: Duration) -> io::Result<Response> {
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&answer)
}

/// [`get`] from inside a namespace.
pub fn get_in(
    namespace: &Namespace,
    address: SocketAddr,
    path: &str,
    timeout: Duration,
) -> io::Result<Response> {
    namespace.enter(|| get(address, path, timeout))
}

pub(super) fn parse(answer: &[u8]) -> io::Result<Response> {
    let text = String::from_utf8_lossy(answer);
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: `{text}`"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("closed after {} bytes", answer.len()),
        )
    })?;
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .ok_or_else(invalid)?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    if let Some(length) = length.filter(|length| body.len() < *length) {
        let message = format!("body ends after {} of {length} bytes", body.len());
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
    }
    Ok(Response {
        status,
        body: body.trim_end().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_answer_is_read() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nweb1\n";
        let expected = Response {
            status: 200,
            body: "web1".into(),
        };
        assert_eq!(parse(answer).unwrap(), expected);
    }

    #[test]
    fn a_cut_answer_is_a_failure() {
        let short = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nweb1\n").unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(parse(b"").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}

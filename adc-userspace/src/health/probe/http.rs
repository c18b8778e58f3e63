//! HTTP/1.1, with or without TLS: one request on a fresh connection.

use std::{io, net::SocketAddr, pin::pin};

use http_body_util::{BodyExt, Empty};
use hyper::{
    Request,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::model::HttpCheck;

use super::{
    InvalidMonitor,
    failure::{Deadline, Failure, short},
    request::{BODY_LIMIT, Expectation, Pattern, RequestTemplate},
    tcp,
    tls::TlsClient,
};

const RESPONSE: &str = "http response";

const CUT_SHORT: &str = "http: connection closed before the end of the response";

/// Bound on the head of a response, in bytes: a backend cannot make a probe hold more.
const HEAD_LIMIT: usize = 64 * 1024;

/// An HTTP monitor made ready.
#[derive(Debug)]
pub(super) struct HttpProbe {
    request: RequestTemplate,
    expect: Expectation,
    tls: Option<TlsClient>,
}

impl HttpProbe {
    pub(super) fn new(check: &HttpCheck) -> Result<Self, InvalidMonitor> {
        let request = RequestTemplate::new(check)?;
        let expect = Expectation::new(check)?;
        let tls = match &check.tls {
            Some(verify) => Some(TlsClient::new(verify, request.host_name())?),
            None => None,
        };
        Ok(Self {
            request,
            expect,
            tls,
        })
    }

    pub(super) async fn probe(
        &self,
        address: SocketAddr,
        opening: tcp::Opening,
        deadline: Deadline,
    ) -> Result<String, Failure> {
        let default_port = if self.tls.is_some() { 443 } else { 80 };
        let request = self.request.build(address, default_port)?;
        let stream = tcp::connect(address, opening, deadline).await?;
        match &self.tls {
            None => self.exchange(stream, request, deadline).await,
            Some(tls) => {
                let stream = tls.handshake(stream, address.ip(), deadline).await?;
                self.exchange(stream, request, deadline).await
            }
        }
    }

    async fn exchange<S>(
        &self,
        stream: S,
        request: Request<Empty<Bytes>>,
        deadline: Deadline,
    ) -> Result<String, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        deadline
            .bound(RESPONSE, async {
                let (sender, connection) = http1::Builder::new()
                    .max_buf_size(HEAD_LIMIT)
                    .handshake(TokioIo::new(stream))
                    .await
                    .map_err(failure)?;
                let mut answer = pin!(self.ask(sender, request));
                tokio::select! {
                    biased;
                    result = &mut answer => result,
                    // The connection's own error, if any, also reaches the pending answer.
                    _ended = connection => answer.await,
                }
            })
            .await
    }

    async fn ask(
        &self,
        mut sender: SendRequest<Empty<Bytes>>,
        request: Request<Empty<Bytes>>,
    ) -> Result<String, Failure> {
        let response = sender.send_request(request).await.map_err(failure)?;
        let status = response.status().as_u16();
        self.expect.check_status(status)?;
        match &self.expect.body {
            None => Ok(format!("http: status {status}")),
            Some(pattern) => {
                check_body(response.into_body(), pattern).await?;
                Ok(format!("http: status {status}, body as expected"))
            }
        }
    }
}

async fn check_body(mut incoming: Incoming, pattern: &Pattern) -> Result<(), Failure> {
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(failure)?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        let seen = body.len();
        body.extend(data.iter().take(BODY_LIMIT - seen));
        if pattern.found_early(&body, seen) {
            return Ok(());
        }
        if body.len() == BODY_LIMIT {
            break;
        }
    }
    pattern.check(&body)
}

/// Puts an error of the HTTP library in the words of this project.
#[expect(
    clippy::needless_pass_by_value,
    reason = "shaped for map_err, which hands the error over"
)]
fn failure(error: hyper::Error) -> Failure {
    if error.is_parse_too_large() {
        return Failure::Answer(format!(
            "http: response head is larger than {HEAD_LIMIT} bytes"
        ));
    }
    if error.is_parse() {
        return Failure::Answer("http: answer is not HTTP/1.x".to_owned());
    }
    let source = std::error::Error::source(&error);
    let io = source.and_then(|cause| cause.downcast_ref::<io::Error>());
    let ended = io.is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof);
    if ended || error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return Failure::Answer(CUT_SHORT.to_owned());
    }
    match io {
        Some(io) => Failure::Answer(format!("{RESPONSE}: {}", short(io))),
        None => Failure::Answer(format!("http: {error}")),
    }
}

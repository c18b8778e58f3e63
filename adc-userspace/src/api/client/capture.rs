//! A capture, piece by piece.

use http_body_util::BodyExt as _;
use hyper::{Method, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;

use super::{Client, MAX_ANSWER, request};
use crate::api::proto::{ApiError, CaptureRequest};

impl Client {
    /// Runs a capture and hands its file to `take`, piece by piece, until the agent ends it, `take` refuses a
    /// piece, or `stop` is done. Hanging up ends the capture.
    ///
    /// # Errors
    /// The agent refused, or went away before the capture ended.
    pub async fn capture(
        &self,
        wanted: &CaptureRequest,
        stop: impl Future<Output = ()>,
        mut take: impl FnMut(&Bytes) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let request = request(Method::POST, "capture", Some(wanted))?;
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.hung_up(&error))?;
        // Dropped, and with it the connection, when this returns.
        let mut driver = tokio::task::JoinSet::new();
        driver.spawn(connection);
        let sent = tokio::time::timeout(self.timeout, sender.send_request(request)).await;
        let Ok(sent) = sent else {
            return Err(self.no_answer());
        };
        let response = sent.map_err(|error| self.hung_up(&error))?;
        let success = response.status().is_success();
        let mut body = response.into_body();
        if !success {
            let told = http_body_util::Limited::new(body, MAX_ANSWER)
                .collect()
                .await;
            let told = told.map_err(|error| self.hung_up(&error))?;
            return Err(self.told(&told.to_bytes()));
        }
        let mut stop = std::pin::pin!(stop);
        loop {
            let frame = tokio::select! {
                () = &mut stop => return Ok(()),
                frame = body.frame() => frame,
            };
            let Some(frame) = frame else {
                return Ok(());
            };
            let frame = frame.map_err(|error| self.hung_up(&error))?;
            if let Some(piece) = frame.data_ref() {
                take(piece)?;
            }
        }
    }
}

//! BFD sessions.

use super::Client;
use crate::api::proto::{ApiError, BfdView};

impl Client {
    /// Every BFD session, by peer.
    pub async fn bfd(&self) -> Result<BfdView, ApiError> {
        self.get("bfd").await
    }
}

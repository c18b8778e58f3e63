//! VIPs that a routing daemon announces.

use super::Client;
use crate::api::proto::{AnnouncementView, ApiError};

impl Client {
    /// Every VIP that is announced while it is served, by address.
    pub async fn announcements(&self) -> Result<Vec<AnnouncementView>, ApiError> {
        self.get("announcements").await
    }
}

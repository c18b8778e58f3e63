//! HA groups.

use hyper::Method;

use super::{Client, Nothing, segment};
use crate::{
    api::proto::{ApiError, HaGroupView, HaOrder, HaView},
    model::GroupName,
};

impl Client {
    /// Every HA group, and the heartbeat.
    pub async fn ha(&self) -> Result<HaView, ApiError> {
        self.get("ha").await
    }

    /// Wants something of an HA group.
    pub async fn ha_order(
        &self,
        group: &GroupName,
        order: HaOrder,
    ) -> Result<HaGroupView, ApiError> {
        let path = format!("ha/{}/{}", segment(group), order.name());
        self.send(Method::POST, &path, Some(&Nothing)).await
    }
}

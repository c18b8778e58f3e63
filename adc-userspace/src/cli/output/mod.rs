//! Results as text: tables for people, JSON for programs.
//!
//! Tables never cut a value short, hold no control characters and look the same on a terminal and in a
//! pipe. JSON is the API's own, pretty-printed.

mod announce;
mod backend;
mod config;
mod explain;
mod flow;
mod ha;
mod jitter;
mod layout;
mod service;
mod status;
mod sync;

pub(super) use self::{
    announce::announcements,
    backend::{backend, backends, pools},
    config::{applied, checked, config, diff, findings},
    explain::explanation,
    flow::{decap, drops, flow_count, flows},
    ha::{ha, ha_group},
    jitter::jitter,
    service::{service, services},
    status::status,
};

use serde::Serialize;

use crate::api::proto::{ApiError, ErrorCode};

/// Pretty JSON with a newline at the end.
pub(super) fn json(value: &impl Serialize) -> Result<String, ApiError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        ApiError::new(
            ErrorCode::Internal,
            format!("cannot express the result as JSON: {error}"),
        )
    })?;
    Ok(text + "\n")
}

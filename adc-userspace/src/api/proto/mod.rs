//! JSON types of the control API, version 1.
//!
//! Stable: fields are added, never renamed, retyped or removed within `/api/v1`. Field names are
//! snake_case, values of enumerations kebab-case, times RFC 3339 in UTC. Responses may gain fields,
//! so readers ignore what they do not know; requests refuse unknown fields, because a misspelt
//! field in a change must not be dropped silently.

mod announce;
mod backend;
mod bfd;
mod capture;
mod config;
mod edit;
mod error;
mod explain;
mod flow;
mod ha;
mod ha_changes;
mod heartbeat;
mod reason;
mod refusal;
mod service;
mod snat;
mod status;
mod sync;
mod tcp_flags;
#[cfg(test)]
mod tests;
mod time;

pub use announce::AnnouncementView;
pub use backend::{BackendFilter, BackendView, HealthView, MonitorView, Traffic, WeightView};
pub use bfd::{BfdCounters, BfdSessionView, BfdView};
pub use capture::{CaptureFilter, CaptureRequest, FILTER_HELP, FilterTerm};
pub use config::{
    Applied, ConfigApply, ConfigCheck, ConfigChecked, ConfigDiff, ConfigSource, ConfigView,
    PlanView,
};
pub use edit::{BackendPatch, NewBackend, NewPool, NewService, edited};
pub use error::{ApiError, ErrorCode, Problem, sentence};
pub use explain::{
    ExplainPacket, ExplainRequest, ExplainStep, ExplainedBackend, Explanation, FieldView,
    HeaderChange, HeaderView, PacketTuple, RecordedFrame,
};
pub use flow::{AddressRange, FlowCount, FlowFilter, FlowPage, FlowTableView, FlowView};
pub use ha::{
    HaClaimView, HaCounters, HaGroupView, HaInterfaceView, HaOrder, HaPeerView, HaPriority,
    HaRulingView, HaTrackedView, HaView, KeeperView,
};
pub use ha_changes::{HaChangeView, HaDurations};
pub use heartbeat::{HeartbeatPathView, HeartbeatView};
pub use reason::{ReasonKind, ReasonRow};
pub use service::{Origin, ServiceSummary, ServiceView};
pub use snat::SnatUse;
pub use status::{ConfigSummary, InterfaceView, Severity, Status, Warning, warnings_about};
pub use sync::SyncView;
pub use tcp_flags::TcpFlags;
pub use time::Timestamp;

pub use crate::config::{Difference, edit::Edit};

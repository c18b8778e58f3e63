//! The heartbeat to the other node of a pair.

use std::fmt;

use super::families::Families;
use crate::api::proto::{HeartbeatPathView, HeartbeatView};

pub(super) fn render(out: &mut Families<'_>, heartbeat: Option<&HeartbeatView>) -> fmt::Result {
    // Without a peer, not even its names.
    let Some(heartbeat) = heartbeat else {
        return Ok(());
    };
    let peer = [("peer", heartbeat.peer.as_str())];
    out.gauge(
        "adc_heartbeat_peer_heard",
        "1 while the other node is heard by any path.",
        [(peer, u32::from(heartbeat.heard))],
    )?;
    out.gauge(
        "adc_heartbeat_config_differs",
        "1 while the other node is configured with other services, pools, monitors or profile.",
        [(peer, u32::from(heartbeat.config_differs))],
    )?;
    let label = |path: &HeartbeatPathView| [("interface", path.interface.clone())];
    let paths = &heartbeat.paths;
    out.gauge(
        "adc_heartbeat_path_heard",
        "1 while the other node is heard by the path.",
        paths.iter().map(|p| (label(p), u32::from(p.heard))),
    )?;
    out.gauge(
        "adc_heartbeat_longest_gap_seconds",
        "Longest time between two heartbeats of the other node since the agent started.",
        paths.iter().map(|p| (label(p), seconds(p))),
    )?;
    out.counter(
        "adc_heartbeat_sent",
        "Heartbeats sent.",
        paths.iter().map(|p| (label(p), p.sent)),
    )?;
    out.counter(
        "adc_heartbeat_not_sent",
        "Heartbeats that the kernel did not take: no address, no route, interface down.",
        paths.iter().map(|p| (label(p), p.not_sent)),
    )?;
    out.counter(
        "adc_heartbeat_received",
        "Heartbeats of the other node that were taken.",
        paths.iter().map(|p| (label(p), p.received)),
    )?;
    out.counter(
        "adc_heartbeat_refused",
        "Datagrams to the heartbeat's port that were ignored, by reason.",
        heartbeat
            .refused
            .iter()
            .map(|(reason, count)| ([("reason", reason.as_str())], *count)),
    )
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 285 years")]
fn seconds(path: &HeartbeatPathView) -> f64 {
    path.longest_gap_micros as f64 / 1e6
}

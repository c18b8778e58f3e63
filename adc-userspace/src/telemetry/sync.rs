//! Replication of flows to the other node of a pair.

use std::{collections::BTreeMap, fmt};

use super::families::Families;
use crate::api::proto::SyncView;

pub(super) fn render(out: &mut Families<'_>, sync: Option<&SyncView>) -> fmt::Result {
    // Before a pair there is nothing to say.
    let Some(sync) = sync else {
        return Ok(());
    };
    out.single(
        "adc_sync_in_sync",
        "Whether this node has the other node's flows: 1 or 0.",
        u32::from(sync.in_sync),
    )?;
    let ways = [("following", sync.following), ("serving", sync.serving)];
    out.gauge(
        "adc_sync_connected",
        "Whether flows are told now: the other node's to this one (following), this one's to the other (serving).",
        ways.map(|(way, on)| ([("direction", way)], u32::from(on))),
    )?;
    out.single(
        "adc_sync_lag_seconds",
        "Time from a flow's news to the word that the other node has it; the last one.",
        seconds(sync.lag_ms),
    )?;
    out.single(
        "adc_sync_waiting_flows",
        "Flows told that the other node has not taken yet.",
        sync.waiting,
    )?;
    out.single(
        "adc_sync_last_pull_flows",
        "Flows that came when everything was last fetched.",
        sync.pulled_flows,
    )?;
    out.single(
        "adc_sync_last_pull_seconds",
        "How long it took to fetch everything, the last time.",
        seconds(sync.pulled_ms),
    )?;
    let counters = [
        (
            "adc_sync_sent",
            "Flows told to the other node, those told again included.",
            sync.sent,
        ),
        (
            "adc_sync_unnamed",
            "Flows not told, because their backend is gone.",
            sync.unnamed,
        ),
        (
            "adc_sync_untold",
            "News of flows that did not fit into the ring; a walk through the flow table tells them.",
            sync.untold,
        ),
        (
            "adc_sync_resyncs",
            "Walks through the flow table because news was lost.",
            sync.resyncs,
        ),
        (
            "adc_sync_received",
            "Flows that the other node told.",
            sync.received,
        ),
        (
            "adc_sync_inserted",
            "Flows of the other node that were new here.",
            sync.inserted,
        ),
        (
            "adc_sync_pulls",
            "Times that everything was fetched.",
            sync.pulls,
        ),
    ];
    for (name, help, count) in counters {
        out.count(name, help, count)?;
    }
    out.counter(
        "adc_sync_skipped",
        "Flows of the other node that were not taken, by reason.",
        by_reason(&sync.skipped),
    )?;
    out.counter(
        "adc_sync_refused",
        "Connections of flow replication that were refused or ended, by reason.",
        by_reason(&sync.refused),
    )
}

fn by_reason(counts: &BTreeMap<String, u64>) -> impl Iterator<Item = ([(&str, &str); 1], u64)> {
    let rows = counts.iter();
    rows.map(|(reason, count)| ([("reason", reason.as_str())], *count))
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 285 000 years")]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1e3
}

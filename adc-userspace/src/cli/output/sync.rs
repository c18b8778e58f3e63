//! Replication of flows.

use std::collections::BTreeMap;

use super::layout::fields;
use crate::api::proto::SyncView;

pub(super) fn sync(seen: &SyncView) -> String {
    let state = match (seen.in_sync, seen.following) {
        (true, _) => "in sync: this node has the other's flows",
        (false, true) => "fetching the other's flows",
        (false, false) => "not connected: this node does not have the other's flows",
    };
    let told = if seen.serving {
        format!(
            "{} sent, {} not taken yet, {} ms behind",
            seen.sent, seen.waiting, seen.lag_ms
        )
    } else {
        format!("{} sent; the other node does not ask now", seen.sent)
    };
    let lost = format!(
        "{} did not fit into the ring, {} walks because of that, {} without a backend",
        seen.untold, seen.resyncs, seen.unnamed
    );
    let fetched = format!(
        "{} received, {} of them new here",
        seen.received, seen.inserted
    );
    let pulls = match seen.pulls {
        0 => "never".to_owned(),
        count => format!(
            "{count} times, last {} flows in {} ms",
            seen.pulled_flows, seen.pulled_ms
        ),
    };
    fields(&[
        (
            "flow sync",
            format!("{state} ({} by {})", seen.peer, seen.interface),
        ),
        ("told", told),
        ("lost news", lost),
        ("fetched", fetched),
        ("fetched whole", pulls),
        ("skipped", counted(&seen.skipped)),
        ("refused", counted(&seen.refused)),
    ])
}

/// Those that happened.
fn counted(counts: &BTreeMap<String, u64>) -> String {
    let counts = counts.iter().filter(|(_, count)| **count > 0);
    let counts: Vec<_> = counts
        .map(|(why, count)| format!("{why} {count}"))
        .collect();
    if counts.is_empty() {
        "none".into()
    } else {
        counts.join(", ")
    }
}

//! HA groups and the heartbeat.

use std::collections::BTreeMap;

use super::layout::{Column, fields, span, table};
use crate::api::proto::{
    HaChangeView, HaClaimView, HaCounters, HaGroupView, HaInterfaceView, HaPeerView, HaTrackedView,
    HaView, HeartbeatPathView, HeartbeatView,
};
use crate::{ha::Role, model::Election};

pub(in crate::cli) fn ha(view: &HaView) -> String {
    let mut text = groups(&view.groups);
    if let Some(strangers) = strangers(&view.interfaces) {
        text.push('\n');
        text += &fields(&[("adverts for no group", strangers)]);
    }
    if let Some(keeper) = &view.keeper {
        let died = match keeper.restarts {
            0 => String::new(),
            times => format!(", started again {times} times because it had died"),
        };
        let keeper = format!("process {}, version {}{died}", keeper.pid, keeper.version);
        text.push('\n');
        text += &fields(&[("keeper", keeper)]);
    }
    if let Some(seen) = &view.heartbeat {
        text.push('\n');
        text += &heartbeat(seen);
    }
    if let Some(seen) = &view.sync {
        text.push('\n');
        text += &super::sync::sync(seen);
    }
    text
}

fn heartbeat(seen: &HeartbeatView) -> String {
    let since = seen.since.as_ref().map_or_else(
        || "since the agent started".to_owned(),
        |since| format!("since {since}"),
    );
    let heard = if seen.heard { "heard" } else { "not heard" };
    let agent = match seen.agent_ok {
        Some(false) => ", its agent does not work",
        Some(true) | None => "",
    };
    let alike = if seen.config_differs {
        "other services, pools, monitors or profile than here: no group is given to it unless this node stops; compare the files"
    } else {
        "no difference known"
    };
    fields(&[
        ("peer", format!("{}: {heard} {since}{agent}", seen.peer)),
        ("profile", seen.profile.name().to_owned()),
        ("configuration", alike.to_owned()),
        ("paths", lines(&seen.paths, path)),
        ("refused", refused(&seen.refused)),
    ])
}

/// Interfaces that adverts came to which no group there is for; `None` = no such adverts.
fn strangers(interfaces: &[HaInterfaceView]) -> Option<String> {
    let some = interfaces.iter();
    let some = some.filter(|seen| seen.adverts_refused.values().any(|count| *count > 0));
    let lines = some.map(|seen| format!("{}: {}", seen.interface, refused(&seen.adverts_refused)));
    let lines: Vec<_> = lines.collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn path(path: &HeartbeatPathView) -> String {
    let heard = if path.heard { "heard" } else { "not heard" };
    let failed = match path.not_sent {
        0 => String::new(),
        count => format!(" ({count} not sent)"),
    };
    let micros = path.longest_gap_micros;
    format!(
        "{} to {}: {heard}, {} sent{failed}, {} received, longest gap {}.{:03} ms",
        path.interface,
        path.address,
        path.sent,
        path.received,
        micros / 1000,
        micros % 1000
    )
}

fn groups(groups: &[HaGroupView]) -> String {
    if groups.is_empty() {
        return "no HA groups: [[ha.group]] in the configuration file makes one\n".into();
    }
    let columns = [
        Column::Text("GROUP"),
        Column::Text("ROLE"),
        Column::Text("SINCE"),
        Column::Number("VRID"),
        Column::Text("INTERFACE"),
        Column::Text("PRIORITY"),
        Column::Text("WHY"),
    ];
    let row = |group: &HaGroupView| {
        vec![
            group.name.to_string(),
            group.role.to_string(),
            group.since.to_string(),
            group.vrid.to_string(),
            group.interface.clone(),
            priority(group),
            group.why.clone(),
        ]
    };
    let mut text = table(&columns, groups.iter().map(row));
    for group in groups {
        text.push('\n');
        text += &ha_group(group);
    }
    text
}

pub(in crate::cli) fn ha_group(group: &HaGroupView) -> String {
    let mut rows = vec![
        ("group", group.name.to_string()),
        ("role", format!("{}: {}", group.role, group.why)),
        ("since", group.since.to_string()),
        ("priority", priority(group)),
        ("election", election(group)),
        ("vips", lines(&group.vips, ToString::to_string)),
    ];
    if !group.virtual_macs.is_empty() {
        rows.push(("virtual mac", lines(&group.virtual_macs, String::clone)));
    }
    if let Some(order) = order(group) {
        rows.push(("order", order.into()));
    }
    if let Some(sync_group) = &group.sync_group {
        let others = group.moves_with.iter().map(ToString::to_string);
        let others = others.collect::<Vec<_>>().join(", ");
        let together = format!("{sync_group}: moves with {others}, and orders are for all of them");
        rows.push(("sync group", together));
    }
    if group.role == Role::Active {
        rows.push(("lease", lease(group)));
    }
    match &group.ruling {
        Some(ruling) => rows.push((
            "peer",
            ruling
                .peer
                .as_ref()
                .map_or_else(|| "not heard".into(), claim),
        )),
        None => rows.push(("peers", lines(&group.peers, peer))),
    }
    if !group.tracked.is_empty() {
        rows.push(("tracked", lines(&group.tracked, tracked)));
    }
    if !group.changes.is_empty() {
        rows.push(("changes", lines(&group.changes, change)));
    }
    rows.push(("counters", counters(&group.counters)));
    fields(&rows)
}

fn lines<T>(values: &[T], line: impl Fn(&T) -> String) -> String {
    if values.is_empty() {
        return "none".into();
    }
    values.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn priority(group: &HaGroupView) -> String {
    let priority = group.priority;
    if priority.configured == priority.effective {
        priority.effective.to_string()
    } else {
        format!("{} (file: {})", priority.effective, priority.configured)
    }
}

/// A change of the role: `TIME  FROM -> TO: WHY (PART 1.234 ms, ...)`.
fn change(change: &HaChangeView) -> String {
    let parts = change.took.parts();
    let parts = parts.map(|(part, micros)| {
        let (whole, rest) = (micros / 1_000, micros % 1_000);
        format!("{part} {whole}.{rest:03} ms")
    });
    let parts: Vec<_> = parts.collect();
    let took = match parts.as_slice() {
        [] => String::new(),
        parts => format!(" ({})", parts.join(", ")),
    };
    let HaChangeView {
        at, from, to, why, ..
    } = change;
    format!("{at}  {from} -> {to}: {why}{took}")
}

fn claim(peer: &HaClaimView) -> String {
    format!(
        "{}, priority {}, term {}",
        peer.role, peer.priority, peer.term
    )
}

fn lease(group: &HaGroupView) -> String {
    group.lease_ms.map_or_else(
        || "none: the data plane does not serve the group".into(),
        |millis| format!("{millis} ms left if nobody renews it"),
    )
}

fn election(group: &HaGroupView) -> String {
    let preempt = if group.preempt {
        "preempt"
    } else {
        "no preempt"
    };
    if group.election == Election::Heartbeat {
        let term = group.ruling.as_ref().map_or(0, |ruling| ruling.term);
        return format!("heartbeat, term {term}, {preempt}");
    }
    format!(
        "VRRP {}, VRID {} on {}, every {} ms, {preempt}",
        group.version, group.vrid, group.interface, group.advert_interval_ms
    )
}

fn order(group: &HaGroupView) -> Option<&'static str> {
    if group.held {
        Some("held: this node will not be active until `adc ha release`")
    } else if group.yielded {
        Some("handed over: the active node is left alone until `adc ha release`")
    } else {
        None
    }
}

fn peer(peer: &HaPeerView) -> String {
    let seen = match peer.last_seen_ms {
        millis if millis < 10_000 => format!("{millis} ms"),
        millis => span(millis / 1000),
    };
    let priority = match peer.priority {
        0 => "resigned".to_owned(),
        priority => format!("priority {priority}"),
    };
    let vips = if peer.same_vips {
        ""
    } else {
        ", with other VIPs than ours"
    };
    format!(
        "{}: {priority}, every {} ms, last seen {seen} ago{vips}",
        peer.address, peer.advert_interval_ms
    )
}

fn tracked(tracked: &HaTrackedView) -> String {
    let state = match tracked.well {
        Some(true) => "well",
        Some(false) => "not well",
        None => "not known yet",
    };
    let effect = match (tracked.fault, tracked.weight) {
        (true, _) => ", keeps this node from being active".to_owned(),
        (false, 0) => String::new(),
        (false, weight) => format!(", priority {weight:+}"),
    };
    format!("{}: {state}{effect}", tracked.what)
}

fn refused(counts: &BTreeMap<String, u64>) -> String {
    let some = counts.iter().filter(|(_, count)| **count > 0);
    let some: Vec<_> = some
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    if some.is_empty() {
        "none".to_owned()
    } else {
        some.join(", ")
    }
}

fn counters(counters: &HaCounters) -> String {
    let refused = refused(&counters.adverts_refused);
    format!(
        "{} transitions\nadverts: {} sent, {} not sent, {} received\nrefused: {refused}",
        counters.transitions,
        counters.adverts_sent,
        counters.adverts_failed,
        counters.adverts_received
    )
}

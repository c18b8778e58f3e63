//! BFD sessions.

use std::time::Duration;

use super::layout::{Column, fields, or_dash, table};
use crate::api::proto::{BfdSessionView, BfdView};

pub(in crate::cli) fn bfd(view: &BfdView) -> String {
    if view.sessions.is_empty() {
        return "there are no BFD sessions: [[bfd]] in the configuration file makes one, and a monitor with type = \"bfd\" one for each backend\n".into();
    }
    let columns = [
        Column::Text("SESSION"),
        Column::Text("PEER"),
        Column::Text("STATE"),
        Column::Text("SINCE"),
        Column::Text("WHY"),
    ];
    let row = |session: &BfdSessionView| {
        vec![
            session.name.clone(),
            session.peer.to_string(),
            session.state.name().to_owned(),
            session.since.to_string(),
            session.why.clone(),
        ]
    };
    let sessions = view.sessions.iter();
    let described =
        sessions.map(|session| format!("\n{}\n{}", session.name, fields(&details(session))));
    table(&columns, view.sessions.iter().map(row)) + &described.collect::<String>()
}

fn details(session: &BfdSessionView) -> Vec<(&'static str, String)> {
    let counters = &session.counters;
    let refused = counters.refused.iter().filter(|(_, count)| **count > 0);
    let refused: Vec<_> = refused
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    let by = session.interface.as_ref();
    let mut rows = vec![
        (
            "from",
            format!(
                "{} by {}",
                or_dash(session.local.as_ref()),
                by.map_or("any interface", String::as_str)
            ),
        ),
        ("verdict", session.verdict.name().to_owned()),
        (
            "peer says",
            session.remote_state.map_or_else(
                || "nothing".to_owned(),
                |state| {
                    let diagnostic = session.remote_diagnostic.as_deref().unwrap_or("none");
                    format!("{} (diagnostic: {diagnostic})", state.name())
                },
            ),
        ),
        ("diagnostic", session.diagnostic.clone()),
        (
            "discriminators",
            format!(
                "{} here, {} there",
                session.local_discriminator,
                or_dash(session.remote_discriminator.as_ref())
            ),
        ),
        (
            "configured",
            format!(
                "{} x {}",
                shown(session.interval_micros),
                session.multiplier
            ),
        ),
        (
            "agreed",
            format!(
                "sends every {}, down after {} of silence",
                session.transmit_micros.map_or("-".into(), shown),
                session.detection_micros.map_or("-".into(), shown)
            ),
        ),
        (
            "packets",
            format!(
                "{} sent, {} not sent, {} received, {} changes of state",
                counters.sent, counters.not_sent, counters.received, counters.transitions
            ),
        ),
    ];
    if !refused.is_empty() {
        rows.push(("refused", refused.join(", ")));
    }
    rows.extend(session.trouble.clone().map(|what| ("trouble", what)));
    rows
}

fn shown(micros: u64) -> String {
    humantime::format_duration(Duration::from_micros(micros)).to_string()
}

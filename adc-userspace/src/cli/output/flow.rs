//! Flows and reasons.

use super::layout::{Column, bytes, or_dash, span, table};
use crate::{
    api::proto::{FlowCount, FlowPage, FlowView, ReasonKind, ReasonRow},
    cli::DecapCount,
};

pub(in crate::cli) fn flows(page: &FlowPage) -> String {
    let columns = [
        Column::Text("PROTOCOL"),
        Column::Text("CLIENT"),
        Column::Text("VIP"),
        Column::Text("BACKEND"),
        Column::Text("SERVICE"),
        Column::Text("NAME"),
        Column::Text("PHASE"),
        Column::Number("IDLE"),
    ];
    let row = |f: &FlowView| {
        vec![
            f.protocol.name().to_owned(),
            f.client.to_string(),
            f.vip.to_string(),
            f.backend.to_string(),
            or_dash(f.service.as_ref()),
            or_dash(f.backend_name.as_ref()),
            f.phase.clone(),
            span(f.idle_seconds),
        ]
    };
    let shown = page.flows.len() as u64;
    if page.matched == 0 {
        return "no flows\n".into();
    }
    let text = table(&columns, page.flows.iter().map(row));
    if shown < page.matched {
        let matched = page.matched;
        return text + &format!("\n{shown} of {matched} flows; --limit shows more.\n");
    }
    text
}

pub(in crate::cli) fn flow_count(count: &FlowCount) -> String {
    let mut text = format!("{}\n", count.total);
    if !count.phases.is_empty() {
        let columns = [Column::Text("PHASE"), Column::Number("FLOWS")];
        let rows = count.phases.iter();
        text.push('\n');
        text += &table(
            &columns,
            rows.map(|(phase, flows)| vec![phase.clone(), flows.to_string()]),
        );
    }
    if !count.tables.is_empty() {
        let columns = [
            Column::Text("TABLE"),
            Column::Number("FLOWS"),
            Column::Number("CAPACITY"),
        ];
        let rows = count.tables.iter();
        text.push('\n');
        text += &table(
            &columns,
            rows.map(|t| vec![t.table.clone(), t.flows.to_string(), t.capacity.to_string()]),
        );
    }
    text
}

/// What a decapsulator did.
pub(in crate::cli) fn decap(rows: &[DecapCount]) -> String {
    let columns = [
        Column::Text("OUTCOME"),
        Column::Number("PACKETS"),
        Column::Text("MEANING"),
    ];
    let row = |r: &DecapCount| {
        vec![
            r.outcome.to_owned(),
            r.packets.to_string(),
            r.meaning.to_owned(),
        ]
    };
    table(&columns, rows.iter().map(row))
}

/// Dropped packets by reason; with `all`, every reason.
pub(in crate::cli) fn drops(rows: &[ReasonRow], all: bool) -> String {
    let shown = |row: &&ReasonRow| match row.class {
        ReasonKind::Dropped => all || row.packets > 0,
        ReasonKind::Forwarded | ReasonKind::Passed => all,
    };
    let columns = [
        Column::Text("REASON"),
        Column::Text("CLASS"),
        Column::Number("PACKETS"),
        Column::Number("BYTES"),
        Column::Text("MEANING"),
    ];
    let row = |r: &ReasonRow| {
        vec![
            r.reason.clone(),
            r.class.name().to_owned(),
            r.packets.to_string(),
            bytes(r.bytes),
            r.meaning.clone(),
        ]
    };
    let rows: Vec<_> = rows.iter().filter(shown).map(row).collect();
    if rows.is_empty() {
        return "nothing was dropped; --all shows every reason\n".into();
    }
    table(&columns, rows)
}

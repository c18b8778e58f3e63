//! An explanation, for people: the verdict first, then how it came about.

use super::layout::{fields, lines};
use crate::api::proto::{ExplainedBackend, Explanation, HeaderChange, HeaderView};

pub(in crate::cli) fn explanation(told: &Explanation) -> String {
    let mut rows = vec![
        ("packet", told.packet.clone()),
        ("in", told.interface.clone()),
        ("verdict", verdict(told)),
        ("reason", format!("{}: {}", told.reason, told.meaning)),
    ];
    if let Some(service) = &told.service {
        rows.push(("service", service.to_string()));
    }
    if let Some(backend) = &told.backend {
        rows.push(("backend", backend_text(backend)));
    }
    if let Some(hint) = &told.hint {
        rows.push(("hint", hint.clone()));
    }
    if !told.assumed.is_empty() {
        rows.push(("assumed", told.assumed.join("\n")));
    }
    if !told.notes.is_empty() {
        rows.push(("note", told.notes.join("\n")));
    }
    let mut text = fields(&rows);
    text += "\nThe way of the packet\n";
    let steps = told.steps.iter().zip(1..);
    text += &lines(steps.map(|(step, number)| format!("  {number:2}. {}", step.text)));
    if told.after.is_some() {
        text += "\nWhat is rewritten\n";
        text += &lines(told.changes.iter().map(change));
    }
    text += "\nHeaders before\n";
    text += &lines(told.before.iter().map(header));
    if let Some(after) = &told.after {
        text += "\nHeaders after\n";
        text += &lines(after.iter().map(header));
    }
    text + "\nNothing was sent, and nothing was changed: no flow, no counter.\n"
}

fn verdict(told: &Explanation) -> String {
    match &told.leaves_by {
        Some(interface) => format!("{}: it leaves by {interface}", told.verdict),
        None if told.verdict == "pass" => "pass: this node's own network stack gets it".into(),
        None => told.verdict.clone(),
    }
}

fn backend_text(backend: &ExplainedBackend) -> String {
    let name = match (&backend.pool, &backend.name) {
        (Some(pool), Some(name)) => format!("{pool}/{name} at {}", backend.address),
        _ => format!("{} (removed from the configuration)", backend.address),
    };
    let (Some(weight), Some(reason)) = (backend.weight, &backend.reason) else {
        return name;
    };
    format!("{name}, weight {} now: {reason}", weight.0)
}

fn change(change: &HeaderChange) -> String {
    let place = match &change.field {
        Some(field) => format!("{} {field}", change.header),
        None => change.header.clone(),
    };
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => format!("  {place}: {before} -> {after}"),
        (None, Some(after)) => format!("  {place}: added ({after})"),
        (Some(before), None) => format!("  {place}: removed ({before})"),
        (None, None) => format!("  {place}"),
    }
}

fn header(header: &HeaderView) -> String {
    let fields = header.fields.iter();
    let fields: Vec<String> = fields
        .map(|field| format!("{} {}", field.name, field.value))
        .collect();
    format!("  {:9} {}", header.header, fields.join(", "))
}

//! Configuration, plans and findings.

use std::path::Path;

use super::{
    layout::{Column, lines, table},
    status,
};
use crate::{
    api::proto::{Applied, ConfigChecked, ConfigDiff, ConfigView, Edit},
    doctor::Finding,
};

pub(in crate::cli) fn applied(applied: &Applied) -> String {
    let head = match (applied.applied, applied.plan.lines.is_empty()) {
        (true, false) => format!("applied, generation {}:", applied.generation),
        (true, true) => format!(
            "applied, generation {}; nothing changes for packets",
            applied.generation
        ),
        (false, false) => "dry run, this would be done:".into(),
        (false, true) => "dry run, nothing would change for packets".into(),
    };
    let plan = applied.plan.lines.iter().map(|line| format!("  {line}"));
    let notes = applied.notes.iter().map(|note| format!("note: {note}"));
    lines([head].into_iter().chain(plan).chain(notes))
}

pub(in crate::cli) fn checked(file: &Path, checked: &ConfigChecked) -> String {
    format!(
        "{} is valid (services: {}, pools: {}, backends: {}, monitors: {})\n",
        file.display(),
        checked.services,
        checked.pools,
        checked.backends,
        checked.monitors
    )
}

/// TOML that can be saved and applied again; what is not TOML is a comment.
pub(in crate::cli) fn config(config: &ConfigView) -> String {
    let summary = status::config(&config.summary);
    let comments = summary.lines().map(|line| format!("# {line}"));
    let edits = edit_lines(&config.edits, "#   ");
    lines(comments.chain(edits)) + "\n" + config.text.trim_end() + "\n"
}

pub(in crate::cli) fn diff(diff: &ConfigDiff) -> String {
    let path = diff.path.display();
    let edits = if diff.edits.is_empty() {
        "no runtime edits\n".to_owned()
    } else {
        let head = format!("runtime edits on top of {path}:");
        lines([head].into_iter().chain(edit_lines(&diff.edits, "  ")))
    };
    let differences = if diff.differences.is_empty() {
        format!("{path} is what runs\n")
    } else {
        let each = diff.differences.iter().map(|d| format!("  {d}"));
        lines(
            ["what runs is not what the file says:".into()]
                .into_iter()
                .chain(each),
        )
    };
    let plan = if diff.plan.lines.is_empty() {
        String::new()
    } else {
        let head = format!("{path} was edited since it was applied; `adc config apply` would do:");
        let steps = diff.plan.lines.iter().map(|line| format!("  {line}"));
        lines([head].into_iter().chain(steps))
    };
    edits + &differences + &plan
}

fn edit_lines(edits: &[Edit], indent: &str) -> impl Iterator<Item = String> {
    edits.iter().map(move |edit| format!("{indent}{edit}"))
}

pub(in crate::cli) fn findings(findings: &[Finding]) -> String {
    let columns = [
        Column::Text("RESULT"),
        Column::Text("SUBJECT"),
        Column::Text("FINDING"),
    ];
    let row = |f: &Finding| {
        let finding = match &f.remedy {
            Some(remedy) => format!("{}\n{remedy}", f.what),
            None => f.what.clone(),
        };
        vec![f.severity.name().to_owned(), f.subject.clone(), finding]
    };
    table(&columns, findings.iter().map(row))
}

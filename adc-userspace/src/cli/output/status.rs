//! The node at a glance.

use super::{
    layout::{fields, lines, span},
    service::summary_table,
};
use crate::{
    api::proto::{ConfigSummary, Difference, FlowCount, InterfaceView, Severity, Status, Warning},
    model::AttachMode,
};

pub(in crate::cli) fn status(status: &Status) -> String {
    let head = format!("{}: {}", status.node, verdict(&status.warnings));
    let warnings = status.warnings.iter().flat_map(warning);
    let mut text = lines([head].into_iter().chain(warnings));
    text.push('\n');
    let interfaces: Vec<_> = status.interfaces.iter().map(interface).collect();
    text += &fields(&[
        (
            "agent",
            format!(
                "version {}, up {}, since {}",
                status.version,
                span(status.uptime_seconds),
                status.started
            ),
        ),
        ("config", config(&status.config)),
        ("interfaces", interfaces.join("\n")),
        ("flows", flows(&status.flows)),
    ]);
    text += &differences(&status.differences);
    text.push('\n');
    if status.services.is_empty() {
        text + "no services: `adc service add` makes one, or write it into the configuration file\n"
    } else {
        text + &summary_table(&status.services)
    }
}

fn warning(warning: &Warning) -> impl Iterator<Item = String> {
    let Warning {
        severity,
        subject,
        what,
        remedy,
    } = warning;
    let says = format!("  {}: {subject}: {what}", severity.name());
    let remedy = (!remedy.is_empty()).then(|| format!("    {remedy}"));
    [says].into_iter().chain(remedy)
}

/// What people changed at run time; a long list is left to `adc config diff`.
fn differences(differences: &[Difference]) -> String {
    const SHOWN: usize = 10;
    if differences.is_empty() {
        return String::new();
    }
    let head = [
        String::new(),
        "changed at run time, not in the file:".into(),
    ];
    let shown = differences.iter().take(SHOWN).map(|d| format!("  {d}"));
    let more = differences.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("  and {more} more: `adc config diff`"));
    lines(head.into_iter().chain(shown).chain(more))
}

fn verdict(warnings: &[Warning]) -> String {
    if warnings.is_empty() {
        return "all is well".into();
    }
    let count = |severity| warnings.iter().filter(|w| w.severity == severity).count();
    format!(
        "degraded, {} critical, {} other",
        count(Severity::Critical),
        count(Severity::Warning)
    )
}

pub(super) fn config(config: &ConfigSummary) -> String {
    let edits = match config.edits {
        0 => "as in the file".into(),
        1 => "1 runtime edit on top of the file".into(),
        many => format!("{many} runtime edits on top of the file"),
    };
    let text = format!(
        "{}, {edits}\ngeneration {}, hash {}, applied {}",
        config.path.display(),
        config.generation,
        config.hash,
        config.applied
    );
    match &config.last_reload_error {
        Some(error) => format!("{text}\nthe last reload was refused: {error}"),
        None => text,
    }
}

fn interface(interface: &InterfaceView) -> String {
    let mode = match interface.mode {
        AttachMode::Native => "native",
        AttachMode::Skb => "skb",
    };
    let adopted = if interface.adopted { ", adopted" } else { "" };
    format!("{} ({mode}{adopted})", interface.name)
}

fn flows(count: &FlowCount) -> String {
    let tables: Vec<_> = count
        .tables
        .iter()
        .map(|t| format!("{} {} of {}", t.table, t.flows, t.capacity))
        .collect();
    if tables.is_empty() {
        count.total.to_string()
    } else {
        format!("{} ({})", count.total, tables.join(", "))
    }
}

//! HA groups.

use std::{fmt, time::Duration};

use super::families::Families;
use crate::{
    api::proto::{HaCounters, HaGroupView, HaView},
    ha::Role,
};

pub(super) fn render(out: &mut Families<'_>, view: &HaView) -> fmt::Result {
    if let Some(keeper) = &view.keeper {
        out.counter(
            "adc_ha_keeper_restarts",
            "Keepers that died and were started again by this agent.",
            [([("version", keeper.version.clone())], keeper.restarts)],
        )?;
    }
    let groups = &view.groups;
    // Without groups, not even their names.
    if groups.is_empty() {
        return Ok(());
    }
    let roles = groups.iter().flat_map(|group| {
        Role::ALL.map(|role| {
            let labels = [("group", group.name.as_str()), ("role", role.name())];
            (labels, u32::from(group.role == role))
        })
    });
    out.gauge(
        "adc_ha_role",
        "What this node is for the group: 1 for the role it has.",
        roles,
    )?;
    let label = |group: &HaGroupView| [("group", group.name.to_string())];
    out.gauge(
        "adc_ha_priority",
        "Priority that adverts have, with what tracked things add to it.",
        groups
            .iter()
            .map(|group| (label(group), u32::from(group.priority.effective))),
    )?;
    let leased = groups.iter().filter_map(|group| {
        let left = group.lease_ms?;
        Some((label(group), Duration::from_millis(left).as_secs_f64()))
    });
    out.gauge(
        "adc_ha_lease_seconds",
        "For how long the data plane serves the group if nobody renews the lease; absent where it does not.",
        leased,
    )?;
    let failovers = groups.iter().flat_map(|group| {
        let mut changes = group.changes.iter().rev();
        let last = changes.find(|change| change.to == Role::Active);
        let parts = last.into_iter().flat_map(|change| change.took.parts());
        parts.map(|(part, micros)| {
            let labels = [("group", group.name.as_str()), ("part", part)];
            (labels, Duration::from_micros(micros).as_secs_f64())
        })
    });
    out.gauge(
        "adc_ha_last_failover_seconds",
        "How long the last change that made this node active took, by part.",
        failovers,
    )?;
    let each = |value: fn(&HaCounters) -> u64| {
        groups
            .iter()
            .map(move |group| (label(group), value(&group.counters)))
    };
    out.counter(
        "adc_ha_transitions",
        "Changes of the role.",
        each(|counters| counters.transitions),
    )?;
    out.counter(
        "adc_ha_adverts_sent",
        "Adverts sent.",
        each(|counters| counters.adverts_sent),
    )?;
    out.counter(
        "adc_ha_adverts_failed",
        "Adverts that could not be sent.",
        each(|counters| counters.adverts_failed),
    )?;
    out.counter(
        "adc_ha_adverts_received",
        "Adverts of other routers that were taken seriously.",
        each(|counters| counters.adverts_received),
    )?;
    let refused = groups.iter().flat_map(|group| {
        let refused = group.counters.adverts_refused.iter();
        refused.map(|(reason, count)| {
            let labels = [("group", group.name.as_str()), ("reason", reason.as_str())];
            (labels, *count)
        })
    });
    out.counter(
        "adc_ha_adverts_refused",
        "Adverts that were not listened to, by reason.",
        refused,
    )?;
    let strangers = view.interfaces.iter().flat_map(|seen| {
        let refused = seen.adverts_refused.iter();
        refused.map(|(reason, count)| {
            let labels = [
                ("interface", seen.interface.as_str()),
                ("reason", reason.as_str()),
            ];
            (labels, *count)
        })
    });
    out.counter(
        "adc_ha_interface_adverts_refused",
        "Adverts for no group on the interface, by reason.",
        strangers,
    )
}

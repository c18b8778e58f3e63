//! HA groups.

use std::{fmt, time::Duration};

use super::families::Families;
use crate::{
    api::proto::{HaCounters, HaGroupView},
    ha::Role,
};

pub(super) fn render(out: &mut Families<'_>, groups: &[HaGroupView]) -> fmt::Result {
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
    )
}

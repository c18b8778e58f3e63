//! `[announce]`.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    super::{bounds, error::Fault},
    section::Section,
};
use crate::model::RouteAnnouncement;

const VIPS: &str = "an array of VIPs, such as [\"203.0.113.10\", \"2001:db8::10\"]; without it, the VIPs of all services that are in no HA group";

/// Reads the table; `None` = there is none, and nothing is announced.
pub(super) fn announce(root: &Section<'_>) -> Option<RouteAnnouncement> {
    if !root.takes_and_has("announce") {
        return None;
    }
    let section = root.table("announce");
    let default = RouteAnnouncement::default();
    let read = RouteAnnouncement {
        table: table(&section).unwrap_or(default.table),
        vips: vips(&section),
        require: section.word("require").unwrap_or(default.require),
        min_up: section
            .integer("min_up", bounds::MIN_UP)
            .unwrap_or(default.min_up),
        up_after: section
            .duration("up_after", bounds::HOLD)
            .unwrap_or(default.up_after),
        down_after: section
            .duration("down_after", bounds::HOLD)
            .unwrap_or(default.down_after),
        drain: section
            .duration("drain", bounds::DRAIN)
            .unwrap_or(default.drain),
    };
    section.finish();
    Some(read)
}

/// Not one that the kernel forwards by: a route that drops packets must not stand there.
fn table(section: &Section<'_>) -> Option<u32> {
    let table = section.integer("table", 1..=u32::MAX)?;
    if !bounds::KERNEL_TABLES.contains(&table) {
        return Some(table);
    }
    let fault = Fault::new("the kernel forwards packets by this table").value(table.to_string());
    section.fault(
        "table",
        fault.allowed("1 to 252, or 256 and more: a table that no `ip rule` names"),
    );
    None
}

fn vips(section: &Section<'_>) -> BTreeSet<IpAddr> {
    if section.is_empty_array("vips") {
        section.fault("vips", Fault::new("is empty").allowed(VIPS));
    }
    let mut vips = BTreeSet::new();
    for (path, text) in section.texts("vips", VIPS) {
        let fault = match text.parse::<IpAddr>() {
            Err(_) => Fault::new("not an IP address"),
            Ok(vip) if vips.insert(vip.to_canonical()) => continue,
            Ok(_) => Fault::new("listed twice"),
        };
        section.fault_at(&path, fault.value(text).allowed(VIPS));
    }
    vips
}

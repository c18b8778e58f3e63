//! What must hold of HA groups whose addresses are at virtual MACs.

use std::collections::{BTreeMap, BTreeSet};

use adc_common::abi::VIRTUAL_ROUTERS;

use super::{
    super::error::Fault,
    place::{Breach, Place},
};
use crate::model::{Config, GroupName};

/// The MAC says the virtual router and nothing else, so each can be on an interface once; and the packet walk knows two of them on an
/// interface.
pub(super) fn check(config: &Config, breaches: &mut Vec<Breach>) {
    let mut on: BTreeMap<&str, Vec<(&GroupName, u8)>> = BTreeMap::new();
    let groups = config.ha.groups.iter();
    for (name, group) in groups.filter(|(_, group)| group.virtual_mac) {
        let vips = group.vips.iter();
        let interfaces: BTreeSet<_> = vips.map(|vip| group.interface_of(vip)).collect();
        for interface in interfaces {
            on.entry(interface).or_default().push((name, group.vrid));
        }
    }
    for (interface, groups) in on {
        for (index, (name, vrid)) in groups.iter().enumerate() {
            let at = |field| Place::Group(GroupName::clone(name), field);
            let earlier = groups.get(..index).unwrap_or_default();
            if let Some((first, _)) = earlier.iter().find(|(_, other)| other == vrid) {
                let problem =
                    format!("one virtual MAC is one group on {interface}, and this is that of");
                let fault = Fault::new(problem).value(vrid.to_string());
                let other = Place::Group(GroupName::clone(first), "vrid");
                breaches.push(Breach::new(at("vrid"), fault).with(other));
            } else if index >= VIRTUAL_ROUTERS {
                let problem = format!(
                    "{interface} has the virtual MACs of two other groups, and has room for no more"
                );
                let allowed =
                    "false, or the addresses in one of those groups, or on another interface";
                let fault = Fault::new(problem).value("true").allowed(allowed);
                breaches.push(Breach::new(at("virtual_mac"), fault));
            }
        }
    }
}

//! HA groups in plans.

use adc_common::abi::{Addr16, GroupSlot, LeaseEntry};

use super::*;
use crate::{
    model::{GroupName, GroupVip, HaGroup},
    plan::{Change, GroupChange, PlanError},
};

const FRONT: GroupSlot = GroupSlot(1);

fn group_name(name: &str) -> GroupName {
    name.parse().expect("a name")
}

fn with_group(mut config: Config, name: &str, vips: &[&str]) -> Config {
    let vips = vips.iter().map(|vip| GroupVip {
        address: ip(vip),
        length: None,
        interface: None,
    });
    let group = HaGroup {
        election: crate::model::Election::default(),
        vrid: 1,
        interface: "eth0".into(),
        version: crate::model::VrrpVersion::default(),
        priority: 100,
        advert_interval: std::time::Duration::from_secs(1),
        preempt: true,
        preempt_delay: std::time::Duration::ZERO,
        checksum: crate::model::Checksum::default(),
        unicast_peers: Vec::new(),
        vips: vips.collect(),
        virtual_mac: false,
        announce: crate::model::Announce::default(),
        track: Vec::new(),
    };
    config.ha.groups.insert(group_name(name), group);
    config
}

fn one() -> Config {
    config(
        &[("www", "203.0.113.10:80", "web")],
        &[("web", &[("10.0.0.1:80", 100)])],
    )
}

fn slots_of(tables: &Observed) -> (GroupSlot, GroupSlot) {
    let service = tables.services.values().next().expect("a service");
    let backend = tables.backends.values().next().expect("a backend");
    (service.group, backend.group)
}

#[test]
fn a_group_has_its_slot_before_anything_names_it() {
    let config = with_group(one(), "front", &["203.0.113.10", "10.0.0.254"]);
    let mut tables = Observed::default();
    for change in &plan(&wanted(&config), &tables).changes {
        tables.record(change);
        let named = tables.services.values().map(|entry| entry.group);
        let named = named.chain(tables.backends.values().map(|entry| entry.group));
        for slot in named.chain(tables.group_vips.values().copied()) {
            assert!(
                tables.groups.contains_key(&slot),
                "{slot:?} after {change:?}"
            );
        }
    }
    assert_eq!(slots_of(&tables), (FRONT, FRONT));
    let vips = ["203.0.113.10", "10.0.0.254"].map(|vip| (Addr16::from(ip(vip)), FRONT));
    assert_eq!(tables.group_vips, vips.into());
    assert_eq!(
        tables.groups,
        [(FRONT, LeaseEntry::group_id("front"))].into()
    );
}

#[test]
fn a_group_keeps_its_slot_whatever_comes_and_goes_beside_it() {
    let front = with_group(one(), "front", &["203.0.113.10"]);
    let mut tables = tables_of(&wanted(&with_group(front, "a", &["203.0.113.99"])));
    let slot = slots_of(&tables).0;
    let alone = with_group(one(), "front", &["203.0.113.10"]);
    apply(&plan(&wanted(&alone), &tables), &mut tables);
    assert_eq!(slots_of(&tables), (slot, slot));
    assert_eq!(tables.groups.len(), 1);
    apply(
        &plan(&wanted(&with_group(alone, "b", &["203.0.113.98"])), &tables),
        &mut tables,
    );
    assert_eq!(slots_of(&tables), (slot, slot));
    assert_eq!(tables.groups.len(), 2);
}

#[test]
fn a_group_that_is_gone_frees_its_slot_last_and_leaves_no_trace() {
    let grouped = with_group(one(), "front", &["203.0.113.10"]);
    let mut tables = tables_of(&wanted(&grouped));
    let plan = plan(&wanted(&one()), &tables);
    let last = plan.changes.last();
    assert_eq!(
        last,
        Some(&Change::Group(GroupChange::Free { slot: FRONT }))
    );
    apply(&plan, &mut tables);
    assert_eq!(slots_of(&tables), (GroupSlot(0), GroupSlot(0)));
    assert!(tables.groups.is_empty() && tables.group_vips.is_empty());
}

#[test]
fn a_removed_backend_stays_in_its_group_while_it_has_flows() {
    let grouped = with_group(one(), "front", &["203.0.113.10"]);
    let mut tables = tables_of(&wanted(&grouped));
    let mut without = grouped.clone();
    without
        .pools
        .values_mut()
        .for_each(|pool| pool.backends.clear());
    tables.backends_with_flows = Some([BackendId(1)].into());
    let desired = desired(&without, &all_up(&without), &all_resolved(&grouped));
    apply(&plan(&desired, &tables), &mut tables);
    assert_eq!(slots_of(&tables), (FRONT, FRONT));
}

#[test]
fn a_slot_is_not_given_out_while_a_removed_service_with_flows_names_it() {
    let grouped = with_group(one(), "front", &["203.0.113.10"]);
    let mut tables = tables_of(&wanted(&grouped));
    tables.backends_with_flows = Some([BackendId(1)].into());
    let nothing = desired(
        &empty_config(),
        &EffectiveWeights::new(),
        &all_resolved(&grouped),
    );
    apply(&plan(&nothing, &tables), &mut tables);
    assert!(tables.groups.contains_key(&FRONT));
    tables.backends_with_flows = Some(BTreeSet::new());
    apply(&plan(&nothing, &tables), &mut tables);
    assert!(tables.groups.is_empty() && tables.services.is_empty());
}

#[test]
fn more_groups_than_slots_plan_nothing_and_name_the_limit() {
    let mut config = empty_config();
    for n in 0..64 {
        config = with_group(config, &format!("g{n}"), &[&format!("203.0.113.{n}")]);
    }
    let refused = diff(&wanted(&config), &Observed::default(), &limits());
    let expected = PlanError::TooManyGroups {
        limit: 63,
        configured: 64,
        kept: 0,
    };
    assert_eq!(refused, Err(expected));
}

#[test]
fn people_read_of_groups() {
    let config = with_group(one(), "front", &["203.0.113.10"]);
    let text = plan(&wanted(&config), &Observed::default()).to_string();
    assert!(text.contains("+ HA group front (slot 1)\n"), "{text}");
    assert!(text.contains(", HA group slot 1\n"), "{text}");
    assert!(
        text.contains("+ 203.0.113.10 of the HA group in slot 1\n"),
        "{text}"
    );
}

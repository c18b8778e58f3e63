//! Backends that are down and whose flows are to leave them.

use adc_common::abi::BackendFlags;

use super::*;
use crate::{model::OnDown, plan::Change};

const WWW: &[(&str, &str, &str)] = &[("www", "203.0.113.10:80", "web")];
const FIRST: &str = "10.0.0.1:80";

/// Two backends, the second of which gets no new flows if the first is not up.
fn two(on_down: OnDown) -> Config {
    let mut config = config(WWW, &[("web", &[(FIRST, 100), ("10.0.0.2:80", 100)])]);
    for pool in config.pools.values_mut() {
        pool.on_down = on_down;
    }
    config
}

/// The first backend is down.
fn first_down(config: &Config) -> Desired {
    let first = (
        name("web"),
        BackendAddress(FIRST.parse().expect("an address")),
    );
    let mut weights = all_up(config);
    weights.remove(&first);
    desired(config, &weights, &all_resolved(config)).with_down(config, &[first].into())
}

fn flags(tables: &Observed) -> BackendFlags {
    let www = id_of(tables, key("203.0.113.10:80"));
    tables.backends[&backend_id(tables, www, FIRST)].flags
}

/// Puts of the first backend (true) and of rings (false), in order.
fn order(plan: &Plan) -> Vec<bool> {
    let step = |change: &Change| match change {
        Change::PutBackend { .. } => Some(true),
        Change::PutRing { .. } => Some(false),
        Change::RemoveIndex { .. }
        | Change::PutService { .. }
        | Change::ClearRing { .. }
        | Change::PutIndex { .. }
        | Change::ClearBackend { .. }
        | Change::ClearService { .. }
        | Change::Group(_) => None,
    };
    plan.changes.iter().filter_map(step).collect()
}

#[test]
fn flows_leave_a_backend_after_its_ring_has_let_it_go_and_stay_before_the_ring_has_it_back() {
    for (on_down, flag) in [
        (OnDown::Reset, BackendFlags::DOWN_RESET),
        (OnDown::Reselect, BackendFlags::DOWN_RESELECT),
    ] {
        let config = two(on_down);
        let mut tables = tables_of(&wanted(&config));
        let down = plan(&first_down(&config), &tables);
        assert_eq!(order(&down), [false, true], "{down}");
        apply(&down, &mut tables);
        assert_eq!(flags(&tables), BackendFlags::HOP_RESOLVED.with(flag, true));
        let up = plan(&wanted(&config), &tables);
        assert_eq!(order(&up), [true, false], "{up}");
        apply(&up, &mut tables);
        assert_eq!(flags(&tables), BackendFlags::HOP_RESOLVED);
    }
}

#[test]
fn keep_leaves_the_backend_as_it_is() {
    let config = two(OnDown::Keep);
    let tables = tables_of(&wanted(&config));
    let down = plan(&first_down(&config), &tables);
    assert_eq!(order(&down), [false], "{down}");
}

#[test]
fn a_backend_that_is_removed_while_it_is_down_stays_down() {
    let both = two(OnDown::Reset);
    let mut tables = tables_of(&wanted(&both));
    apply(&plan(&first_down(&both), &tables), &mut tables);
    let one = config(WWW, &[("web", &[("10.0.0.2:80", 100)])]);
    let smaller = desired(&one, &all_up(&one), &all_resolved(&both));
    tables.backends_with_flows = None;
    let removal = plan(&smaller, &tables);
    assert_eq!(removal.draining_out.len(), 1);
    apply(&removal, &mut tables);
    assert!(flags(&tables).contains(BackendFlags::DOWN_RESET));
}

#[test]
fn a_plan_says_what_becomes_of_the_flows() {
    let config = two(OnDown::Reset);
    let tables = tables_of(&wanted(&config));
    let text = plan(&first_down(&config), &tables).to_string();
    assert!(text.contains("down: its flows are reset"), "{text}");
}

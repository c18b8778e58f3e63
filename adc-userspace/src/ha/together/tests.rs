//! What groups that move together share.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{Held, Own, gives_way, shared, takes_over_at};
use crate::{
    ha::{Role, vrrp::Tracking},
    model::GroupName,
};

fn own(weight: i32, fault: Option<&str>, link: Option<&str>) -> Own {
    let fault = fault.map(str::to_owned);
    Own {
        tracking: Tracking { weight, fault },
        link: link.map(str::to_owned),
    }
}

fn told(front: Own, back: Own) -> [Tracking; 2] {
    let names: [GroupName; 2] = ["front", "back"].map(|name| name.parse().unwrap());
    let members: BTreeMap<_, _> = names.clone().into_iter().zip([front, back]).collect();
    let told = shared(&members);
    names.map(|name| told[&name].clone())
}

#[test]
fn a_fault_of_one_is_a_fault_of_all_and_says_where_it_comes_from() {
    let [front, back] = told(
        own(0, None, None),
        own(0, Some("pool web is not well"), None),
    );
    assert_eq!(
        front.fault.unwrap(),
        "group back, which it moves with: pool web is not well"
    );
    assert_eq!(back.fault.unwrap(), "pool web is not well");
    // What is wrong with its link, a group knows by itself.
    let [front, back] = told(own(0, None, None), own(0, None, Some("eth1 is down")));
    assert!(front.fault.unwrap().ends_with("eth1 is down"));
    assert_eq!(back.fault, None);
}

#[test]
fn two_faults_do_not_keep_each_other_alive() {
    let [front, back] = told(own(0, None, None), own(0, None, None));
    assert_eq!((front.fault, back.fault), (None, None));
}

#[test]
fn weights_of_all_count_for_each() {
    let [front, back] = told(own(-50, None, None), own(20, None, None));
    assert_eq!((front.weight, back.weight), (-30, -30));
}

#[test]
fn a_backup_takes_over_when_it_would_for_the_last_of_its_groups() {
    let now = Instant::now();
    let later = now + Duration::from_secs(1);
    let at = |members: &[(Role, Option<Instant>)]| takes_over_at(members.iter().copied());
    let waits = [(Role::Backup, Some(later)), (Role::Backup, Some(now))];
    assert_eq!(at(&waits), Some(later));
    assert_eq!(at(&[waits[1], (Role::Active, Some(later))]), Some(now));
    for (role, deadline) in [
        (Role::Fault, None),
        (Role::Init, None),
        // Held.
        (Role::Backup, None),
    ] {
        assert_eq!(at(&[waits[1], (role, deadline)]), None, "{role}");
    }
}

#[test]
fn only_the_second_node_gives_away_what_it_has_and_only_if_the_groups_are_apart() {
    let held = |here, there| Held { here, there };
    let apart = [held(true, false), held(false, true)];
    assert!(gives_way(&apart, true));
    assert!(!gives_way(&apart, false));
    for together in [
        [held(true, false), held(true, false)],
        [held(false, true), held(false, true)],
        // Nobody has the other one yet.
        [held(true, false), held(false, false)],
        // Both have both: terms decide.
        [held(true, true), held(true, true)],
    ] {
        assert!(!gives_way(&together, true), "{together:?}");
    }
}

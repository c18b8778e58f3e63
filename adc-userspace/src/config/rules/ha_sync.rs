//! What must hold of HA groups that move together.

use std::collections::HashMap;

use super::{
    super::{
        error::Fault,
        words::{Words as _, closest},
    },
    place::{Breach, Place},
};
use crate::model::{Config, Election, GroupName, HaGroup};

pub(super) fn check(config: &Config, breaches: &mut Vec<Breach>) {
    let mut member_of = HashMap::new();
    for (name, members) in &config.ha.sync_groups {
        let at = || Place::SyncGroup(name.clone(), "groups");
        if members.len() < 2 {
            let fault = Fault::new("two groups at least can move together");
            let fault = fault.value(members.len().to_string());
            breaches.push(Breach::new(
                at(),
                fault.allowed("the names of two HA groups or more"),
            ));
        }
        for member in members {
            if let Some(first) = member_of.insert(member, name) {
                let fault = Fault::new("a group moves with one sync group, and this is one of");
                let other = Place::SyncGroup(GroupName::clone(first), "groups");
                breaches.push(Breach::new(at(), fault.value(member.as_str())).with(other));
            }
            if !config.ha.groups.contains_key(member) {
                let groups = config.ha.groups.keys().map(GroupName::as_str);
                let fault = Fault::new("there is no HA group of this name");
                let fault = fault.value(member.as_str());
                let fault = fault.did_you_mean(closest(member.as_str(), groups));
                breaches.push(Breach::new(at(), fault));
            }
        }
        let known = members.iter().filter_map(|member| {
            let group = config.ha.groups.get(member)?;
            Some((member, group))
        });
        let known: Vec<_> = known.collect();
        for (member, group) in &known {
            check_owner(member, group, breaches);
        }
        if let Some(((first, one), others)) = known.split_first() {
            for (member, group) in others {
                alike((first, one), (member, group), breaches);
            }
        }
    }
}

/// An owner is active whenever it runs, and waits for nobody.
fn check_owner(name: &GroupName, group: &HaGroup, breaches: &mut Vec<Breach>) {
    if group.election == Election::Vrrp && group.priority == u8::MAX {
        let fault = Fault::new("an owner waits for no other group").value("255");
        let at = Place::Group(name.clone(), "priority");
        breaches.push(Breach::new(at, fault.allowed("1 to 254 in a sync group")));
    }
}

/// Groups that move together are decided about alike: else one node would come first for one and the other for another.
fn alike(
    (first, one): (&GroupName, &HaGroup),
    (name, group): (&GroupName, &HaGroup),
    breaches: &mut Vec<Breach>,
) {
    let mut differ = |field, ours: String, theirs: String| {
        if ours != theirs {
            let fault = Fault::new("groups that move together have the same, unlike");
            let fault = fault.value(ours).allowed(theirs);
            let at = Place::Group(name.clone(), field);
            breaches.push(Breach::new(at, fault).with(Place::Group(first.clone(), field)));
        }
    };
    let delay = |group: &HaGroup| humantime::format_duration(group.preempt_delay).to_string();
    let election = |group: &HaGroup| group.election.word().to_owned();
    differ("election", election(group), election(one));
    differ(
        "priority",
        group.priority.to_string(),
        one.priority.to_string(),
    );
    differ(
        "preempt",
        group.preempt.to_string(),
        one.preempt.to_string(),
    );
    differ("preempt_delay", delay(group), delay(one));
}

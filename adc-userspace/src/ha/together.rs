//! Groups that are active on one node together, or not at all (sync groups). Pure, but for the glue at the end.
//!
//! - A fault of one is a fault of all, and weights of all count for each: so they have one priority and one fitness.
//! - With VRRP, a backup takes over when it would for **each** of them, and one that has to let go takes the others with it:
//!   in doubt backup, so that nothing goes back and forth (what keepalived does in a `vrrp_sync_group`).
//! - With the heartbeat, like facts lead to like decisions in the same step. Where the two nodes nevertheless each have some
//!   of the groups, the node that comes second gives its ones away ([`gives_way`]).

use std::{collections::BTreeMap, time::Instant};

use super::{
    Role,
    machine::Machine,
    router::Router,
    task::Task,
    vrrp::{Action, Input, Tracking},
};
use crate::model::GroupName;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

/// What one group's facts come to, before the others are asked.
pub(super) struct Own {
    /// What it tracks.
    pub(super) tracking: Tracking,
    /// What is wrong with its link.
    pub(super) link: Option<String>,
}

/// What groups that move together track, each with the faults and weights of all.
pub(super) fn shared(members: &BTreeMap<GroupName, Own>) -> BTreeMap<GroupName, Tracking> {
    let weight = members.values().map(|own| own.tracking.weight);
    let weight = weight.fold(0, i32::saturating_add);
    let fault = |own: &Own| own.tracking.fault.clone().or_else(|| own.link.clone());
    let mut faults = members
        .iter()
        .filter_map(|(name, own)| Some((name, fault(own)?)));
    let first = faults.next();
    let tracking = |(name, own): (&GroupName, &Own)| {
        let of_another = || {
            let (other, fault) = first.as_ref().filter(|(other, _)| *other != name)?;
            Some(format!("group {other}, which it moves with: {fault}"))
        };
        // What is wrong with its own link, the group knows by itself.
        let own_fault = own.tracking.fault.clone();
        let fault = own_fault.or_else(|| own.link.is_none().then(of_another).flatten());
        (name.clone(), Tracking { weight, fault })
    };
    members.iter().map(tracking).collect()
}

/// When a backup takes over: when it would for the last of the groups. `members` = role and deadline of each; `None` = not
/// before something else happens.
pub(super) fn takes_over_at(
    members: impl Iterator<Item = (Role, Option<Instant>)>,
) -> Option<Instant> {
    let mut latest = None;
    for (role, deadline) in members {
        match role {
            Role::Active => {}
            Role::Backup => latest = latest.max(Some(deadline?)),
            Role::Init | Role::Fault => return None,
        }
    }
    latest
}

/// Whether the others have to let go, too, and why: one of the groups just became a backup.
pub(super) fn lets_go(name: &GroupName, actions: &[Action]) -> Option<String> {
    actions.iter().find_map(|action| match action {
        Action::Become {
            role: Role::Backup,
            why,
        } => Some(format!("group {name}, which it moves with: {why}")),
        Action::Become { .. } | Action::Send { .. } | Action::Announce { .. } => None,
    })
}

/// One of the groups, as both nodes of a pair see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// This node is active for it.
    pub(super) here: bool,
    /// The other one says that it is.
    pub(super) there: bool,
}

/// Whether this node has to give away what it has: the groups are apart, and the other node `comes_first`.
pub(super) fn gives_way(members: &[Held], comes_first: bool) -> bool {
    let apart = members.iter().any(|held| held.here && !held.there)
        && members.iter().any(|held| held.there && !held.here);
    apart && comes_first
}

impl Task {
    /// The groups that this one moves with, itself among them.
    pub(super) fn fellows(&self, name: &GroupName) -> Vec<GroupName> {
        match self.settings.ha.sync_group_of(name) {
            Some((_, members)) => members.to_vec(),
            None => vec![name.clone()],
        }
    }

    /// When the timer of a group is due.
    pub(super) fn due(&self, router: &Router) -> Option<Instant> {
        let own = router.machine.deadline();
        let alone = match &router.machine {
            Machine::Vrrp(_) => router.machine.role() != Role::Backup,
            Machine::Ruled(_) => true,
        };
        if alone {
            return own;
        }
        let Some((_, members)) = self.settings.ha.sync_group_of(&router.name) else {
            return own;
        };
        let members = members.iter().map(|name| {
            let member = self.routers.get(name);
            // One that does not run is waited for.
            member.map_or((Role::Init, None), |member| {
                (member.machine.role(), member.machine.deadline())
            })
        });
        takes_over_at(members)
    }

    /// Tells a group, and those that it moves with, what is tracked.
    pub(super) async fn tell_tracking(&mut self, name: &GroupName) {
        let members = self.fellows(name).into_iter().filter_map(|member| {
            let router = self.routers.get(&member)?;
            let own = Own {
                tracking: router.tracking.clone(),
                link: router.machine.link_fault(),
            };
            Some((member, own))
        });
        for (member, tracking) in shared(&members.collect()) {
            self.step(&member, Input::Tracking(tracking)).await;
        }
    }
}

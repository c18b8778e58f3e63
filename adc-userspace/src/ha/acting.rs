//! Doing what a group's state machine says.

use std::{
    collections::BTreeMap,
    time::{Instant, SystemTime},
};

use super::{
    Role, RoleChange,
    announce::Announced,
    heartbeat::arbiter::Why,
    pair::Decision,
    ports::Ports,
    task::Task,
    vrrp::{Action, Family, Input},
};
use crate::{
    api::proto::Timestamp,
    model::GroupName,
    neighbours::{NeighbourError, is_router, vips},
};

impl Task {
    pub(super) async fn step(&mut self, name: &GroupName, input: Input) {
        let Some(router) = self.routers.get_mut(name) else {
            return;
        };
        let actions = router.machine.step(Instant::now(), input);
        self.act(name, actions).await;
    }

    /// Follows what the heartbeat's thread decided.
    pub(super) async fn follow(&mut self, decision: &Decision) {
        let name = &decision.group;
        let Some(router) = self.routers.get_mut(name) else {
            return;
        };
        let actions = router.machine.decided(decision);
        if decision.why == Why::NotTaken {
            tracing::warn!(group = %name, "the peer did not take it; this node keeps it");
        }
        self.act(name, actions).await;
    }

    async fn act(&mut self, name: &GroupName, actions: Vec<Action>) {
        self.grant(name);
        let changes = actions.iter().find_map(|action| match action {
            Action::Become { role, why } => Some((*role, why.clone())),
            Action::Send { .. } | Action::Announce { .. } => None,
        });
        if let Some((role, why)) = &changes {
            self.tell(name, *role, why);
        }
        for action in actions {
            match action {
                Action::Send { family, priority } => self.send(name, family, priority),
                Action::Become { role, .. } => self.carry(name, role).await,
                Action::Announce { count } => self.announce(name, count),
            }
        }
        if changes.is_some() {
            self.publish();
        }
    }

    /// Writes the lease of a group that VRRP decides about: before anybody hears of a new role, and before the addresses
    /// of an old one go.
    fn grant(&mut self, name: &GroupName) {
        let Some(router) = self.routers.get_mut(name) else {
            return;
        };
        let lease = router.machine.lease();
        if std::mem::replace(&mut router.lease, lease) != lease {
            (self.leases)(name, lease);
        }
    }

    /// A role is another: notes it, and lets others know.
    fn tell(&mut self, name: &GroupName, role: Role, why: &str) {
        let Some(router) = self.routers.get_mut(name) else {
            return;
        };
        let at = Timestamp(SystemTime::now());
        router.transitions += 1;
        why.clone_into(&mut router.why);
        router.since = at;
        tracing::info!(group = %name, %role, "{why}");
        let (group, why) = (name.clone(), why.to_owned());
        (self.hook)(&RoleChange {
            group,
            role,
            why,
            at,
        });
    }

    /// Puts the addresses on, or takes them off.
    async fn carry(&mut self, name: &GroupName, role: Role) {
        let Some(router) = self.routers.get(name) else {
            return;
        };
        let mut by_interface: BTreeMap<String, BTreeMap<_, _>> = BTreeMap::new();
        for vip in &router.group.vips {
            let on = by_interface.entry(router.group.interface_of(vip).to_owned());
            on.or_default().insert(vip.address, vip.prefix_length());
        }
        let carries = router.machine.carries();
        let _alone = self.shared.addresses.lock().await;
        self.shared.set_carried(name, carries);
        if carries && role != Role::Active {
            return;
        }
        for (interface, addresses) in by_interface {
            let done = if role == Role::Active {
                vips::put(&interface, &addresses).await
            } else {
                vips::take(&interface, &addresses.into_keys().collect()).await
            };
            report(name, role, done);
        }
    }

    fn send(&mut self, name: &GroupName, family: Family, priority: u8) {
        let Some(router) = self.routers.get_mut(name) else {
            return;
        };
        let Some(from) = router.machine.own(family) else {
            return;
        };
        let peers = router.group.unicast_peers.iter().copied();
        let mut to: Vec<_> = peers.filter(|peer| Family::of(*peer) == family).collect();
        if to.is_empty() {
            to.push(Ports::multicast(family));
        }
        for to in to {
            let message = router.advert(family, priority, from, to);
            match self.ports.send(&router.group.interface, from, to, &message) {
                Ok(()) => router.sent += 1,
                Err(error) => {
                    router.failed += 1;
                    tracing::debug!(group = %name, "sending an advert to {to}: {error}");
                }
            }
        }
    }

    fn announce(&mut self, name: &GroupName, count: u8) {
        let Some(router) = self.routers.get(name) else {
            return;
        };
        let announced = router.group.vips.iter().filter_map(|vip| {
            let interface = router.group.interface_of(vip);
            let device = self.known.devices.get(interface)?;
            Some(Announced {
                router: is_router(interface),
                address: vip.address,
                ifindex: device.index,
                mac: device.mac?,
            })
        });
        let announced: Vec<_> = announced.collect();
        if let Err(failed) = self.bursts.send(&announced, count) {
            for (ifindex, error) in failed {
                tracing::warn!(group = %name, ifindex, "announcing addresses: {error}; hosts that knew them elsewhere may send there until their entries expire");
            }
        }
    }
}

fn report(name: &GroupName, role: Role, done: Result<(), NeighbourError>) {
    match done {
        Ok(()) => {}
        // A device that is gone has taken its addresses with it.
        Err(NeighbourError::NoInterface(_)) if role != Role::Active => {}
        Err(error) => {
            tracing::error!(group = %name, "addresses: {error}; trying again at the next sweep");
        }
    }
}

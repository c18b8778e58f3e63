//! Doing what a group's state machine says.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Instant, SystemTime},
};

use super::{
    Role, RoleChange,
    announce::Announced,
    changes::{Change, Turn},
    heartbeat::arbiter::Why,
    pair::Decision,
    ports::Ports,
    task::Task,
    together,
    virtual_mac::Carried,
    vrrp::{Action, Family, Input},
};
use crate::{
    api::proto::Timestamp,
    model::GroupName,
    neighbours::{
        NeighbourError,
        vips::{self, Kept},
        virtual_mac,
    },
};

impl Task {
    /// Takes in what happened to a group. One that becomes a backup takes along those that it moves with.
    pub(super) async fn step(&mut self, name: &GroupName, input: Input) {
        let Some(why) = self.step_alone(name, input).await else {
            return;
        };
        for fellow in self.fellows(name) {
            if fellow != *name {
                self.step_alone(&fellow, Input::LetGo(why.clone())).await;
            }
        }
    }

    /// The same, and says why the others have to let go, if they have to.
    pub(super) async fn step_alone(&mut self, name: &GroupName, input: Input) -> Option<String> {
        let router = self.routers.get_mut(name)?;
        let now = Instant::now();
        let turn = Turn {
            from: router.machine.role(),
            decided: now,
            last_heard: router.machine.last_heard(),
            gave: None,
            leased: None,
        };
        let carried = router.machine.carries();
        let actions = router.machine.step(now, input);
        // One that begins as a backup, or comes back from a fault, had nothing to let go.
        let why = together::lets_go(name, &actions).filter(|_| carried);
        self.act(name, &turn, actions).await;
        why
    }

    /// Follows what the heartbeat's thread decided.
    pub(super) async fn follow(&mut self, decision: &Decision) {
        let name = &decision.group;
        let Some(router) = self.routers.get_mut(name) else {
            return;
        };
        let turn = Turn {
            from: router.machine.role(),
            decided: decision.at,
            last_heard: decision.last_heard,
            gave: decision.gave,
            leased: decision.leased,
        };
        let actions = router.machine.decided(decision);
        if decision.why == Why::NotTaken {
            tracing::warn!(group = %name, "the peer did not take it; this node keeps it");
        }
        self.act(name, &turn, actions).await;
    }

    async fn act(&mut self, name: &GroupName, turn: &Turn, actions: Vec<Action>) {
        let granted = self.grant(name);
        let changes = actions.iter().find_map(|action| match action {
            Action::Become { role, why } => Some((*role, why.clone())),
            Action::Send { .. } | Action::Announce { .. } => None,
        });
        let mut change = changes.and_then(|(role, why)| self.tell(name, turn, role, &why));
        if let (Some(change), Some(granted)) = (&mut change, granted) {
            change.leased(granted);
        }
        for action in actions {
            match action {
                Action::Send { family, priority } => self.send(name, family, priority),
                Action::Become { role, .. } => {
                    if self.carry(name, role).await
                        && let Some(change) = &mut change
                    {
                        change.addressed(Instant::now());
                    }
                }
                Action::Announce { count } => {
                    if self.announce(name, count)
                        && let Some(change) = &mut change
                    {
                        change.announced(Instant::now());
                    }
                }
            }
        }
        if let Some(change) = change {
            if let Some(router) = self.routers.get_mut(name) {
                router.history.end(change);
            }
            self.publish();
        }
    }

    /// Writes the lease of a group that VRRP decides about: before anybody hears of a new role, and before the addresses
    /// of an old one go. Says when it was granted, if it was.
    fn grant(&mut self, name: &GroupName) -> Option<Instant> {
        let router = self.routers.get_mut(name)?;
        let lease = router.machine.lease();
        let changed = std::mem::replace(&mut router.lease, lease) != lease;
        let granted = changed && self.leases.set(name, lease) && lease.is_some();
        granted.then(Instant::now)
    }

    /// A role is another: notes it, and lets others know.
    fn tell(&mut self, name: &GroupName, turn: &Turn, role: Role, why: &str) -> Option<Change> {
        let router = self.routers.get_mut(name)?;
        let at = Timestamp(SystemTime::now());
        router.transitions += 1;
        why.clone_into(&mut router.why);
        router.since = at;
        let change = router.history.begin(turn, role, why, at);
        tracing::info!(group = %name, %role, "{why}");
        let (group, why) = (name.clone(), why.to_owned());
        (self.hook)(&RoleChange {
            group,
            role,
            why,
            at,
        });
        Some(change)
    }

    /// Puts the addresses on, or takes them off; true = that is done.
    async fn carry(&mut self, name: &GroupName, role: Role) -> bool {
        let Some(router) = self.routers.get(name) else {
            return false;
        };
        let carriers = router.carriers(&self.known.devices);
        let carries = router.machine.carries();
        let mut well = true;
        for (device, carried) in carriers {
            let done = if carries {
                put(&device, &carried).await
            } else {
                take(&device, carried).await
            };
            well &= report(name, role, done);
        }
        well
    }

    /// Mends what others did to addresses: what is missing is put back, what should not be there is taken off. What
    /// groups that have not begun yet will have is left as it is.
    pub(super) async fn keep_addresses(&mut self) {
        let mut wanted: BTreeMap<String, BTreeMap<IpAddr, u8>> = BTreeMap::new();
        let mut undecided = BTreeSet::new();
        for router in self.routers.values() {
            if router.machine.role() == Role::Init {
                undecided.extend(router.group.vips.iter().map(|vip| vip.address));
            } else if router.machine.carries() {
                for (device, carried) in router.carriers(&self.known.devices) {
                    let on = wanted.entry(device).or_default();
                    on.extend(carried.addresses);
                }
            }
        }
        let nothing = BTreeMap::new();
        for interface in &self.looked_after() {
            let Some(device) = self.known.devices.get(interface) else {
                continue;
            };
            let wanted = wanted.get(interface).unwrap_or(&nothing);
            let there = |address: &IpAddr| {
                device.kept.contains(address) || device.addresses.contains(address)
            };
            let may_stay =
                |address: &IpAddr| wanted.contains_key(address) || undecided.contains(address);
            if wanted.keys().all(there) && device.kept.iter().all(may_stay) {
                continue;
            }
            match vips::keep(interface, wanted, &undecided).await {
                Ok(kept) if kept == Kept::default() => {}
                Ok(Kept { added, removed }) => {
                    tracing::warn!(interface, ?added, ?removed, "addresses: mended");
                    self.announce_on(interface, &added);
                }
                Err(error) => tracing::debug!(interface, "mending addresses: {error}"),
            }
        }
    }

    /// Announces addresses that are back.
    fn announce_on(&mut self, interface: &str, addresses: &BTreeSet<IpAddr>) {
        let device = self.known.devices.get(interface);
        let of = |address| Announced::on(interface, device?, address);
        let announced: Vec<_> = addresses
            .iter()
            .filter_map(|address| of(*address))
            .collect();
        if let Err(failed) = self.bursts.send(&announced, 1) {
            for error in failed.values() {
                tracing::warn!(interface, "announcing addresses: {error}");
            }
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
            let sent = match router.advert_frame(from, to, &message, &self.known.devices) {
                Some((ifindex, frame)) => self.bursts.send_frame(ifindex, &frame),
                None => (self.ports).send(&router.group.interface, from, to, &message),
            };
            match sent {
                Ok(()) => router.sent += 1,
                Err(error) => {
                    router.failed += 1;
                    tracing::debug!(group = %name, "sending an advert to {to}: {error}");
                }
            }
        }
    }

    /// Announces the addresses; true = something went out, and nothing failed.
    fn announce(&mut self, name: &GroupName, count: u8) -> bool {
        let Some(router) = self.routers.get(name) else {
            return false;
        };
        let devices = &self.known.devices;
        let carried = router.carriers(devices).into_iter();
        let announced = carried.flat_map(|(name, carried)| {
            let device = devices.get(&name);
            let of = move |address| Announced::on(&name, device?, address);
            carried.addresses.into_keys().filter_map(of)
        });
        let announced: Vec<_> = announced.collect();
        if let Err(failed) = self.bursts.send(&announced, count) {
            for (ifindex, error) in failed {
                tracing::warn!(group = %name, ifindex, "announcing addresses: {error}; hosts that knew them elsewhere may send there until their entries expire");
            }
            return false;
        }
        count > 0 && !announced.is_empty()
    }
}

/// Puts addresses on a device, which is set up before if it is there for them alone.
async fn put(name: &str, carried: &Carried) -> Result<(), NeighbourError> {
    if let Some(device) = carried.device {
        virtual_mac::set_up(device, true).await?;
    }
    vips::put(name, &carried.addresses).await.map(drop)
}

/// The reverse, in the reverse order.
async fn take(name: &str, carried: Carried) -> Result<(), NeighbourError> {
    vips::take(name, &carried.addresses.into_keys().collect()).await?;
    match carried.device {
        Some(device) => virtual_mac::set_up(device, false).await,
        None => Ok(()),
    }
}

/// Tells what could not be done; true = the addresses are where they should be.
fn report(name: &GroupName, role: Role, done: Result<(), NeighbourError>) -> bool {
    match done {
        Ok(()) => true,
        // A device that is gone has taken its addresses with it.
        Err(NeighbourError::NoInterface(_)) if role != Role::Active => true,
        Err(error) => {
            tracing::error!(group = %name, "addresses: {error}; trying again");
            false
        }
    }
}

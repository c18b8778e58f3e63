//! From the kernel's facts to one resolution per backend address. Pure: no IO, `now` is an argument.
//!
//! A MAC outlives one failure. When a neighbour stops answering the unicast probes for the MAC we know, it may
//! have changed its MAC or the probes may have been lost; the kernel says FAILED in both cases. The table then
//! holds on to the last MAC while it has the kernel ask once more by broadcast, and gives up only when that
//! fails too: a moved MAC costs no flap, and a dead neighbour is named some three seconds later.

mod asking;
mod entry;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    time::Instant,
};

use adc_common::abi::Mac;

use entry::{Entry, successor};

use super::{
    Deputy, HopKey, InterfaceFacts, Link, Neighbour, NextHop, Nud, Obstacle, Resolution,
    RouteAnswer, facts::Fact, lower,
};

pub use asking::{Ask, Question};

/// What changed since the last call of [`Table::take_changes`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Wanted addresses with a new resolution.
    pub hops: BTreeMap<IpAddr, Resolution>,
    /// Attached interfaces with new facts; `None` = gone.
    pub interfaces: BTreeMap<String, Option<InterfaceFacts>>,
}

/// The state behind all resolutions.
#[derive(Debug, Default)]
pub struct Table {
    attached: BTreeSet<String>,
    links: BTreeMap<u32, Link>,
    neighbours: HashMap<HopKey, Entry>,
    /// Every wanted address; `None` = its route has not been looked up.
    wanted: BTreeMap<IpAddr, Option<RouteAnswer>>,
    /// Which wanted addresses go by which neighbour.
    users: BTreeMap<HopKey, BTreeSet<IpAddr>>,
    /// Wanted addresses whose route must be looked up (again).
    unrouted: BTreeSet<IpAddr>,
    /// Wanted addresses whose resolution may have changed.
    dirty: BTreeSet<IpAddr>,
    /// Neighbours that may have to be asked for.
    attention: BTreeSet<HopKey>,
    /// When a neighbour was last asked for.
    asked_at: HashMap<HopKey, Instant>,
    published: BTreeMap<IpAddr, Resolution>,
    published_interfaces: BTreeMap<String, InterfaceFacts>,
}

impl Table {
    /// An empty table for an adc attached to `interfaces`.
    pub fn new(interfaces: impl IntoIterator<Item = String>) -> Self {
        Self {
            attached: interfaces.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Sets the addresses to resolve. New ones wait for their route, see [`Self::take_unrouted`].
    pub fn want(&mut self, addresses: &BTreeSet<IpAddr>) {
        let given_up: Vec<IpAddr> = self
            .wanted
            .keys()
            .filter(|ip| !addresses.contains(ip))
            .copied()
            .collect();
        for ip in given_up {
            self.leave_hop(ip);
            self.wanted.remove(&ip);
            self.unrouted.remove(&ip);
            self.dirty.remove(&ip);
            self.published.remove(&ip);
        }
        for &ip in addresses {
            if let std::collections::btree_map::Entry::Vacant(slot) = self.wanted.entry(ip) {
                slot.insert(None);
                self.unrouted.insert(ip);
                self.dirty.insert(ip);
            }
        }
    }

    /// Takes in one change reported by the kernel.
    pub fn apply(&mut self, fact: Fact) {
        match fact {
            Fact::Link(link) => self.set_link(link),
            Fact::LinkGone(index) => self.remove_link(index),
            Fact::Neighbour(key, neighbour) => self.set_neighbour(key, neighbour),
            Fact::NeighbourGone(key) => self.remove_neighbour(key),
            Fact::RoutesChanged(None) => self.distrust_routes(),
            Fact::RoutesChanged(Some(net)) => {
                let inside = self.wanted.keys().filter(|ip| net.contains(*ip));
                self.unrouted.extend(inside);
            }
        }
    }

    /// Replaces all links and neighbours by what a full dump found, and doubts every route.
    pub fn resync(&mut self, links: Vec<Link>, neighbours: Vec<(HopKey, Neighbour)>) {
        let found: BTreeSet<u32> = links.iter().map(|link| link.index).collect();
        let vanished: Vec<u32> = self
            .links
            .keys()
            .filter(|index| !found.contains(index))
            .copied()
            .collect();
        for index in vanished {
            self.remove_link(index);
        }
        for link in links {
            self.set_link(link);
        }

        let found: BTreeSet<HopKey> = neighbours.iter().map(|(key, _)| *key).collect();
        let vanished: Vec<HopKey> = self
            .neighbours
            .keys()
            .filter(|key| !found.contains(key))
            .copied()
            .collect();
        for key in vanished {
            self.remove_neighbour(key);
        }
        for (key, neighbour) in neighbours {
            self.set_neighbour(key, neighbour);
        }
        self.distrust_routes();
    }

    /// Takes in the answer of a route look-up; ignored if the address is no longer wanted.
    pub fn set_route(&mut self, ip: IpAddr, answer: RouteAnswer) {
        if !self.wanted.contains_key(&ip) {
            return;
        }
        self.leave_hop(ip);
        if let RouteAnswer::Hop { key, .. } = &answer {
            self.users.entry(*key).or_default().insert(ip);
            self.attention.insert(*key);
        }
        self.wanted.insert(ip, Some(answer));
        self.dirty.insert(ip);
    }

    /// Whether a route look-up is due.
    pub fn has_unrouted(&self) -> bool {
        !self.unrouted.is_empty()
    }

    /// The addresses whose route must be looked up now.
    pub fn take_unrouted(&mut self) -> BTreeSet<IpAddr> {
        std::mem::take(&mut self.unrouted)
    }

    /// The resolutions and interface facts that differ from those last taken.
    pub fn take_changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        for ip in std::mem::take(&mut self.dirty) {
            let now = self.resolve(ip);
            if self.published.get(&ip) != Some(&now) {
                self.published.insert(ip, now.clone());
                changes.hops.insert(ip, now);
            }
        }
        for name in &self.attached {
            let now = self.facts_of(name);
            if self.published_interfaces.get(name) != now.as_ref() {
                match &now {
                    Some(facts) => self
                        .published_interfaces
                        .insert(name.clone(), facts.clone()),
                    None => self.published_interfaces.remove(name),
                };
                changes.interfaces.insert(name.clone(), now);
            }
        }
        changes
    }

    /// All resolutions last taken.
    pub fn resolutions(&self) -> &BTreeMap<IpAddr, Resolution> {
        &self.published
    }

    /// Facts about the attached interfaces that exist, by name, as last taken.
    pub fn interfaces(&self) -> &BTreeMap<String, InterfaceFacts> {
        &self.published_interfaces
    }

    fn facts_of(&self, name: &str) -> Option<InterfaceFacts> {
        let link = self.links.values().find(|link| link.name == name)?;
        Some(InterfaceFacts {
            name: link.name.clone(),
            ifindex: link.index,
            mac: link.mac,
            other_macs: lower::macs_above(&self.links, link),
            stack: lower::names_above(&self.links, link),
            mtu: link.mtu,
            up: link.usable(),
            deputy: lower::deputy(&self.links, &self.attached, link).map(|port| Deputy {
                name: port.name.clone(),
                ifindex: port.index,
                mac: port.mac,
                mtu: port.mtu,
            }),
        })
    }

    fn resolve(&self, ip: IpAddr) -> Resolution {
        match self.next_hop(ip) {
            Ok(hop) => Resolution::Resolved(hop),
            Err(obstacle) => Resolution::Unresolved(obstacle),
        }
    }

    fn next_hop(&self, ip: IpAddr) -> Result<NextHop, Obstacle> {
        let (key, source) = match self.wanted.get(&ip) {
            None | Some(None) => return Err(Obstacle::Pending(ip)),
            Some(Some(RouteAnswer::Own)) => return Err(Obstacle::OwnAddress(ip)),
            Some(Some(RouteAnswer::Unreachable)) => return Err(Obstacle::NoRoute(ip)),
            Some(Some(RouteAnswer::Encapsulated)) => return Err(Obstacle::Encapsulated(ip)),
            Some(Some(RouteAnswer::Refused(kind))) => {
                return Err(Obstacle::Refused { to: ip, kind });
            }
            Some(Some(RouteAnswer::Failed(error))) => {
                return Err(Obstacle::LookupFailed {
                    to: ip,
                    error: error.clone(),
                });
            }
            Some(Some(RouteAnswer::Hop { key, source })) => (*key, *source),
        };
        let exit = lower::exit(&self.links, &self.attached, key.ifindex)?;
        Ok(NextHop {
            ifindex: exit.ifindex,
            mac: self.mac_of(key)?,
            device: self.device_of(key),
            vlan: exit.vlan,
            inner_vlan: exit.inner_vlan,
            via: key.address,
            source,
        })
    }

    fn device_of(&self, key: HopKey) -> String {
        let link = self.links.get(&key.ifindex);
        link.map_or_else(String::new, |link| link.name.clone())
    }

    fn mac_of(&self, key: HopKey) -> Result<Mac, Obstacle> {
        let address = key.address;
        let device = self.device_of(key);
        match self.neighbours.get(&key) {
            Some(Entry { mac: Some(mac), .. }) => Ok(*mac),
            Some(entry) if entry.state.is_valid() => Err(Obstacle::NotEthernet { address, device }),
            Some(Entry { state, .. }) => Err(Obstacle::Neighbour {
                address,
                device,
                state: *state,
            }),
            None => Err(Obstacle::Neighbour {
                address,
                device,
                state: Nud::None,
            }),
        }
    }

    fn set_link(&mut self, link: Link) {
        if !link.usable() {
            // What was learned through it is void; the kernel flushes it too, all but permanent entries.
            let index = link.index;
            self.neighbours
                .retain(|key, entry| key.ifindex != index || entry.state == Nud::Permanent);
        }
        if self.links.get(&link.index) == Some(&link) {
            return;
        }
        self.links.insert(link.index, link);
        self.distrust_devices();
    }

    fn remove_link(&mut self, index: u32) {
        self.neighbours.retain(|key, _| key.ifindex != index);
        if self.links.remove(&index).is_some() {
            self.distrust_devices();
        }
    }

    /// A device came, went or changed: IPv4 routes may have gone without a word, and paths may differ.
    fn distrust_devices(&mut self) {
        self.distrust_routes();
        self.dirty.extend(self.wanted.keys());
        self.attention.extend(self.users.keys());
    }

    fn distrust_routes(&mut self) {
        self.unrouted.extend(self.wanted.keys());
    }

    fn set_neighbour(&mut self, key: HopKey, neighbour: Neighbour) {
        let before = self.neighbours.get(&key).copied();
        let entry = successor(before, neighbour);
        self.neighbours.insert(key, entry);
        self.touch(key);
    }

    fn remove_neighbour(&mut self, key: HopKey) {
        let Some(entry) = self.neighbours.remove(&key) else {
            return;
        };
        // The kernel collects entries that it does not use. A MAC that we use is worth one more question, and
        // a neighbour that failed has not come back by being forgotten.
        if self.users.contains_key(&key) && entry.state != Nud::Permanent {
            if entry.mac.is_some() {
                let held = Entry {
                    state: Nud::None,
                    held: true,
                    ..entry
                };
                self.neighbours.insert(key, held);
            } else if entry.state == Nud::Failed {
                self.neighbours.insert(key, entry);
            }
        }
        self.touch(key);
    }

    fn touch(&mut self, key: HopKey) {
        if let Some(users) = self.users.get(&key) {
            self.dirty.extend(users);
            self.attention.insert(key);
        }
    }

    /// Forgets which neighbour `ip` goes by, and the neighbour's bookkeeping if nobody else does.
    fn leave_hop(&mut self, ip: IpAddr) {
        let Some(Some(RouteAnswer::Hop { key, .. })) = self.wanted.get(&ip) else {
            return;
        };
        let key = *key;
        let Some(users) = self.users.get_mut(&key) else {
            return;
        };
        users.remove(&ip);
        if users.is_empty() {
            self.users.remove(&key);
            self.attention.remove(&key);
            self.asked_at.remove(&key);
            // What only we remember, not the kernel, goes with the last user.
            if self
                .neighbours
                .get(&key)
                .is_some_and(|entry| !entry.state.is_valid())
            {
                self.neighbours.remove(&key);
            }
        }
    }
}

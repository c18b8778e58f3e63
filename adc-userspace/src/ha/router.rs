//! A group as this node runs it: its state machine, what it has heard, what it has counted.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{
    Role,
    changes::History,
    machine::Machine,
    pair::Docket,
    ruled::Ruled,
    script::Running,
    socket::source_towards,
    tracking::Finding,
    vrrp::{
        Advert, Announcing, Dialect, Envelope, Family, Heard, Input, Instance, Interval, Refusal,
        Timing, Tracking, decode, encode,
    },
};
use crate::{
    api::proto::{HaCounters, HaGroupView, HaPeerView, HaPriority, HaTrackedView, Timestamp},
    model::{Checksum, GroupName, HaGroup, Script, Tracked, VrrpVersion},
    neighbours::Devices,
};

/// Other routers that are remembered; anybody on the link can pretend to be many.
const MOST_PEERS: usize = 16;

/// Another router, as last heard.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) heard: Heard,
    pub(super) at: Instant,
    pub(super) same_vips: bool,
}

/// A group that runs.
pub(super) struct Router {
    pub(super) name: GroupName,
    pub(super) group: HaGroup,
    pub(super) machine: Machine,
    pub(super) why: String,
    pub(super) since: Timestamp,
    pub(super) history: History,
    pub(super) findings: Vec<Finding>,
    /// What they come to.
    pub(super) tracking: Tracking,
    /// Its scripts, and the verdict of each.
    pub(super) scripts: Vec<Script>,
    pub(super) verdicts: Vec<Option<bool>>,
    pub(super) running: Vec<Running>,
    pub(super) generation: u64,
    pub(super) transitions: u64,
    pub(super) sent: u64,
    pub(super) failed: u64,
    /// What was last written of its lease.
    pub(super) lease: Option<Instant>,
    pub(super) received: u64,
    pub(super) refused: BTreeMap<Refusal, u64>,
    pub(super) peers: BTreeMap<IpAddr, Peer>,
    pub(super) dialect: Option<Dialect>,
    /// Why its addresses can not have a virtual MAC.
    pub(super) no_virtual_mac: Option<String>,
}

impl Router {
    /// `docket` = the heartbeat decides.
    pub(super) fn new(
        now: Instant,
        name: GroupName,
        group: HaGroup,
        docket: Option<&Arc<Docket>>,
    ) -> Self {
        let timing = timing(&group);
        let machine = match docket {
            Some(docket) => Machine::Ruled(Ruled::new(name.clone(), timing, Arc::clone(docket))),
            None => Machine::Vrrp(Instance::new(now, timing, &families(&group))),
        };
        Self {
            machine,
            name,
            group,
            why: "not started yet".into(),
            since: Timestamp(SystemTime::now()),
            history: History::new(now),
            findings: Vec::new(),
            tracking: Tracking::default(),
            scripts: Vec::new(),
            verdicts: Vec::new(),
            running: Vec::new(),
            generation: 0,
            transitions: 0,
            sent: 0,
            failed: 0,
            lease: None,
            received: 0,
            refused: BTreeMap::new(),
            peers: BTreeMap::new(),
            dialect: None,
            no_virtual_mac: None,
        }
    }

    /// Whether `other` can be had by changing numbers, without a new virtual router. `docket` is that of the heartbeat, if
    /// there is one.
    pub(super) fn can_become(&self, other: &HaGroup, docket: Option<&Arc<Docket>>) -> bool {
        let own = &self.group;
        let same_judge = match &self.machine {
            Machine::Vrrp(_) => true,
            Machine::Ruled(ruled) => docket.is_some_and(|docket| ruled.is_ruled_by(docket)),
        };
        if own.election != other.election || !same_judge {
            return false;
        }
        let key = |group: &HaGroup| (group.vrid, group.interface.clone(), group.version);
        key(own) == key(other) && families(own) == families(other)
    }

    /// Takes new numbers.
    pub(super) fn change(&mut self, group: HaGroup) -> Input {
        self.group = group;
        Input::Timing(timing(&self.group))
    }

    /// Takes other scripts, none of them running yet. One that was there keeps its verdict.
    pub(super) fn take_scripts(&mut self, scripts: Vec<Script>) {
        let known = |script: &Script| {
            let at = self.scripts.iter().position(|old| old == script)?;
            self.verdicts.get(at).copied().flatten()
        };
        self.verdicts = scripts.iter().map(known).collect();
        self.scripts = scripts;
        self.running.clear();
    }

    /// Families that it has addresses of.
    pub(super) fn families(&self) -> Vec<Family> {
        families(&self.group)
    }

    /// Where adverts of a family would be sent from, or why from nowhere.
    pub(super) fn own_address(&self, family: Family, devices: &Devices) -> Result<IpAddr, String> {
        let interface = &self.group.interface;
        let Some(device) = devices.get(interface) else {
            return Err(format!("there is no interface {interface}"));
        };
        if !device.usable {
            return Err(format!("{interface} is down or has no carrier"));
        }
        let moves = |address: &IpAddr| self.group.vips.iter().any(|vip| vip.address == *address);
        let mut peers = self.group.unicast_peers.iter();
        if let Some(peer) = peers.find(|peer| Family::of(**peer) == family) {
            return match source_towards(*peer, interface, device.index) {
                Ok(source) if moves(&source) => Err(format!(
                    "{interface} has no address of its own to send to {peer} from"
                )),
                Ok(source) => Ok(source),
                Err(error) => Err(format!("no way to {peer} by {interface}: {error}")),
            };
        }
        // To all routers of the link: from the link (RFC 9568 §5.1.2.1).
        let suits = |address: &&IpAddr| match address {
            IpAddr::V4(_) => family == Family::Ipv4,
            IpAddr::V6(_) => family == Family::Ipv6 && is_link_local(**address),
        };
        let own = device.addresses.iter();
        let mut own = own.filter(|address| suits(address) && !moves(address));
        own.next().copied().ok_or_else(|| {
            let kind = match family {
                Family::Ipv4 => "IPv4",
                Family::Ipv6 => "link-local IPv6",
            };
            format!("{interface} has no {kind} address to send adverts from")
        })
    }

    /// The advert to send.
    pub(super) fn advert(&self, family: Family, priority: u8, from: IpAddr, to: IpAddr) -> Vec<u8> {
        let vips = self.group.vips.iter().map(|vip| vip.address);
        let mut addresses: Vec<_> = vips.filter(|vip| Family::of(*vip) == family).collect();
        // RFC 9568 §5.2.9 wants the link-local one first.
        addresses.sort_by_key(|address| !is_link_local(*address));
        let advert = Advert {
            vrid: self.group.vrid,
            priority,
            interval: Interval::of(self.group.version, self.group.advert_interval),
            addresses,
        };
        let dialect = match self.group.checksum {
            Checksum::Auto => self.dialect.unwrap_or_default(),
            Checksum::PseudoHeader => Dialect::PseudoHeader,
            Checksum::MessageOnly => Dialect::MessageOnly,
        };
        encode(&advert, from, to, dialect)
    }

    /// Reads a message for this group. What is refused is counted.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        envelope: &Envelope,
        payload: &[u8],
    ) -> Option<Input> {
        match self.judge(envelope, payload) {
            Ok((advert, dialect)) => {
                self.received += 1;
                self.dialect = dialect.or(self.dialect);
                Some(Input::Advert(self.note(now, envelope, &advert)))
            }
            Err(refusal) => {
                *self.refused.entry(refusal).or_default() += 1;
                None
            }
        }
    }

    fn judge(
        &self,
        envelope: &Envelope,
        payload: &[u8],
    ) -> Result<(Advert, Option<Dialect>), Refusal> {
        let source = envelope.source;
        let listed = self.group.unicast_peers.contains(&source);
        let (advert, dialect) = decode(payload, envelope, listed)?;
        if self.machine.own(Family::of(source)) == Some(source) {
            return Err(Refusal::Own);
        }
        if !self.group.unicast_peers.is_empty() && !listed {
            return Err(Refusal::Peer);
        }
        if advert.interval.version() != self.group.version {
            return Err(Refusal::Version);
        }
        let same_interval = advert.interval.duration() == self.group.advert_interval;
        if self.group.version == VrrpVersion::V2 && !same_interval {
            return Err(Refusal::IntervalMismatch);
        }
        Ok((advert, dialect))
    }

    fn note(&mut self, now: Instant, envelope: &Envelope, advert: &Advert) -> Heard {
        let family = Family::of(envelope.source);
        let heard = Heard {
            family,
            source: envelope.source,
            priority: advert.priority,
            interval: advert.interval.duration(),
        };
        let vips = self.group.vips.iter().map(|vip| vip.address);
        let mut ours: Vec<_> = vips.filter(|vip| Family::of(*vip) == family).collect();
        let mut theirs = advert.addresses.clone();
        ours.sort_unstable();
        theirs.sort_unstable();
        let peer = Peer {
            heard,
            at: now,
            same_vips: ours == theirs,
        };
        self.peers.insert(envelope.source, peer);
        if self.peers.len() > MOST_PEERS {
            let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.at);
            if let Some(address) = oldest.map(|(address, _)| *address) {
                self.peers.remove(&address);
            }
        }
        heard
    }

    /// What people are shown.
    pub(super) fn view(&self, now: Instant) -> HaGroupView {
        let peers = self.peers.iter().map(|(address, peer)| HaPeerView {
            address: *address,
            priority: peer.heard.priority,
            advert_interval_ms: millis(peer.heard.interval),
            last_seen_ms: millis(now.saturating_duration_since(peer.at)),
            same_vips: peer.same_vips,
        });
        let tracked = self.findings.iter().map(|finding| HaTrackedView {
            what: finding.thing.clone(),
            well: finding.well,
            weight: finding.weight,
            fault: finding.fault,
        });
        let count = |refusal: &Refusal| self.refused.get(refusal).copied().unwrap_or(0);
        let refused = Refusal::ALL.iter();
        let (held, yielded, ruling) = match &self.machine {
            Machine::Vrrp(instance) => (instance.held(), instance.yielded(), None),
            Machine::Ruled(ruled) => ruled.shown(),
        };
        let lease = match &self.machine {
            Machine::Vrrp(_) => self.lease,
            Machine::Ruled(ruled) => ruled.lease(),
        };
        HaGroupView {
            election: self.group.election,
            lease_ms: lease.map(|until| millis(until.saturating_duration_since(now))),
            name: self.name.clone(),
            role: self.machine.role(),
            // The reason of a fault may become another while the fault lasts.
            why: self.machine.fault().unwrap_or(&self.why).to_owned(),
            since: self.since,
            vrid: self.group.vrid,
            interface: self.group.interface.clone(),
            version: self.group.version.number(),
            priority: HaPriority {
                configured: self.group.priority,
                effective: self.machine.priority(),
            },
            advert_interval_ms: millis(self.group.advert_interval),
            preempt: self.group.preempt,
            held,
            yielded,
            ruling,
            vips: self.group.vips.iter().map(|vip| vip.address).collect(),
            virtual_macs: self.shown_macs(),
            peers: peers.collect(),
            tracked: tracked.collect(),
            changes: self.history.views(),
            moves_with: Vec::new(),
            sync_group: None,
            counters: HaCounters {
                transitions: self.transitions,
                adverts_sent: self.sent,
                adverts_failed: self.failed,
                adverts_received: self.received,
                adverts_refused: refused.map(|r| (r.name().to_owned(), count(r))).collect(),
            },
        }
    }

    /// Whether this node has its addresses.
    pub(super) fn is_active(&self) -> bool {
        self.machine.role() == Role::Active
    }

    /// The address of the node that has the role, as far as can be told.
    pub(super) fn active_peer(&self) -> Option<IpAddr> {
        let alive = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.heard.priority > 0);
        let latest = alive.max_by_key(|(_, peer)| peer.at);
        latest.map(|(address, _)| *address)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// The scripts among what it tracks.
pub(super) fn scripts(group: &HaGroup) -> Vec<Script> {
    let scripts = group.track.iter().filter_map(|track| match &track.what {
        Tracked::Script(script) => Some(script.clone()),
        Tracked::Interface(_) | Tracked::Pool { .. } | Tracked::Bfd(_) | Tracked::SelfTest => None,
    });
    scripts.collect()
}

pub(super) fn families(group: &HaGroup) -> Vec<Family> {
    let both = [(true, Family::Ipv4), (false, Family::Ipv6)];
    let has = both.into_iter().filter(|(v4, _)| group.has_family(*v4));
    has.map(|(_, family)| family).collect()
}

pub(super) fn timing(group: &HaGroup) -> Timing {
    let announce = &group.announce;
    Timing {
        version: group.version,
        priority: group.priority,
        interval: group.advert_interval,
        preempt: group.preempt,
        preempt_delay: group.preempt_delay,
        announcing: Announcing {
            count: announce.count,
            repeat_after: announce.repeat_after,
            repeat_count: announce.repeat_count,
            refresh: group.refresh(),
        },
    }
}

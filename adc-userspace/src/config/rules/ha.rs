//! What must hold between HA groups, and between them and the rest.

use std::{collections::HashMap, net::IpAddr};

use super::{
    super::{bounds, error::Fault, words::closest},
    address::address_fault,
    bfd,
    place::{Breach, Place},
};
use crate::{
    ha::heartbeat::packet::MAX_GROUPS,
    model::{Config, Election, GroupName, HaGroup, PoolName, Tracked, VrrpVersion},
};

pub(super) fn check(config: &Config, breaches: &mut Vec<Breach>) {
    let mut routers = HashMap::new();
    let mut holders = HashMap::new();
    for (name, group) in &config.ha.groups {
        let at = |field| Place::Group(name.clone(), field);
        let other = |name: &GroupName, field| Place::Group(name.clone(), field);
        if let Some(first) = routers.insert((group.interface.as_str(), group.vrid), name) {
            let fault = Fault::new(
                "one virtual router id is one group on an interface, and this is that of",
            );
            let fault = fault.value(group.vrid.to_string());
            breaches.push(Breach::new(at("vrid"), fault).with(other(first, "vrid")));
        }
        for vip in &group.vips {
            if let Some(first) = holders.insert(vip.address, name) {
                let fault = Fault::new("an address moves with one group, and this is one of");
                let fault = fault.value(vip.address.to_string());
                breaches.push(Breach::new(at("vips"), fault).with(other(first, "vips")));
            }
        }
        check_addresses(name, group, breaches);
        check_numbers(name, group, breaches);
        check_peers(name, group, breaches);
        check_track(name, group, config, breaches);
    }
    check_election(config, breaches);
    no_backend_moves(config, &holders, breaches);
}

/// The heartbeat decides where there is one, and about so many groups as it has room for.
fn check_election(config: &Config, breaches: &mut Vec<Breach>) {
    let groups = config.ha.groups.iter();
    let ruled = groups.filter(|(_, group)| group.election == Election::Heartbeat);
    for (index, (name, _)) in ruled.enumerate() {
        let mut breach = |fault: Fault| {
            let fault = fault.value("heartbeat");
            breaches.push(Breach::new(Place::Group(name.clone(), "election"), fault));
        };
        if config.ha.heartbeat.is_none() {
            let fault = Fault::new("there is no heartbeat that could decide");
            breach(fault.allowed("\"vrrp\", or a table [ha.heartbeat]"));
        } else if index >= MAX_GROUPS {
            let fault = Fault::new("a heartbeat has no room for so many groups");
            breach(fault.allowed("32 groups, with more VIPs each, or \"vrrp\" for the others"));
        }
    }
}

fn check_addresses(name: &GroupName, group: &HaGroup, breaches: &mut Vec<Breach>) {
    let mut breach = |fault| breaches.push(Breach::new(Place::Group(name.clone(), "vips"), fault));
    for vip in &group.vips {
        // A link-local address belongs to the group's interface, and RFC 9568 §5.2.9 wants one.
        let link_local = match vip.address {
            IpAddr::V4(_) => false,
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        if let Some(fault) = address_fault((vip.address, 0).into(), "VIP").filter(|_| !link_local) {
            breach(fault);
        }
        if group.version == VrrpVersion::V2 && vip.address.is_ipv6() {
            let fault = Fault::new("version 2 has no IPv6").value(vip.address.to_string());
            breach(fault.allowed("IPv4 addresses, or version = 3"));
        }
    }
    for v4 in [true, false] {
        let family = group.vips.iter().filter(|vip| vip.address.is_ipv4() == v4);
        let count = family.count();
        if count > bounds::MAX_GROUP_VIPS {
            let fault = Fault::new(format!("{count} addresses of one family are too many"));
            breach(fault.allowed("255 per family and group: make another group"));
        }
    }
}

fn check_numbers(name: &GroupName, group: &HaGroup, breaches: &mut Vec<Breach>) {
    let unit = match group.version {
        VrrpVersion::V2 => 1_000,
        VrrpVersion::V3 => 10,
    };
    if !group
        .advert_interval
        .as_nanos()
        .is_multiple_of(unit * 1_000_000)
    {
        let shown = humantime::format_duration(group.advert_interval).to_string();
        let allowed = match group.version {
            VrrpVersion::V2 => "whole seconds with version = 2",
            VrrpVersion::V3 => "multiples of 10ms, \"10ms\" to \"40s 950ms\"",
        };
        let fault = Fault::new("can not be said in an advert").value(shown);
        let at = Place::Group(name.clone(), "advert_interval");
        breaches.push(Breach::new(at, fault.allowed(allowed)));
    }
    let weighted = group.track.iter().any(|track| track.weight.is_some());
    if group.priority == u8::MAX && weighted {
        let fault = Fault::new("the priority of an owner never changes, so a weight does nothing");
        let fault = fault.value("255");
        let at = Place::Group(name.clone(), "priority");
        breaches.push(Breach::new(
            at,
            fault.allowed("1 to 254 with weights in `track`"),
        ));
    }
}

fn check_peers(name: &GroupName, group: &HaGroup, breaches: &mut Vec<Breach>) {
    if group.unicast_peers.is_empty() {
        return;
    }
    let at = || Place::Group(name.clone(), "unicast_peers");
    for (v4, family) in [(true, "IPv4"), (false, "IPv6")] {
        let reached = group.unicast_peers.iter().any(|peer| peer.is_ipv4() == v4);
        if group.has_family(v4) && !reached {
            let problem = format!("the group has {family} addresses, and no peer to tell of them");
            let allowed = format!("at least one {family} address of another node");
            breaches.push(Breach::new(at(), Fault::new(problem).allowed(allowed)));
        }
    }
    for peer in &group.unicast_peers {
        if group.vips.iter().any(|vip| vip.address == *peer) {
            let fault = Fault::new("a peer has an address of its own; this one moves");
            breaches.push(Breach::new(at(), fault.value(peer.to_string())));
        }
    }
}

fn check_track(name: &GroupName, group: &HaGroup, config: &Config, breaches: &mut Vec<Breach>) {
    for track in &group.track {
        match &track.what {
            Tracked::Interface(_) | Tracked::Script(_) | Tracked::SelfTest => {}
            Tracked::Bfd(session) if config.bfd.contains_key(session) => {}
            Tracked::Bfd(session) => breaches.push(bfd::missing(name, session, config)),
            Tracked::Pool { pool, .. } if config.pools.contains_key(pool) => {}
            Tracked::Pool { pool, .. } => {
                let pools = config.pools.keys().map(PoolName::as_str);
                let fault = Fault::new("there is no pool of this name")
                    .value(pool.as_str())
                    .did_you_mean(closest(pool.as_str(), pools));
                let at = Place::Group(name.clone(), "track");
                let cause = Place::Pool(pool.clone(), "");
                breaches.push(Breach::new(at, fault).caused_by(cause));
            }
        }
    }
}

/// A backend is another host; what moves between balancers is not.
fn no_backend_moves(
    config: &Config,
    holders: &HashMap<IpAddr, &GroupName>,
    breaches: &mut Vec<Breach>,
) {
    for (pool_name, pool) in &config.pools {
        for (name, backend) in &pool.backends {
            if let Some(group) = holders.get(&backend.address.ip()) {
                let at = Place::Backend(pool_name.clone(), name.clone(), "address");
                let fault = Fault::new("its packets would come back to us: it is an address of");
                let fault = fault.value(backend.address.to_string());
                let other = Place::Group((*group).clone(), "vips");
                breaches.push(Breach::new(at, fault).with(other));
            }
        }
    }
}

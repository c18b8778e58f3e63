//! `[ha]` and `[[ha.group]]`.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::{
    super::{bounds, error::Fault},
    Paths, ha_sync, ha_track, heartbeat,
    node::interface_fault,
    section::{Section, wrong_value_type},
    sync,
};
use crate::model::{Announce, Checksum, Election, GroupName, GroupVip, Ha, HaGroup, VrrpVersion};

const VIPS: &str = "an array of addresses, such as [\"192.0.2.10\", \"2001:db8::10\", { address = \"10.0.0.1/24\", interface = \"eth1\" }]";

const PEERS: &str = "an array of the other nodes' addresses, such as [\"192.0.2.3\"]";

/// Time between two adverts if the file says nothing, as RFC 9568 §6.1 has it.
const ADVERT_INTERVAL: Duration = Duration::from_secs(1);

/// Priority if the file says nothing, as RFC 9568 §6.1 has it.
const PRIORITY: u8 = 100;

pub(super) fn ha(section: Section<'_>, own_name: &str, paths: &mut Paths) -> Ha {
    let heartbeat = heartbeat::heartbeat(&section, own_name);
    let sync = sync::sync(&section, heartbeat.as_ref());
    let mut groups = BTreeMap::new();
    for table in section.tables("group") {
        table.require("name", "a name for the group");
        let name = table.text("name");
        let name = name.and_then(|name| table.name_at::<GroupName>(&table.key("name"), name));
        let group = group(&table, heartbeat.is_some());
        let path = table.path().to_owned();
        if let Some(name) = &name {
            if let Some(first) = paths.groups.get(name) {
                let fault = Fault::new(format!("{first} has this name already"));
                table.fault("name", fault.value(name.as_str()));
            } else {
                paths.groups.insert(name.clone(), path);
            }
        }
        groups.extend(name.zip(group));
        table.finish();
    }
    let sync_groups = ha_sync::sync_groups(&section, &mut paths.sync_groups);
    let agent_grace = section.duration("agent_grace", bounds::AGENT_GRACE);
    section.finish();
    Ha {
        groups,
        sync_groups,
        heartbeat,
        agent_grace: agent_grace.unwrap_or(Ha::AGENT_GRACE),
        sync,
    }
}

/// `paired` = there is a heartbeat, which then decides unless the group says otherwise.
fn group(section: &Section<'_>, paired: bool) -> Option<HaGroup> {
    section.require("vrid", "a number, 1 to 255, the same on all nodes");
    section.require("interface", "the name of a network interface");
    section.require("vips", VIPS);
    // Everything is read before anything is given up, so that no error hides another.
    let election = section.word("election").unwrap_or(if paired {
        Election::Heartbeat
    } else {
        Election::Vrrp
    });
    let vrid = section.integer("vrid", bounds::VRID);
    let interface = interface(section, "interface");
    let version = match section.integer("version", 2..=3_u8) {
        Some(2) => VrrpVersion::V2,
        Some(_) | None => VrrpVersion::V3,
    };
    let priority = section.integer("priority", bounds::PRIORITY);
    let advert_interval = section.duration("advert_interval", advert_bounds(version));
    let preempt = section.boolean("preempt");
    let hour = Duration::ZERO..=Duration::from_hours(1);
    let preempt_delay = section.duration("preempt_delay", hour);
    let checksum = section.word("checksum");
    let unicast_peers = peers(section);
    let vips = vips(section);
    let virtual_mac = section.boolean("virtual_mac");
    let announce = announce(section.table("announce"));
    let track = ha_track::track(section);
    Some(HaGroup {
        election,
        vrid: vrid?,
        interface: interface?,
        version,
        priority: priority.unwrap_or(PRIORITY),
        advert_interval: advert_interval.unwrap_or(ADVERT_INTERVAL),
        preempt: preempt.unwrap_or(true),
        preempt_delay: preempt_delay.unwrap_or_default(),
        checksum: checksum.unwrap_or(Checksum::Auto),
        unicast_peers,
        vips,
        virtual_mac: virtual_mac.unwrap_or(false),
        announce,
        track,
    })
}

/// Version 2 has whole seconds in a byte (RFC 3768 §5.3.7).
fn advert_bounds(version: VrrpVersion) -> std::ops::RangeInclusive<Duration> {
    match version {
        VrrpVersion::V2 => Duration::from_secs(1)..=Duration::from_secs(255),
        VrrpVersion::V3 => bounds::ADVERT_INTERVAL,
    }
}

/// The name of an interface.
pub(super) fn interface(section: &Section<'_>, key: &'static str) -> Option<String> {
    let name = section.text(key)?;
    match interface_fault(name) {
        None => Some(name.to_owned()),
        Some(fault) => {
            section.fault(key, fault);
            None
        }
    }
}

fn peers(section: &Section<'_>) -> Vec<IpAddr> {
    let mut peers = Vec::new();
    for (path, text) in section.texts("unicast_peers", PEERS) {
        let fault = match text.parse::<IpAddr>() {
            Ok(peer) if peers.contains(&peer) => Fault::new("listed twice"),
            Ok(peer) => {
                peers.push(peer);
                continue;
            }
            Err(_) => Fault::new("not an IP address").allowed(PEERS),
        };
        section.fault_at(&path, fault.value(text));
    }
    peers
}

fn vips(section: &Section<'_>) -> Vec<GroupVip> {
    let mut vips: Vec<GroupVip> = Vec::new();
    if section.is_empty_array("vips") {
        section.fault("vips", Fault::new("is empty").allowed(VIPS));
    }
    for (path, value) in section.array("vips", VIPS) {
        let vip = if let Some(text) = value.as_str() {
            address(section, &path, text, None)
        } else if let Some(table) = section.inner(&path, value) {
            table.require("address", VIPS);
            let interface = interface(&table, "interface");
            let at = table.key("address");
            let text = table.text("address");
            let vip = text.and_then(|text| address(&table, &at, text, interface));
            table.finish();
            vip
        } else {
            section.fault_at(&path, wrong_value_type(value, VIPS));
            None
        };
        let Some(vip) = vip else { continue };
        if vips.iter().any(|known| known.address == vip.address) {
            let fault = Fault::new("listed twice").value(vip.address.to_string());
            section.fault_at(&path, fault);
        } else {
            vips.push(vip);
        }
    }
    vips
}

/// An address, perhaps with the length of its prefix.
fn address(
    section: &Section<'_>,
    path: &str,
    text: &str,
    interface: Option<String>,
) -> Option<GroupVip> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let parsed = address.parse::<IpAddr>().ok();
    let length = length.map(str::parse::<u8>).transpose().ok();
    let fits = |address: IpAddr, length: Option<u8>| {
        let most = if address.is_ipv4() { 32 } else { 128 };
        length.is_none_or(|length| (1..=most).contains(&length))
    };
    match parsed.zip(length) {
        Some((address, length)) if fits(address, length) => Some(GroupVip {
            address,
            length,
            interface,
        }),
        Some(_) | None => {
            let fault = Fault::new("not an IP address, with or without the length of a prefix");
            section.fault_at(path, fault.value(text).allowed(VIPS));
            None
        }
    }
}

fn announce(section: Section<'_>) -> Announce {
    let default = Announce::default();
    let hour = Duration::ZERO..=Duration::from_hours(1);
    let span = |key, default| section.duration(key, hour.clone()).unwrap_or(default);
    let count = |key, default| {
        let given = section.integer(key, bounds::ANNOUNCEMENTS);
        given.unwrap_or(default)
    };
    let announce = Announce {
        count: count("count", default.count),
        repeat_after: span("repeat_after", default.repeat_after),
        repeat_count: count("repeat_count", default.repeat_count),
        refresh: span("refresh", default.refresh),
    };
    section.finish();
    announce
}

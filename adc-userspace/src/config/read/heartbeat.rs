//! `[ha.heartbeat]`.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    super::{bounds, error::Fault},
    node::{absolute_path, interface_fault, node_name},
    section::Section,
};
use crate::model::{HEARTBEAT_PORT, HeartbeatPath, HeartbeatSettings};

const PEER: &str = "the `node.name` of the other node";
pub(super) const KEY_FILE: &str =
    "an absolute path of a file with 32 to 4096 bytes, mode 600, the same on both nodes";
const PATHS: &str = "1 to 16 tables, one per interface, such as [{ interface = \"eth2\", peer = \"192.168.99.2\" }], in the same order on both nodes";
const ADDRESS: &str = "an IP address of one host, such as \"192.168.99.2\" or \"fe80::2\"";

/// Reads the table from `[ha]`; `None` = there is none, or it is not valid.
pub(super) fn heartbeat(ha: &Section<'_>, own_name: &str) -> Option<HeartbeatSettings> {
    let given = ha.takes_and_has("heartbeat");
    if !given {
        return None;
    }
    let section = ha.table("heartbeat");
    section.require("peer", PEER);
    section.require("key_file", KEY_FILE);
    section.require("paths", PATHS);
    let peer = peer(&section, own_name);
    let profile = section.word("profile");
    let key_file = absolute_path(&section, "key_file");
    let port = section.integer("port", bounds::PORT);
    let witness = address(&section, "witness");
    let paths = paths(&section);
    section.finish();
    Some(HeartbeatSettings {
        peer: peer?,
        profile: profile.unwrap_or_default(),
        key_file: key_file?,
        port: port.unwrap_or(HEARTBEAT_PORT),
        paths,
        witness,
    })
}

fn peer(section: &Section<'_>, own_name: &str) -> Option<String> {
    let peer = node_name(section, "peer")?;
    if peer != own_name {
        return Some(peer);
    }
    let fault = Fault::new("is this node's own name").value(peer);
    section.fault("peer", fault.allowed(PEER));
    None
}

fn paths(section: &Section<'_>) -> Vec<HeartbeatPath> {
    let tables = section.tables("paths");
    if tables.is_empty() && section.has("paths") {
        section.fault("paths", Fault::new("is empty").allowed(PATHS));
    }
    if tables.len() > bounds::MAX_HEARTBEAT_PATHS {
        let fault = Fault::new(format!("{} paths are too many", tables.len()));
        section.fault("paths", fault.allowed(PATHS));
    }
    let mut used = BTreeSet::new();
    let mut paths = Vec::new();
    for table in tables {
        table.require("interface", "the name of a network interface");
        table.require("peer", ADDRESS);
        let interface = table.text("interface");
        if let Some(name) = interface {
            if let Some(fault) = interface_fault(name) {
                table.fault("interface", fault);
            } else if !used.insert(name) {
                let fault = Fault::new(
                    "another path goes by it: two that share an interface fail together",
                );
                table.fault("interface", fault.value(name).allowed(PATHS));
            }
        }
        let peer = address(&table, "peer");
        let path = interface.zip(peer).map(|(interface, peer)| HeartbeatPath {
            interface: interface.to_owned(),
            peer,
        });
        paths.extend(path);
        table.finish();
    }
    paths
}

/// The address of one other host.
pub(super) fn address(section: &Section<'_>, key: &'static str) -> Option<IpAddr> {
    let text = section.text(key)?;
    let fault = match text.parse::<IpAddr>() {
        Err(_) => Fault::new("not an IP address"),
        Ok(address) if address.is_loopback() => Fault::new("is this machine's own"),
        Ok(address) if address.is_multicast() || address.is_unspecified() => {
            Fault::new("not the address of one host")
        }
        Ok(address) => return Some(address),
    };
    section.fault(key, fault.value(text).allowed(ADDRESS));
    None
}

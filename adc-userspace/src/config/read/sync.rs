//! `[ha.sync]`.

use std::time::Duration;

use super::{
    super::{bounds, error::Fault},
    heartbeat::{KEY_FILE, address},
    node::{absolute_path, interface_fault},
    section::Section,
};
use crate::model::{HeartbeatSettings, SYNC_PORT, SyncSettings};

const PEER: &str = "the other node's address on that interface, such as \"192.168.99.2\"";

/// How long a node without the other's flows does not preempt, if the file says nothing.
const WAIT_AT_MOST: Duration = Duration::from_mins(1);

/// Reads the table from `[ha]`; `None` = there is none, or it is not valid.
pub(super) fn sync(
    ha: &Section<'_>,
    heartbeat: Option<&HeartbeatSettings>,
) -> Option<SyncSettings> {
    if !ha.takes_and_has("sync") {
        return None;
    }
    let section = ha.table("sync");
    section.require(
        "interface",
        "the name of the network interface to the other node",
    );
    section.require("peer", PEER);
    let interface = section.text("interface");
    if let Some(fault) = interface.and_then(interface_fault) {
        section.fault("interface", fault);
    }
    let peer = address(&section, "peer");
    let port = section.integer("port", bounds::PORT).unwrap_or(SYNC_PORT);
    let given = absolute_path(&section, "key_file");
    if given.is_none() && heartbeat.is_none() && !section.has("key_file") {
        let fault = Fault::new("missing, and there is no [ha.heartbeat] whose key could serve");
        section.fault("key_file", fault.allowed(KEY_FILE));
    }
    let key_file = given.or_else(|| heartbeat.map(|heartbeat| heartbeat.key_file.clone()));
    let wait_at_most = section.duration("wait_at_most", bounds::WAIT_AT_MOST);
    section.finish();
    Some(SyncSettings {
        interface: interface?.to_owned(),
        peer: peer?,
        port,
        key_file: key_file?,
        wait_at_most: wait_at_most.unwrap_or(WAIT_AT_MOST),
    })
}

//! What people should know of other nodes: those that this one shares its groups with, and those that it should not.

use std::time::Duration;

use crate::{
    api::proto::{HaGroupView, HaPeerView, HaView, HeartbeatView, Severity, Warning},
    model::Election,
};

/// For how long another router counts that was heard once: the one of two with the lower priority is silent, as long as it
/// hears the other.
const REMEMBERED: Duration = Duration::from_mins(1);

/// Warnings about other nodes.
pub(super) fn of(view: &HaView) -> Vec<Warning> {
    let differs = view.heartbeat.iter().filter(|seen| seen.config_differs);
    let strangers = view.groups.iter().flat_map(strangers);
    differs.map(configured_otherwise).chain(strangers).collect()
}

fn configured_otherwise(seen: &HeartbeatView) -> Warning {
    Warning {
        severity: Severity::Warning,
        subject: format!("HA peer {}", seen.peer),
        what: "it is configured with other services, pools, monitors or profile than this node: it is given no group unless this node stops".into(),
        remedy: "compare the files and the runtime edits of the two nodes, and make them alike".into(),
    }
}

/// Other routers with the VRID of a group and other addresses.
fn strangers(group: &HaGroupView) -> impl Iterator<Item = Warning> {
    // By the heartbeat, adverts and their VRIDs mean nothing.
    let peers = match group.election {
        Election::Vrrp => group.peers.as_slice(),
        Election::Heartbeat => &[],
    };
    let lately = |peer: &&HaPeerView| Duration::from_millis(peer.last_seen_ms) < REMEMBERED;
    let strangers = peers.iter().filter(|peer| !peer.same_vips).filter(lately);
    strangers.map(|peer| Warning {
        severity: Severity::Warning,
        subject: format!("HA group {}", group.name),
        what: format!(
            "{} has VRID {} on {} too, with other VIPs: each takes the other's adverts for its own group's",
            peer.address, group.vrid, group.interface
        ),
        remedy: "if it is another group, give one of the two another `vrid`; if it is this group's other node, give both the same `vips`".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::ha_view;

    #[test]
    fn a_peer_with_another_configuration_is_a_warning_until_it_is_alike() {
        let mut view = ha_view();
        view.groups.clear();
        assert_eq!(of(&view), []);
        view.heartbeat.as_mut().unwrap().config_differs = true;
        let warnings = of(&view);
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].severity, Severity::Warning);
        assert_eq!(warnings[0].subject, "HA peer lb-b");
    }

    #[test]
    fn a_router_with_our_vrid_and_other_vips_is_named_and_forgotten_when_it_is_not_heard() {
        let mut view = ha_view();
        let warnings = of(&view);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        for told in ["192.0.2.3", "VRID 51", "eth0"] {
            assert!(warnings[0].what.contains(told), "{warnings:?}");
        }
        view.groups[0].peers[0].last_seen_ms = 60_000;
        assert_eq!(of(&view), []);
        view.groups[0].peers[0].last_seen_ms = 0;
        view.groups[0].election = Election::Heartbeat;
        assert_eq!(of(&view), []);
        view.groups[0].election = Election::Vrrp;
        view.groups[0].peers[0].same_vips = true;
        assert_eq!(of(&view), []);
    }
}

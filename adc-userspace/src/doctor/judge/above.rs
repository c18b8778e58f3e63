//! What stands on an interface: VLAN devices, whose tags adc must see, and a bond, of which adc must be on every port.

use crate::neighbours::LinkKind;

use super::{Finding, Interface, Peer};

/// The bond that an interface is a port of.
pub(crate) struct Bond {
    /// Its name.
    pub(crate) name: String,
    /// Its ports that are not in `dataplane.interfaces`.
    pub(crate) missing: Vec<String>,
}

/// A bond sends by one port now and by another later, and packets come by any.
pub(super) fn bond(seen: &Interface) -> Option<Finding> {
    let name = &seen.link.name;
    let Bond {
        name: bond,
        missing,
    } = seen.bond.as_ref()?;
    if missing.is_empty() {
        return Some(Finding::ok(
            name,
            format!("it is a port of {bond}, and so are only others that adc is on"),
        ));
    }
    let missing = missing.join(", ");
    Some(Finding::warning(
        name,
        format!(
            "it is a port of {bond}, and packets that come by the bond's other ports ({missing}) do not meet adc"
        ),
        &format!(
            "put {missing} into dataplane.interfaces too, and set dataplane.vip_interface = \"{bond}\""
        ),
    ))
}

/// A tag that the card took off a frame, or that never was in it, is with the kernel's packet and not in the frame that XDP
/// sees (`skb->vlan_tci`; a driver's receive descriptor): adc would take the packet for an untagged one.
pub(super) fn tags(seen: &Interface) -> Option<Finding> {
    const STRIPPED: &str = "rx-vlan-hw-parse";
    const LEFT_OUT: &str = "tx-vlan-hw-insert";
    let name = &seen.link.name;
    let vlans = &seen.vlans;
    if vlans.is_empty() {
        return None;
    }
    let above = vlans.join(", ");
    let fine = || {
        Some(Finding::ok(
            name,
            format!("VLAN tags ({above}) are in the frames that XDP sees"),
        ))
    };
    if !matches!(seen.link.kind, LinkKind::Veth { .. }) {
        let features = seen.features.as_ref()?;
        if !features.contains(STRIPPED) {
            return fine();
        }
        return Some(Finding::warning(
            name,
            format!(
                "it takes VLAN tags off the frames that it receives, and with most drivers XDP then does not see them ({above})"
            ),
            &format!("run `ethtool -K {name} rxvlan off`"),
        ));
    }
    let (what, peer) = match seen.peer.as_ref()? {
        Peer::Here {
            features: Some(features),
            ..
        } if !features.contains(LEFT_OUT) => return fine(),
        Peer::Here { name, .. } => ("its peer leaves VLAN tags out of frames", name.as_str()),
        Peer::Elsewhere => (
            "its peer can not be looked at from here, and by default a veth leaves VLAN tags out of frames",
            "PEER",
        ),
    };
    Some(Finding::warning(
        name,
        format!("{what}: XDP does not see those of {above}"),
        &format!("run `ethtool -K {peer} txvlan off` where the peer is"),
    ))
}

//! What lets traffic stall though every setting is legal.

use super::{Attached, Finding, Interface, Peer};

/// What a veth sends by `XDP_TX` stays in its peer's ring until something else is sent there, unless the peer has an XDP
/// program; GRO alone is not enough (`veth_xdp_flush`, drivers/net/veth.c, Linux 6.18). The ring holds 256 packets.
pub(super) fn one_arm(seen: &Interface) -> Option<Finding> {
    if !seen.alone {
        return None;
    }
    let name = &seen.link.name;
    let peer = match seen.peer.as_ref()? {
        Peer::Here { program: true, .. } => return None,
        Peer::Here { name, .. } => name.as_str(),
        Peer::Elsewhere => "PEER",
    };
    Some(Finding::warning(
        name,
        "packets that leave by it as they came in (one-arm, XDP_TX) wait in its peer's ring unless the peer has an XDP program, GRO or not: after 256 of them the link stalls".into(),
        &format!(
            "give the peer a program that lets all pass (`adc decap -i {peer} --vip 192.0.2.1`, where the peer is), or backends an interface of their own"
        ),
    ))
}

/// In skb mode the kernel has merged packets before the program sees them, and what is merged does not fit a tunnel.
pub(super) fn merged(seen: &Interface) -> Option<Finding> {
    let name = &seen.link.name;
    let in_skb_mode = matches!(seen.attached, Some(Attached { mode: "skb", .. }));
    let merges = (seen.features.as_ref()).is_some_and(|features| features.contains("rx-gro"));
    (in_skb_mode && merges).then(|| {
        Finding::warning(
            name,
            "in skb mode GRO makes one packet of several, which is too big for a tunnel (dsr-ipip, dsr-gue)".into(),
            &format!("with such services run `ethtool -K {name} gro off`"),
        )
    })
}

//! The keys of `[service.NAME]` about packets on the wire.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    super::{bounds, error::Fault},
    section::Section,
};
use crate::model::{MssClamp, Tunnel};

const SOURCE: &str =
    "an array of one address per family, such as [\"10.2.0.1\"] or [\"10.2.0.1\", \"fd00:2::1\"]";

pub(super) fn tunnel(section: &Section<'_>) -> Tunnel {
    Tunnel {
        port: section
            .integer("tunnel_port", bounds::PORT)
            .unwrap_or(Tunnel::DEFAULT_PORT),
        source: source(section),
    }
}

fn source(section: &Section<'_>) -> BTreeSet<IpAddr> {
    let mut addresses = BTreeSet::new();
    for (path, text) in section.texts("tunnel_source", SOURCE) {
        if let Ok(address) = text.parse::<IpAddr>() {
            addresses.insert(address);
        } else {
            let fault = Fault::new("not an IP address").value(text);
            section.fault_at(&path, fault.allowed(SOURCE));
        }
    }
    addresses
}

/// A number, or the word `auto`.
pub(super) fn mss_clamp(section: &Section<'_>) -> MssClamp {
    if section.is_text("mss_clamp") {
        return match section.choice("mss_clamp", &["auto"], &[]) {
            Some(_) => MssClamp::Auto,
            None => MssClamp::Off,
        };
    }
    section
        .integer("mss_clamp", bounds::MSS)
        .map_or(MssClamp::Off, MssClamp::Bytes)
}

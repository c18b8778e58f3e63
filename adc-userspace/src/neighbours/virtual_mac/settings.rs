//! What devices with a virtual MAC are told, and the interfaces that they are on.
//!
//! Where the kernel takes it by netlink that is used: in a service unit `/proc/sys` may be read-only.

use std::{fs, io, path::Path};

use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkMessage,
};
use rtnetlink::packet_core::{DefaultNla, Emitable};

use super::VirtualDevice;

/// `IFLA_INET_CONF` (linux/if_link.h), nested.
const INET_CONF: u16 = 1 | 1 << 15;

// Numbers of settings (`IPV4_DEVCONF_*`, linux/ip.h).
const FORWARDING: u16 = 1;
const RP_FILTER: u16 = 8;
const ARP_ANNOUNCE: u16 = 18;
const ARP_IGNORE: u16 = 19;

/// Answers ARP requests for the addresses of the device that they came by, and for no others.
const OWN_ONLY: i32 = 1;
/// Asks in the name of an address of the device, whatever address the packet has that makes it ask.
const AS_ITSELF: i32 = 2;
/// Takes packets from whoever can be reached by any interface. The kernel reads the larger of this and the setting for all
/// interfaces, so this also loosens a strict one.
const LOOSE: i32 = 2;

/// How an interface deals with ARP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arp {
    pub(super) ignore: i32,
    pub(super) announce: i32,
}

impl Arp {
    /// As the kernel says that it is.
    pub(super) fn of(message: &LinkMessage) -> Option<Self> {
        let conf = conf(message)?;
        Some(Self {
            ignore: conf.arp_ignore,
            announce: conf.arp_announce,
        })
    }

    /// As it must be below a device that has addresses which are not its own: it neither answers for them, nor tells other hosts
    /// its own MAC for them by what it asks. Whatever is stricter stays.
    pub(super) fn below_virtual(self) -> Self {
        Self {
            ignore: self.ignore.max(OWN_ONLY),
            announce: self.announce.max(AS_ITSELF),
        }
    }

    /// To be set.
    pub(super) fn attribute(self) -> LinkAttribute {
        inet(&[(ARP_IGNORE, self.ignore), (ARP_ANNOUNCE, self.announce)])
    }

    /// What a device notes of the interface that it is on, for whoever takes the device away.
    pub(super) fn note(self, lower: &str) -> String {
        format!(
            "adc: virtual MAC on {lower}, where arp_ignore={} arp_announce={} before",
            self.ignore, self.announce
        )
    }

    /// What a device noted.
    pub(super) fn noted(text: &str) -> Option<Self> {
        let value = |key: &str| {
            let words = text.split_whitespace();
            let mut values = words.filter_map(|word| word.strip_prefix(key)?.strip_prefix('='));
            values.next()?.parse().ok()
        };
        Some(Self {
            ignore: value("arp_ignore")?,
            announce: value("arp_announce")?,
        })
    }
}

/// What a device with a virtual MAC is told by netlink. `lower` = what the kernel says of the interface that it is on.
pub(super) fn of_device(lower: &LinkMessage) -> Vec<LinkAttribute> {
    let forwarding = conf(lower).map_or(0, |conf| conf.forwarding);
    vec![
        inet(&[
            (ARP_IGNORE, OWN_ONLY),
            (ARP_ANNOUNCE, AS_ITSELF),
            (RP_FILTER, LOOSE),
            (FORWARDING, forwarding),
        ]),
        LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(
            In6AddrGenMode::None,
        )])]),
    ]
}

/// What it is told by files, as netlink has no words for it: no routers are learned by it, and it is a router as far as the
/// interface is one. On that for IPv4 there is no IPv6 at all.
pub(super) fn write_files(device: VirtualDevice, lower: &str) -> io::Result<()> {
    let all = Path::new("/proc/sys/net/ipv6/conf");
    if !all.exists() {
        // Without IPv6 there is nothing to say.
        return Ok(());
    }
    let own = all.join(device.name());
    if !device.is_v6() {
        return write(&own.join("disable_ipv6"), "1");
    }
    write(&own.join("accept_ra"), "0")?;
    let forwarding = fs::read_to_string(all.join(lower).join("forwarding"))?;
    write(&own.join("forwarding"), forwarding.trim())
}

/// A file that has the value already may be read-only.
fn write(path: &Path, value: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|now| now.trim() == value) {
        return Ok(());
    }
    fs::write(path, value)
}

fn conf(message: &LinkMessage) -> Option<&netlink_packet_route::link::InetDevConf> {
    message.attributes.iter().find_map(|attribute| {
        let LinkAttribute::AfSpecUnspec(families) = attribute else {
            return None;
        };
        families.iter().find_map(|family| {
            let AfSpecUnspec::Inet(parts) = family else {
                return None;
            };
            parts.iter().find_map(|part| {
                if let AfSpecInet::DevConf(conf) = part {
                    Some(conf)
                } else {
                    None
                }
            })
        })
    })
}

/// Settings of IPv4. The library's own way to say so leaves out zeros.
fn inet(settings: &[(u16, i32)]) -> LinkAttribute {
    let mut nested = Vec::new();
    for (kind, value) in settings {
        let setting = DefaultNla::new(*kind, value.to_ne_bytes().to_vec());
        let mut encoded = vec![0; setting.buffer_len()];
        setting.emit(&mut encoded);
        nested.extend(encoded);
    }
    let conf = AfSpecInet::Other(DefaultNla::new(INET_CONF, nested));
    LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet(vec![conf])])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_notes_of_its_interface_can_be_read_again() {
        let before = Arp {
            ignore: 0,
            announce: 2,
        };
        let note = before.note("enp1s0");
        assert_eq!(Arp::noted(&note), Some(before), "{note}");
        assert_eq!(Arp::noted("something else"), None);
    }

    #[test]
    fn what_is_stricter_stays() {
        let arp = |ignore, announce| Arp { ignore, announce };
        assert_eq!(arp(0, 0).below_virtual(), arp(1, 2));
        assert_eq!(arp(2, 1).below_virtual(), arp(2, 2));
    }
}

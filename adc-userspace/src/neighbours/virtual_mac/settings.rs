//! What devices with a virtual MAC are told, and the interfaces that they are on.
//!
//! Where the kernel takes it by netlink that is used: in a service unit `/proc/sys` may be read-only.

use std::{fs, io, path::Path};

use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkMessage,
};
use rtnetlink::packet_core::{DefaultNla, Emitable};

use super::VirtualDevice;

/// Settings of IPv6 by device; not there in a kernel that was started without (`ipv6.disable=1`).
const IPV6_CONF: &str = "/proc/sys/net/ipv6/conf";

/// `IFLA_INET_CONF` (linux/if_link.h), nested.
const INET_CONF: u16 = 1 | 1 << 15;

// Numbers of settings (`IPV4_DEVCONF_*`, linux/ip.h).
const FORWARDING: u16 = 1;
const RP_FILTER: u16 = 8;
const ARP_ANNOUNCE: u16 = 18;
const ARP_IGNORE: u16 = 19;

/// Answers ARP requests for the addresses of the device that they came by, and for no others.
const OWN_ONLY: i32 = 1;
/// What is stricter: 2 asks for a sender of the same subnet, too, and 8 never answers. 3 is not, it looks at the scope of the address
/// and not at the device; what is between means nothing (Documentation/networking/ip-sysctl.rst).
const STRICTER: [i32; 2] = [2, 8];
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
        let ignore = if STRICTER.contains(&self.ignore) {
            self.ignore
        } else {
            OWN_ONLY
        };
        Self {
            ignore,
            announce: self.announce.max(AS_ITSELF),
        }
    }

    /// What it goes back to from `now`, as the last such device goes. What is not as adc has set it is somebody else's, and stays.
    pub(super) fn after_virtual(self, now: Self) -> Self {
        let set = self.below_virtual();
        let back = |before: i32, set: i32, now: i32| if now == set { before } else { now };
        Self {
            ignore: back(self.ignore, set.ignore, now.ignore),
            announce: back(self.announce, set.announce, now.announce),
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

/// What a device with a virtual MAC is to be told by netlink, and does not do yet. `lower` = what the kernel says of the interface
/// that it is on, `there` = what it said of the device itself, if that was there already.
pub(super) fn of_device(lower: &LinkMessage, there: Option<&LinkMessage>) -> Vec<LinkAttribute> {
    let forwarding = conf(lower).map_or(0, |conf| conf.forwarding);
    let settings = [
        (ARP_IGNORE, OWN_ONLY),
        (ARP_ANNOUNCE, AS_ITSELF),
        (RP_FILTER, LOOSE),
        (FORWARDING, forwarding),
    ];
    let now = there.and_then(conf).map(|conf| {
        [
            conf.arp_ignore,
            conf.arp_announce,
            conf.rp_filter,
            conf.forwarding,
        ]
    });
    let mut told = Vec::new();
    if now != Some(settings.map(|(_, value)| value)) {
        told.push(inet(&settings));
    }
    // Without IPv6 the kernel refuses whatever is said of it (EAFNOSUPPORT).
    if Path::new(IPV6_CONF).exists() && !there.is_some_and(has_no_addresses) {
        let none = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
        let families = vec![AfSpecUnspec::Inet6(vec![none])];
        told.push(LinkAttribute::AfSpecUnspec(families));
    }
    told
}

/// Whether a device gets no IPv6 addresses by itself.
fn has_no_addresses(message: &LinkMessage) -> bool {
    let none = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    message.attributes.iter().any(|attribute| {
        let LinkAttribute::AfSpecUnspec(families) = attribute else {
            return false;
        };
        families
            .iter()
            .any(|family| matches!(family, AfSpecUnspec::Inet6(parts) if parts.contains(&none)))
    })
}

/// What it is told by files, as netlink has no words for it: no routers are learned by it, and it is a router as far as the
/// interface is one. On that for IPv4 there is no IPv6 at all.
pub(super) fn write_files(device: VirtualDevice, lower: &str) -> io::Result<()> {
    let all = Path::new(IPV6_CONF);
    if !all.exists() {
        // Without IPv6 there is nothing to say.
        return Ok(());
    }
    let own = all.join(device.name());
    if !device.is_v6() {
        return write(&own.join("disable_ipv6"), "1");
    }
    // New devices may be without by default.
    write(&own.join("disable_ipv6"), "0")?;
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
        assert_eq!(arp(1, 2).below_virtual(), arp(1, 2));
        assert_eq!(arp(2, 1).below_virtual(), arp(2, 2));
        assert_eq!(arp(8, 0).below_virtual(), arp(8, 2));
        for ignore in [3, 4, 7, 9] {
            let below = arp(ignore, 0).below_virtual();
            assert_eq!(below, arp(1, 2), "{ignore} answers for others");
        }
    }

    #[test]
    fn only_what_adc_has_set_goes_back() {
        let arp = |ignore, announce| Arp { ignore, announce };
        let before = arp(3, 0);
        assert_eq!(before.after_virtual(before.below_virtual()), before);
        assert_eq!(before.after_virtual(arp(2, 2)), arp(2, 0));
        assert_eq!(before.after_virtual(arp(1, 1)), arp(3, 1));
    }
}

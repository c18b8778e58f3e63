//! What the MAC of a virtual router looks like from outside: on the wire, in hosts, and in the switch.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use socket2::SockFilter;

use crate::{
    drive::PacketSocket,
    lan::VRID,
    net::{Link, Namespace},
    packets::{Envelope, MacAddress, arp},
    wait::eventually,
};

/// Of IPv4 addresses of the group.
pub const MAC_V4: MacAddress = MacAddress([0x00, 0x00, 0x5e, 0x00, 0x01, VRID]);
/// Of IPv6 addresses of the group.
pub const MAC_V6: MacAddress = MacAddress([0x00, 0x00, 0x5e, 0x00, 0x02, VRID]);

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest frame.
const FRAME: usize = 2048;
/// Returns from a filter with the whole frame: `BPF_RET` of linux/bpf_common.h.
const WHOLE: SockFilter = SockFilter::new(0x06, 0, 0, u32::MAX);

/// Everything that passes a link, and what we say there.
#[derive(Debug)]
pub struct Ear {
    socket: PacketSocket,
    seen: Vec<Vec<u8>>,
}

impl Ear {
    /// Begins to listen.
    pub fn on(link: &Link) -> Self {
        Self {
            socket: PacketSocket::open(link, &[WHOLE]),
            seen: Vec::new(),
        }
    }

    /// Sends a frame as it is.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[track_caller]
    pub fn say(&self, frame: &[u8]) {
        self.socket.send(frame).expect("the link is up");
    }

    /// Listens until there were enough frames such as these, all frames since the beginning counted; gives those.
    #[track_caller]
    pub fn wait_for(
        &mut self,
        count: usize,
        what: &str,
        is_it: impl Fn(&[u8]) -> bool,
    ) -> Vec<Vec<u8>> {
        eventually(PATIENCE, what, || {
            let mut buffer = [0; FRAME];
            if let Some((_, frame)) = self.socket.receive(&mut buffer) {
                self.seen.push(frame.to_vec());
            }
            self.so_far(&is_it).len() >= count
        });
        self.so_far(&is_it)
    }

    /// The frames such as these that were heard so far.
    pub fn so_far(&self, is_it: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        let heard = self.seen.iter().filter(|frame| is_it(frame));
        heard.cloned().collect()
    }
}

/// Whether a frame is an ARP reply, and says where that address is.
pub fn is_arp_reply(frame: &[u8], about: Ipv4Addr) -> bool {
    frame.get(12..14) == Some(&[0x08, 0x06])
        && frame.get(20..22) == Some(&[0, 2])
        && frame.get(28..32) == Some(&about.octets())
}

/// Whether a frame is a VRRP advert of IPv4 (`true`) or IPv6.
pub fn is_advert(frame: &[u8], v4: bool) -> bool {
    if v4 {
        frame.get(12..14) == Some(&[0x08, 0x00]) && frame.get(23) == Some(&112)
    } else {
        frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.get(20) == Some(&112)
    }
}

/// Where a frame says that it comes from.
pub fn source_of(frame: &[u8]) -> MacAddress {
    let source = frame.get(6..12).and_then(|source| source.try_into().ok());
    MacAddress(source.unwrap_or_default())
}

/// An ARP request for an address, to all.
pub fn who_has(asked: Ipv4Addr, from_mac: MacAddress, from: Ipv4Addr) -> Vec<u8> {
    arp(&Envelope {
        to_mac: MacAddress([0xff; 6]),
        from_mac,
        tags: Vec::new(),
        from: (IpAddr::from(from), 0).into(),
        to: (IpAddr::from(asked), 0).into(),
    })
}

/// What a host knows of a neighbour, as `ip neigh` prints it.
pub fn neighbour(host: &Namespace, address: IpAddr) -> String {
    let shown = host.ip(&["neigh", "show", &address.to_string(), "dev", "eth0"]);
    shown.trim().to_owned()
}

/// Tells a host once and for all where an address is: announcements change nothing of it.
pub fn pin_neighbour(host: &Namespace, address: IpAddr) {
    let mac = if address.is_ipv4() { MAC_V4 } else { MAC_V6 };
    let (address, mac) = (address.to_string(), text(mac));
    host.ip(&[
        "neigh",
        "replace",
        &address,
        "lladdr",
        &mac,
        "dev",
        "eth0",
        "nud",
        "permanent",
    ]);
}

/// The port that a switch has a MAC behind, if it knows one.
pub fn port_of(switch: &Namespace, mac: MacAddress) -> Option<String> {
    let shown = switch.run("bridge", &["-json", "fdb", "show"]);
    let entries: Vec<serde_json::Value> = serde_json::from_str(&shown).ok()?;
    let is_it = |entry: &&serde_json::Value| entry["mac"] == text(mac);
    let entry = entries.iter().find(is_it)?;
    Some(entry["ifname"].as_str()?.to_owned())
}

/// The macvlans of a node: index and name of each.
pub fn devices(node: &Namespace) -> Vec<String> {
    let shown = node.ip(&["-oneline", "link", "show", "type", "macvlan"]);
    let device = |line: &str| line.split('@').next().map(str::to_owned);
    shown.lines().filter_map(device).collect()
}

/// As `ip` prints it.
pub fn text(mac: MacAddress) -> String {
    mac.0.map(|octet| format!("{octet:02x}")).join(":")
}

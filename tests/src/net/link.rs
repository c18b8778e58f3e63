//! Links between namespaces.

use std::{fs, path::Path};

use ipnet::IpNet;

use super::Namespace;
use crate::packets::MacAddress;

/// One end of a link.
#[derive(Clone, Debug)]
pub struct Link {
    /// Where it is.
    pub namespace: Namespace,
    /// Its name there.
    pub name: String,
}

impl Link {
    /// Adds an address; IPv6 without duplicate address detection, so that it works at once.
    pub fn add_address(&self, address: IpNet) {
        let text = address.to_string();
        let mut arguments = vec!["address", "add", &text, "dev", &self.name];
        if matches!(address, IpNet::V6(_)) {
            arguments.push("nodad");
        }
        self.namespace.ip(&arguments);
    }

    /// Sends full checksums, as a real NIC puts on the wire: veth's default is partial ones, which
    /// only the receiving kernel can make sense of, not a program that updates them.
    pub fn disable_checksum_offload(&self) {
        self.namespace
            .run("ethtool", &["-K", &self.name, "tx", "off"]);
    }

    /// Turns GRO on, which gives a veth the NAPI context without which it drops what its peer
    /// sends by `XDP_TX` or a redirect.
    pub fn enable_gro(&self) {
        self.namespace
            .run("ethtool", &["-K", &self.name, "gro", "on"]);
    }

    /// Brings the link up.
    pub fn up(&self) {
        self.namespace.ip(&["link", "set", &self.name, "up"]);
    }

    /// Cuts the link: both ends lose their carrier.
    pub fn down(&self) {
        self.namespace.ip(&["link", "set", &self.name, "down"]);
    }

    /// Takes a port out of its switch: nothing passes any more, and the host keeps its carrier.
    pub fn block(&self) {
        self.namespace.ip(&["link", "set", &self.name, "nomaster"]);
    }

    /// Ends [`Self::block`].
    pub fn unblock(&self) {
        self.namespace
            .ip(&["link", "set", &self.name, "master", Bridge::NAME]);
    }

    /// What `ip -details link show` says about it, as JSON.
    pub fn details(&self) -> serde_json::Value {
        let text = self
            .namespace
            .ip(&["-json", "-details", "link", "show", "dev", &self.name]);
        let list: serde_json::Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("`ip -json link show` printed `{text}`: {error}"));
        list[0].clone()
    }

    /// Its MAC.
    ///
    /// # Panics
    /// If it has none.
    pub fn mac(&self) -> MacAddress {
        let details = self.details();
        let text = details["address"].as_str().unwrap_or_default();
        let octets: Vec<u8> = text
            .split(':')
            .filter_map(|octet| u8::from_str_radix(octet, 16).ok())
            .collect();
        let octets = octets.try_into();
        MacAddress(octets.unwrap_or_else(|_| panic!("no MAC in {details}")))
    }

    /// Does an XDP program sit on it?
    pub fn has_xdp_program(&self) -> bool {
        self.details().get("xdp").is_some()
    }

    /// Its addresses without prefix length, link-local ones left out.
    pub fn addresses(&self) -> Vec<std::net::IpAddr> {
        let entries = self.address_entries().into_iter();
        entries
            .filter(|entry| entry["scope"] != "link")
            .filter_map(|entry| entry["local"].as_str()?.parse().ok())
            .collect()
    }

    /// Takes an address off, with whatever prefix length it has; nothing if it is not there.
    pub fn remove_address(&self, address: std::net::IpAddr) {
        for entry in self.address_entries() {
            if entry["local"] == address.to_string() {
                let with_length = format!("{address}/{}", entry["prefixlen"]);
                self.namespace
                    .ip(&["address", "del", &with_length, "dev", &self.name]);
            }
        }
    }

    fn address_entries(&self) -> Vec<serde_json::Value> {
        let text = self
            .namespace
            .ip(&["-json", "address", "show", "dev", &self.name]);
        let list: serde_json::Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("`ip -json address show` printed `{text}`: {error}"));
        let entries = list[0]["addr_info"].as_array();
        entries.cloned().unwrap_or_default()
    }
}

/// Two links that are each other's peer. Goes away with either namespace.
#[derive(Debug)]
pub struct VethPair {
    /// The first end.
    pub a: Link,
    /// The other end.
    pub b: Link,
}

impl VethPair {
    /// Connects `a` and `b`, both ends up, checksums complete.
    pub fn connect((a, a_name): (&Namespace, &str), (b, b_name): (&Namespace, &str)) -> Self {
        // Made in place, so that no name is ever taken in the machine's own namespace.
        super::run(
            "ip",
            &[
                "link",
                "add",
                "name",
                a_name,
                "netns",
                a.name(),
                "type",
                "veth",
                "peer",
                "name",
                b_name,
                "netns",
                b.name(),
            ],
        );
        let link = |namespace: &Namespace, name: &str| Link {
            namespace: namespace.clone(),
            name: name.to_owned(),
        };
        let pair = Self {
            a: link(a, a_name),
            b: link(b, b_name),
        };
        for end in [&pair.a, &pair.b] {
            end.disable_checksum_offload();
            end.up();
        }
        pair
    }
}

/// A switch: a bridge in a namespace of its own.
#[derive(Debug)]
pub struct Bridge {
    namespace: Namespace,
}

impl Bridge {
    const NAME: &str = "br0";

    /// Makes a bridge that forwards at once (no spanning tree).
    pub fn new(label: &str) -> Self {
        let namespace = Namespace::new(label);
        namespace.ip(&[
            "link",
            "add",
            Self::NAME,
            "type",
            "bridge",
            "stp_state",
            "0",
        ]);
        namespace.ip(&["link", "set", Self::NAME, "up"]);
        namespace.enter(Self::without_filter);
        Self { namespace }
    }

    /// Where the module br_netfilter is loaded, a bridge shows each packet to iptables of its namespace. A switch has none,
    /// and the time would be measured with the rest.
    fn without_filter() {
        for family in ["iptables", "ip6tables"] {
            let key = format!("/proc/sys/net/bridge/bridge-nf-call-{family}");
            if Path::new(&key).exists() {
                fs::write(&key, "0").unwrap_or_else(|error| panic!("cannot set {key}: {error}"));
            }
        }
    }

    /// The namespace it is in.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Plugs a new interface `name` of `host` into port `port`; returns (host's end, port).
    pub fn plug(&self, host: &Namespace, name: &str, port: &str) -> (Link, Link) {
        let pair = VethPair::connect((host, name), (&self.namespace, port));
        self.namespace
            .ip(&["link", "set", port, "master", Self::NAME]);
        (pair.a, pair.b)
    }
}

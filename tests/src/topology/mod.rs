//! Test networks: client – adc – backends.

mod address;
mod pair;
mod storage;

pub use address::{
    CLIENT_V4, CLIENT_V6, GATEWAY_V4, GATEWAY_V6, ROUTER_V4, ROUTER_V6, SPARE_VIP_V4, VIP_V4,
    VIP_V6, backend_v4, backend_v6,
};
pub use pair::INSIDE_V4;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use ipnet::IpNet;

use crate::net::{Bridge, Link, Namespace, VethPair};
use address::in_subnet;
use storage::{SerialGuard, Storage};

/// A backend's machine.
#[derive(Clone, Debug)]
pub struct BackendHost {
    /// `web1`, `web2`, ...
    pub name: String,
    /// Its namespace.
    pub namespace: Namespace,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
}

impl BackendHost {
    /// Its IPv4 address with a port.
    pub fn v4(&self, port: u16) -> SocketAddr {
        (IpAddr::V4(self.v4), port).into()
    }

    /// Its IPv6 address with a port.
    pub fn v6(&self, port: u16) -> SocketAddr {
        (IpAddr::V6(self.v6), port).into()
    }
}

/// How the adc node is wired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wiring {
    /// `eth0` towards the client, `eth1` towards the backends.
    TwoArm,
    /// One interface, everyone on one switch; packets leave where they came in.
    OneArm,
}

/// A network of namespaces. The client's and the backends' default route is the adc node, which
/// itself does **not** forward: what crosses it was forwarded by the program under test.
#[derive(Debug)]
pub struct Topology {
    /// Where clients run; one interface, `eth0`.
    pub client: Namespace,
    /// Where the agent runs.
    pub adc: Namespace,
    /// Where servers run; one interface each, `eth0`.
    pub backends: Vec<BackendHost>,
    /// Interfaces of the adc node, the one towards the client first.
    pub interfaces: Vec<Link>,
    /// The switch's end of the adc node's last interface.
    pub switch_port: Link,
    switch: Bridge,
    label: &'static str,
    storage: Storage,
    _serial: Option<SerialGuard>,
}

impl Topology {
    /// Client and backends on subnets of their own, the adc node between them.
    pub fn two_arm(backends: usize) -> Self {
        Self::new(Wiring::TwoArm, backends, "", Some(SerialGuard::acquire()))
    }

    /// Client, adc node and backends on one switch; two subnets, so that backends answer through
    /// the adc node.
    pub fn one_arm(backends: usize) -> Self {
        Self::new(Wiring::OneArm, backends, "", Some(SerialGuard::acquire()))
    }

    /// [`Self::two_arm`] for `adc-demo`: may run beside the tests.
    pub fn demo(backends: usize) -> Self {
        Self::new(Wiring::TwoArm, backends, crate::net::DEMO_LABEL, None)
    }

    fn new(
        wiring: Wiring,
        backends: usize,
        label: &'static str,
        serial: Option<SerialGuard>,
    ) -> Self {
        let adc = Namespace::new(&format!("{label}adc"));
        let client = Namespace::new(&format!("{label}client"));
        let switch = Bridge::new(&format!("{label}switch"));

        let mut interfaces = Vec::new();
        let (client_link, switch_port) = match wiring {
            Wiring::TwoArm => {
                let pair = VethPair::connect((&client, "eth0"), (&adc, "eth0"));
                let (inside, port) = switch.plug(&adc, "eth1", "adc");
                pair.a.enable_gro();
                port.enable_gro();
                interfaces.extend([pair.b, inside]);
                (pair.a, port)
            }
            Wiring::OneArm => {
                let (only, port) = switch.plug(&adc, "eth0", "adc");
                port.enable_gro();
                interfaces.push(only);
                (switch.plug(&client, "eth0", "client").0, port)
            }
        };
        let first = &interfaces[0];
        let last = interfaces.last().unwrap_or(first);
        for gateway in [IpAddr::V4(GATEWAY_V4.0), IpAddr::V6(GATEWAY_V6.0)] {
            first.add_address(in_subnet(gateway));
        }
        for gateway in [IpAddr::V4(GATEWAY_V4.1), IpAddr::V6(GATEWAY_V6.1)] {
            last.add_address(in_subnet(gateway));
        }
        configure_host(
            &client_link,
            [in_subnet(CLIENT_V4.into()), in_subnet(CLIENT_V6.into())],
            (GATEWAY_V4.0, GATEWAY_V6.0),
        );
        // Enough ports for every flow of the longest case, TIME_WAIT included.
        client.sysctl("net.ipv4.ip_local_port_range", "1100 65000");
        // Lets any group open the sockets of `drive::ping`, for both families.
        client.sysctl("net.ipv4.ping_group_range", "0 2147483647");

        let mut topology = Self {
            client,
            adc,
            backends: Vec::new(),
            interfaces,
            switch_port,
            switch,
            label,
            storage: Storage::new(),
            _serial: serial,
        };
        for _ in 0..backends {
            topology.add_backend();
        }
        topology
    }

    /// Adds the next backend's machine.
    pub fn add_backend(&mut self) -> &BackendHost {
        let index = self.backends.len();
        let name = format!("web{}", index + 1);
        let namespace = Namespace::new(&format!("{}{name}", self.label));
        let (link, _port) = self.switch.plug(&namespace, "eth0", &name);
        let (v4, v6) = (backend_v4(index), backend_v6(index));
        configure_host(
            &link,
            [in_subnet(v4.into()), in_subnet(v6.into())],
            (GATEWAY_V4.1, GATEWAY_V6.1),
        );
        self.backends.push(BackendHost {
            name,
            namespace,
            v4,
            v6,
        });
        &self.backends[index]
    }

    /// Plugs another interface of the adc node into the switch; returns (its end, the switch's port).
    pub fn plug_adc(&self, name: &str, port: &str) -> (Link, Link) {
        self.switch.plug(&self.adc, name, port)
    }

    /// Adds another machine on the switch, beside the adc node's last interface.
    pub fn add_machine(&self, name: &str, addresses: &[IpAddr]) -> Link {
        let namespace = Namespace::new(&format!("{}{name}", self.label));
        let (link, _port) = self.switch.plug(&namespace, "eth0", name);
        for address in addresses {
            link.add_address(in_subnet(*address));
        }
        link
    }

    /// Adds another adc node on the switch, beside the first one's last interface.
    pub fn add_node(&self, name: &str, addresses: &[IpAddr]) -> Link {
        let namespace = Namespace::new(&format!("{}{name}", self.label));
        let (link, port) = self.switch.plug(&namespace, "eth0", name);
        port.enable_gro();
        for address in addresses {
            link.add_address(in_subnet(*address));
        }
        link
    }

    /// The switch's end of a link, by its name: `adc` for the adc node, otherwise the machine's.
    pub fn port(&self, name: &str) -> Link {
        Link {
            namespace: self.switch.namespace().clone(),
            name: name.to_owned(),
        }
    }

    /// Makes the adc node an ordinary router.
    pub fn enable_kernel_forwarding(&self) {
        self.adc.sysctl("net.ipv4.ip_forward", "1");
        self.adc.sysctl("net.ipv6.conf.all.forwarding", "1");
    }

    /// Names of the adc node's interfaces, the one towards the client first.
    pub fn interface_names(&self) -> Vec<String> {
        self.interfaces
            .iter()
            .map(|link| link.name.clone())
            .collect()
    }

    /// Temporary directory of this topology.
    pub fn directory(&self) -> &Path {
        self.storage.directory()
    }

    /// A directory in bpffs that is this topology's own; the agent makes it.
    pub fn pin_path(&self) -> &Path {
        self.storage.pin_path()
    }

    /// Leaves namespaces, pins and files behind (`adc-demo --keep`).
    pub fn keep(&mut self) {
        for namespace in [&self.client, &self.adc, self.switch.namespace()] {
            namespace.keep();
        }
        for backend in &self.backends {
            backend.namespace.keep();
        }
        self.storage.keep();
    }
}

fn configure_host(link: &Link, addresses: [IpNet; 2], gateways: (Ipv4Addr, Ipv6Addr)) {
    for address in addresses {
        link.add_address(address);
    }
    let (v4, v6) = (gateways.0.to_string(), gateways.1.to_string());
    link.namespace.ip(&["route", "add", "default", "via", &v4]);
    link.namespace
        .ip(&["-6", "route", "add", "default", "via", &v6]);
}

//! Backends that answer clients directly: they hold the VIPs, and take packets as they are or out of a tunnel.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    process::Command,
    time::Duration,
};

use crate::{
    agent,
    net::Link,
    process::Process,
    topology::{BackendHost, Topology},
    wait::eventually,
};

/// Makes a host take packets for `vips`, and answer clients without the balancer.
pub fn take_vips(host: &BackendHost, vips: &[IpAddr]) {
    let namespace = &host.namespace;
    // Nobody but the balancer answers ARP for a VIP, and none is asked from as one.
    for scope in ["all", "eth0"] {
        namespace.sysctl(&format!("net.ipv4.conf.{scope}.arp_ignore"), "1");
        namespace.sysctl(&format!("net.ipv4.conf.{scope}.arp_announce"), "2");
    }
    for vip in vips {
        match vip {
            IpAddr::V4(vip) => {
                namespace.ip(&["address", "add", &format!("{vip}/32"), "dev", "lo"]);
            }
            IpAddr::V6(vip) => {
                let vip = format!("{vip}/128");
                namespace.ip(&["-6", "address", "add", &vip, "dev", "lo", "nodad"]);
            }
        }
    }
    namespace.ip(&["route", "add", "10.1.0.0/24", "dev", "eth0"]);
    namespace.ip(&["-6", "route", "add", "fd00:1::/64", "dev", "eth0"]);
}

/// The address `n` after this one.
pub fn nth_vip(base: IpAddr, n: u8) -> IpAddr {
    match base {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() + u32::from(n)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() + u128::from(n)).into(),
    }
}

/// Gives the switch's port towards the adc node an XDP program: `adc decap` for a VIP that nobody has, which passes all.
///
/// What a veth sends by `XDP_TX` stays in the ring of its peer until something else is sent there, unless the peer has an
/// XDP program; GRO alone is not enough (`veth_xdp_flush`, drivers/net/veth.c, Linux 6.18). Once the ring is full, after 256
/// packets, the link is dead: what is sent otherwise is dropped, and wakes nobody either.
///
/// # Panics
/// If it does not come up.
#[track_caller]
pub fn wake_port(topology: &Topology) -> Process {
    wake(&topology.switch_port, topology)
}

/// The same for any port.
///
/// # Panics
/// If it does not come up.
#[track_caller]
pub fn wake(port: &Link, topology: &Topology) -> Process {
    let mut command = Command::new(agent::binary().expect("the agent"));
    command.args(["decap", "--interface", &port.name, "--vip", "192.0.2.1"]);
    let directory = topology.directory();
    let label = format!("port-{}", port.name);
    let process = Process::spawn(&port.namespace, &label, &mut command, directory);
    eventually(Duration::from_secs(10), "the port has its program", || {
        process.log().contains("decapsulating")
    });
    process
}

/// Runs `adc decap` for these VIPs on a host.
///
/// # Panics
/// If it does not come up.
#[track_caller]
pub fn decapsulate(host: &BackendHost, vips: &[IpAddr], directory: &Path) -> Process {
    let mut command = Command::new(agent::binary().expect("the agent"));
    command.args(["decap", "--interface", "eth0"]);
    for vip in vips {
        command.args(["--vip", &vip.to_string()]);
    }
    let label = format!("decap-{}", host.name);
    let process = Process::spawn(&host.namespace, &label, &mut command, directory);
    eventually(
        Duration::from_secs(10),
        "the decapsulator is attached",
        || process.log().contains("decapsulating"),
    );
    process
}

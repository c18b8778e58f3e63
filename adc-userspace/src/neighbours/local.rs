//! What this machine itself has: devices and their addresses, and when they change.

use std::{collections::BTreeMap, io, net::IpAddr};

use adc_common::abi::Mac;

use super::{
    NeighbourError,
    facts::Fact,
    kernel::Kernel,
    monitor::{Heard, Monitor},
    vips,
    virtual_mac::VirtualDevice,
};

/// A network device as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// Kernel index.
    pub(crate) index: u32,
    /// Ethernet address; `None` for other kinds of device.
    pub(crate) mac: Option<Mac>,
    /// Set up by an administrator, or by adc.
    pub(crate) up: bool,
    /// Set up, and with carrier.
    pub(crate) usable: bool,
    /// Which virtual MAC it has, if adc made it for one.
    pub(crate) virtual_mac: Option<VirtualDevice>,
    /// Its own addresses, in the kernel's order: without those that adc put there, and without those that can not
    /// be sent from yet.
    pub(crate) addresses: Vec<IpAddr>,
    /// Addresses that adc put there.
    pub(crate) carried: Vec<IpAddr>,
    /// Those of them that the keeper put there.
    pub(crate) kept: Vec<IpAddr>,
}

/// Devices by name.
pub(crate) type Devices = BTreeMap<String, Device>;

/// A connection to the kernel that asks for devices and hears of changes.
pub(crate) struct LocalWatch {
    kernel: Kernel,
    monitor: Monitor,
}

impl LocalWatch {
    /// Begins to listen. Must be called inside a tokio runtime.
    pub(crate) fn open() -> Result<Self, NeighbourError> {
        Ok(Self {
            kernel: Kernel::connect()?,
            monitor: Monitor::open()?,
        })
    }

    /// Waits for a change of devices or addresses, whichever. Nothing is lost if the future is dropped before it is
    /// ready.
    pub(crate) async fn changed(&mut self) -> io::Result<()> {
        loop {
            let Heard::Facts(facts) = self.monitor.next().await? else {
                return Ok(());
            };
            let local = facts.iter().any(|fact| match fact {
                // An address that comes or goes is told as a doubt about all routes.
                Fact::Link(_) | Fact::LinkGone(_) | Fact::RoutesChanged(None) => true,
                Fact::Neighbour(..) | Fact::NeighbourGone(_) | Fact::RoutesChanged(Some(_)) => {
                    false
                }
            });
            if local {
                return Ok(());
            }
        }
    }

    /// All devices.
    pub(crate) async fn devices(&self) -> Result<Devices, NeighbourError> {
        let mut devices = Devices::new();
        let mut names = BTreeMap::new();
        for link in self.kernel.links().await? {
            names.insert(link.index, link.name.clone());
            let device = Device {
                index: link.index,
                mac: link.mac,
                up: link.up,
                usable: link.usable(),
                virtual_mac: VirtualDevice::of(&link),
                addresses: Vec::new(),
                carried: Vec::new(),
                kept: Vec::new(),
            };
            devices.insert(link.name, device);
        }
        for (index, address, owner) in vips::all_addresses(&self.kernel).await? {
            let Some(device) = names.get(&index).and_then(|name| devices.get_mut(name)) else {
                continue;
            };
            match owner {
                None => device.addresses.push(address),
                Some(owner) => {
                    device.carried.push(address);
                    if owner == vips::Owner::Keeper {
                        device.kept.push(address);
                    }
                }
            }
        }
        Ok(devices)
    }
}

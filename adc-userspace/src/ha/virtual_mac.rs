//! Groups whose addresses are at the MAC of their virtual router (RFC 9568 §7.3): which device carries what, and that these devices
//! are there.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{Role, router::Router, task::Task, vrrp::frame};
use crate::{
    model::{GroupName, GroupVip},
    neighbours::{
        Device, Devices,
        virtual_mac::{self, VirtualDevice},
    },
};

/// What a device carries of a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Carried {
    /// The device, if it is there for them alone.
    pub(super) device: Option<VirtualDevice>,
    /// Addresses and the lengths of their prefixes.
    pub(super) addresses: BTreeMap<IpAddr, u8>,
}

impl Router {
    /// Which devices carry its addresses, by name.
    pub(super) fn carriers(&self, devices: &Devices) -> BTreeMap<String, Carried> {
        let mut carriers: BTreeMap<String, Carried> = BTreeMap::new();
        for vip in &self.group.vips {
            let device = self.device_of(vip, devices);
            let name = match device {
                Some(device) => device.name(),
                None => self.group.interface_of(vip).to_owned(),
            };
            let carried = carriers.entry(name).or_default();
            carried.device = device;
            let lower = devices.get(self.group.interface_of(vip));
            let length = match (device, lower) {
                (Some(_), Some(lower)) => length_beside(vip, lower),
                (Some(_) | None, _) => vip.prefix_length(),
            };
            carried.addresses.insert(vip.address, length);
        }
        carriers
    }

    /// Whether its addresses are on, by adc.
    pub(super) fn has_addresses(&self, devices: &Devices) -> bool {
        self.carriers(devices).iter().all(|(name, carried)| {
            let there = devices.get(name);
            let is_on = |address| there.is_some_and(|device| device.carried.contains(address));
            carried.addresses.keys().all(is_on)
        })
    }

    /// The device for an address alone, if it is to have one and its interface is there.
    fn device_of(&self, vip: &GroupVip, devices: &Devices) -> Option<VirtualDevice> {
        if !self.group.virtual_mac {
            return None;
        }
        let lower = devices.get(self.group.interface_of(vip))?;
        let router = self.group.router();
        Some(VirtualDevice::carrying(&vip.address, router, lower.index))
    }

    /// The frame that carries an advert to all routers, and the index of the interface that it leaves by: it comes from the
    /// virtual MAC (RFC 9568 §7.2), by which switches learn where that is. `None` = an ordinary packet does.
    pub(super) fn advert_frame(
        &self,
        from: IpAddr,
        to: IpAddr,
        message: &[u8],
        devices: &Devices,
    ) -> Option<(u32, Vec<u8>)> {
        if !self.group.virtual_mac {
            return None;
        }
        let mac = self.group.router().mac_of(&to);
        let frame = frame::multicast(mac, from, to, message)?;
        Some((devices.get(&self.group.interface)?.index, frame))
    }

    /// Its virtual MACs, for people.
    pub(super) fn shown_macs(&self) -> Vec<String> {
        let vips = self.group.vips.iter().filter(|_| self.group.virtual_mac);
        let router = self.group.router();
        let macs: BTreeSet<_> = vips.map(|vip| router.mac_of(&vip.address).0).collect();
        let text = |octets: [u8; 6]| octets.map(|octet| format!("{octet:02x}")).join(":");
        macs.into_iter().map(text).collect()
    }
}

impl Task {
    /// Makes devices that groups need and are not there, sets them up and down as roles have it, and takes away those that nobody
    /// needs. True = something changed.
    pub(super) async fn keep_devices(&mut self) -> bool {
        if self.settings.interfaces.is_empty() {
            // Told nothing yet: what is there may be of groups that this keeper is about to be told of.
            return false;
        }
        let mut wanted = BTreeMap::new();
        for (name, router) in &self.routers {
            let up = match router.machine.role() {
                // A keeper that has just started may have found its addresses on.
                Role::Init => None,
                Role::Backup | Role::Active | Role::Fault => Some(router.machine.carries()),
            };
            let carriers = router.carriers(&self.known.devices).into_values();
            for device in carriers.filter_map(|carried| carried.device) {
                wanted.insert(device, (name.clone(), up));
            }
        }
        let mut changed = self
            .remove_unwanted(|device| wanted.contains_key(device))
            .await;
        let mut refused: BTreeMap<GroupName, String> = BTreeMap::new();
        for (device, (group, up)) in wanted {
            match self.keep_device(device, up).await {
                Ok(did) => changed |= did,
                Err(why) => {
                    refused.insert(group, why);
                }
            }
        }
        for (name, router) in &mut self.routers {
            let why = refused.remove(name);
            if let Some(why) = why.as_ref().filter(|_| why != router.no_virtual_mac) {
                tracing::error!(group = %name, "{why}; trying again");
            }
            router.no_virtual_mac = why;
        }
        changed
    }

    /// Keeps one; true = something was to do.
    async fn keep_device(&self, device: VirtualDevice, up: Option<bool>) -> Result<bool, String> {
        let there = self.known.devices.get(&device.name());
        let made = there.is_none();
        if made {
            let done = virtual_mac::make(device).await;
            done.map_err(|error| error.to_string())?;
        }
        let is_up = there.is_some_and(|there| there.up);
        let Some(up) = up.filter(|up| *up != is_up) else {
            return Ok(made);
        };
        let done = virtual_mac::set_up(device, up).await;
        done.map(|()| true).map_err(|error| error.to_string())
    }

    /// Takes away all devices, as all groups are at their end.
    pub(super) async fn remove_devices(&mut self) {
        self.remove_unwanted(|_| false).await;
    }

    async fn remove_unwanted(&self, is_wanted: impl Fn(&VirtualDevice) -> bool) -> bool {
        let there = self.known.devices.values();
        let unwanted = there.filter_map(|device| device.virtual_mac);
        let mut removed = false;
        for device in unwanted.filter(|device| !is_wanted(device)) {
            match virtual_mac::remove(device).await {
                Ok(()) => removed = true,
                Err(error) => tracing::warn!("virtual MAC: {error}; trying again"),
            }
        }
        removed
    }

    /// Names of the devices on which addresses are looked after.
    pub(super) fn looked_after(&self) -> BTreeSet<String> {
        let devices = self.known.devices.iter();
        let virtual_ones = devices.filter(|(_, device)| device.virtual_mac.is_some());
        let names = virtual_ones.map(|(name, _)| name.clone());
        names
            .chain(self.settings.interfaces.iter().cloned())
            .collect()
    }
}

/// The length of the prefix that an address has on a device beside its interface. Where the interface has an address of that prefix,
/// the way to the others is by the interface, and there must not be two.
fn length_beside(vip: &GroupVip, lower: &Device) -> u8 {
    let length = vip.prefix_length();
    let net = ipnet::IpNet::new(vip.address, length);
    let is_on_link = |net: ipnet::IpNet| lower.addresses.iter().any(|own| net.contains(own));
    if net.is_ok_and(is_on_link) {
        crate::neighbours::vips::whole(vip.address)
    } else {
        length
    }
}

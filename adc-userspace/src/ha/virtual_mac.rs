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

/// Where an address is put.
struct Place {
    /// Name of the device.
    name: String,
    /// The device, if it is there for such addresses alone.
    device: Option<VirtualDevice>,
    /// Length of the prefix that the address has there.
    length: u8,
}

/// What a device is needed for.
struct Wanted {
    group: GroupName,
    /// Up or down; `None` = as it is.
    up: Option<bool>,
}

impl Router {
    /// Which devices carry its addresses, by name. Addresses at a virtual MAC on an interface that is not there are left out.
    pub(super) fn carriers(&self, devices: &Devices) -> BTreeMap<String, Carried> {
        let mut carriers: BTreeMap<String, Carried> = BTreeMap::new();
        for vip in &self.group.vips {
            let Some(place) = self.place_of(vip, devices) else {
                continue;
            };
            let carried = carriers.entry(place.name).or_default();
            carried.device = place.device;
            carried.addresses.insert(vip.address, place.length);
        }
        carriers
    }

    /// Whether its addresses are on, by adc: all of them.
    pub(super) fn has_addresses(&self, devices: &Devices) -> bool {
        self.group.vips.iter().all(|vip| {
            let place = self.place_of(vip, devices);
            let device = place.and_then(|place| devices.get(&place.name));
            device.is_some_and(|device| device.carried.contains(&vip.address))
        })
    }

    /// Where an address belongs. `None` = on a device of its own, on an interface that is not there: never on the interface itself,
    /// which may be about to come, and whose MAC hosts must not learn for it.
    fn place_of(&self, vip: &GroupVip, devices: &Devices) -> Option<Place> {
        let interface = self.group.interface_of(vip);
        if !self.group.virtual_mac {
            return Some(Place {
                name: interface.to_owned(),
                device: None,
                length: vip.prefix_length(),
            });
        }
        let lower = devices.get(interface)?;
        let device = VirtualDevice::carrying(&vip.address, self.group.router(), lower.index);
        Some(Place {
            name: device.name(),
            device: Some(device),
            length: length_beside(vip, lower),
        })
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
        let devices = &self.known.devices;
        let is_there = |device: &VirtualDevice| {
            let there = devices.get(&device.name());
            there.is_some_and(|there| there.virtual_mac == Some(*device))
        };
        self.made.retain(is_there);
        let wanted = self.wanted_devices();
        let mut changed = self.remove_unwanted(&wanted).await;
        let mut refused = BTreeMap::new();
        for (device, Wanted { group, up }) in wanted {
            match self.keep_device(device, up).await {
                Ok(did) => changed |= did,
                Err(why) => {
                    refused.insert(group, why);
                }
            }
        }
        self.note_refusals(refused);
        changed
    }

    /// The devices that groups need.
    fn wanted_devices(&self) -> BTreeMap<VirtualDevice, Wanted> {
        let mut wanted = BTreeMap::new();
        for (name, router) in &self.routers {
            let up = match router.machine.role() {
                // A keeper that has just started may have found its addresses on.
                Role::Init => None,
                Role::Backup | Role::Active | Role::Fault => Some(router.machine.carries()),
            };
            let carriers = router.carriers(&self.known.devices).into_values();
            for device in carriers.filter_map(|carried| carried.device) {
                let group = name.clone();
                wanted.insert(device, Wanted { group, up });
            }
        }
        wanted
    }

    /// Notes for each group why it can not have its devices, if it can not: a fault for as long as that is so.
    fn note_refusals(&mut self, mut refused: BTreeMap<GroupName, String>) {
        for (name, router) in &mut self.routers {
            let why = refused.remove(name);
            if let Some(new) = &why
                && router.no_virtual_mac != why
            {
                tracing::error!(group = %name, "{new}; trying again");
            }
            router.no_virtual_mac = why;
        }
    }

    /// Keeps one; true = something was to do. One that another process left, or that was left half made, is completed.
    async fn keep_device(
        &mut self,
        device: VirtualDevice,
        up: Option<bool>,
    ) -> Result<bool, String> {
        let is_made = self.made.contains(&device);
        if !is_made {
            let done = virtual_mac::make(device).await;
            done.map_err(|error| error.to_string())?;
            self.made.insert(device);
        }
        let there = self.known.devices.get(&device.name());
        let is_up = there.is_some_and(|there| there.up);
        let Some(up) = up.filter(|up| *up != is_up) else {
            return Ok(!is_made);
        };
        let done = virtual_mac::set_up(device, up).await;
        done.map(|()| true).map_err(|error| error.to_string())
    }

    /// Takes away all devices, as all groups are at their end.
    pub(super) async fn remove_devices(&mut self) {
        self.remove_unwanted(&BTreeMap::new()).await;
    }

    async fn remove_unwanted(&mut self, wanted: &BTreeMap<VirtualDevice, Wanted>) -> bool {
        let there = self.known.devices.values();
        let there = there.filter_map(|device| device.virtual_mac);
        let unwanted: Vec<_> = there
            .filter(|device| !wanted.contains_key(device))
            .collect();
        let mut removed = false;
        for device in unwanted {
            match virtual_mac::remove(device).await {
                Ok(()) => {
                    self.made.remove(&device);
                    removed = true;
                }
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

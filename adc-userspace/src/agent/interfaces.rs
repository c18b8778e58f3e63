//! The interfaces that adc is attached to: kept as they should be, whatever becomes of the devices.

use std::collections::BTreeSet;

use adc_common::abi::{InterfaceId, OTHER_MACS, VIRTUAL_ROUTERS, Vrid};
use anyhow::Result;

use super::state::Agent;
use crate::{
    api::proto::sentence,
    dataplane::{DataplaneError, InterfaceRow},
    doctor,
    model::AttachMode,
    neighbours::InterfaceFacts,
};

/// An interface of `dataplane.interfaces`.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub(super) id: InterfaceId,
    /// `None` while it does not exist.
    pub(super) facts: Option<InterfaceFacts>,
    pub(super) mode: AttachMode,
    /// Whether its attachment was taken over from an earlier agent.
    pub(super) adopted: bool,
    /// Virtual routers whose MACs the tables say are ours there.
    pub(super) routers: BTreeSet<Vrid>,
    /// Why it could not be put to use; tried again at every sweep.
    pub(super) trouble: Option<String>,
}

impl Agent {
    /// An interface came, went or changed.
    pub(super) async fn interface_changed(&mut self, name: &str, facts: Option<InterfaceFacts>) {
        let Some(interface) = self.interfaces.get_mut(name) else {
            return;
        };
        let before = std::mem::replace(&mut interface.facts, facts);
        let id = interface.id;
        let index = |facts: Option<&InterfaceFacts>| facts.map(|facts| facts.ifindex);
        let (old, new) = (index(before.as_ref()), index(interface.facts.as_ref()));
        if let Some(old) = old.filter(|old| Some(*old) != new) {
            tracing::warn!(interface = name, "the interface is gone");
            self.forget_device(name, id, old);
        }
        if new.is_some() {
            self.mend_interface(name);
            if self.carried.wanted.contains_key(name) {
                // A new device has none of them, and one that was down has lost its IPv6 ones.
                self.reconcile_addresses().await;
            }
        }
    }

    /// The device went, and with it its attachment.
    fn forget_device(&mut self, name: &str, id: InterfaceId, ifindex: u32) {
        let forgotten = self
            .dataplane
            .interfaces
            .remove(id, ifindex)
            .and(self.dataplane.detach(name));
        let trouble = forgotten.err().map(|error| error.to_string());
        if let Some(error) = &trouble {
            tracing::error!(interface = name, "{error}");
        }
        if let Some(interface) = self.interfaces.get_mut(name) {
            interface.adopted = false;
            interface.trouble = trouble;
        }
    }

    /// Tries again where something failed.
    pub(super) fn mend_interfaces(&mut self) {
        let broken = |interface: &Interface| interface.trouble.is_some();
        let names: Vec<String> = self
            .interfaces
            .iter()
            .filter(|(_, interface)| broken(interface))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            self.mend_interface(&name);
        }
    }

    /// Writes an interface that exists to the tables, and attaches to it if that is still to do.
    pub(super) fn mend_interface(&mut self, name: &str) {
        let exists = |agent: &Self| {
            let interface = agent.interfaces.get(name);
            interface.is_some_and(|interface| interface.facts.is_some())
        };
        let mended = self.write_interface(name).and_then(|()| {
            if exists(self) && !self.dataplane.attachments.contains(name) {
                self.attach(name)?;
            }
            Ok(())
        });
        let trouble = mended.err().map(|error| sentence(error.as_ref()));
        let Some(interface) = self.interfaces.get_mut(name) else {
            return;
        };
        if let Some(error) = &trouble
            && interface.trouble != trouble
        {
            tracing::error!(interface = name, "{error}; trying again");
        }
        interface.trouble = trouble;
    }

    /// Writes an interface to the tables, if it exists.
    pub(super) fn write_interface(&mut self, name: &str) -> Result<()> {
        let Some(interface) = self.interfaces.get(name) else {
            return Ok(());
        };
        let Some(facts) = &interface.facts else {
            return Ok(());
        };
        let (row, left) = InterfaceRow::of(facts);
        if !left.is_empty() {
            tracing::warn!(
                interface = name,
                "devices on top of it have {} MACs of their own, and adc forwards frames to {OTHER_MACS} of them only: give VLAN devices the MAC of {name}",
                facts.other_macs.len()
            );
        }
        let routers = self.config.ha.virtual_routers(&facts.stack);
        if routers.len() > VIRTUAL_ROUTERS {
            tracing::warn!(
                interface = name,
                "{} HA groups on it, or on devices on top of it, have a virtual MAC, and adc forwards frames to {VIRTUAL_ROUTERS} of them only: take `virtual_mac` from the others",
                routers.len()
            );
        }
        let row = row.with_routers(&routers);
        self.dataplane.pins.note_interface(interface.id, name)?;
        self.dataplane.interfaces.put(interface.id, row)?;
        if let Some(interface) = self.interfaces.get_mut(name) {
            interface.routers = routers;
        }
        Ok(())
    }

    /// Writes the interfaces whose virtual routers are others by the running configuration. Before groups can have their addresses,
    /// so that no frame to a virtual MAC is left to the kernel, which would refuse what belongs to a flow.
    pub(super) fn write_virtual_routers(&mut self) {
        let ha = &self.config.ha;
        let changed = self.interfaces.iter().filter(|(_, interface)| {
            let facts = interface.facts.as_ref();
            facts.is_some_and(|facts| ha.virtual_routers(&facts.stack) != interface.routers)
        });
        let changed: Vec<_> = changed.map(|(name, _)| name.clone()).collect();
        for name in changed {
            self.mend_interface(&name);
        }
    }

    /// Attaches to an interface, or takes over the attachment of an earlier agent.
    pub(super) fn attach(&mut self, name: &str) -> Result<()> {
        let wanted = self.config.dataplane.attach;
        if wanted == AttachMode::Native
            && let Some(reason) = doctor::below(name)
        {
            let interface = name.to_owned();
            return Err(DataplaneError::Attach { interface, reason }.into());
        }
        let adopted = self.dataplane.attach(name, wanted)?;
        // An attachment can not change its mode while it lives; the kernel knows which one it has.
        let mode = if adopted {
            doctor::attach_mode(name).ok().flatten().unwrap_or(wanted)
        } else {
            wanted
        };
        tracing::info!(interface = name, ?mode, adopted, "attached");
        if let Some(interface) = self.interfaces.get_mut(name) {
            interface.adopted = adopted;
            interface.mode = mode;
        }
        Ok(())
    }
}

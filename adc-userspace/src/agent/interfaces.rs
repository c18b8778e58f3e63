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
    /// Virtual routers whose MACs the tables say are ours there: also those of an earlier configuration, until the keeper has taken
    /// their devices away.
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
            if self.troubles.ha.is_none() {
                // The keeper has what is configured: what is too much here was on a device that is elsewhere now.
                self.forget_routers(name);
            }
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
            interface.routers.clear();
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

    /// Writes an interface to the tables, if it exists. Virtual routers that are in the tables stay there.
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
        let wanted = self.config.ha.virtual_routers(&facts.stack);
        if wanted.len() > VIRTUAL_ROUTERS {
            tracing::warn!(
                interface = name,
                "{} HA groups on it, or on devices on top of it, have a virtual MAC, and adc forwards frames to {VIRTUAL_ROUTERS} of them only: take `virtual_mac` from the others",
                wanted.len()
            );
        }
        let routers = fitting(&wanted, &interface.routers);
        let row = row.with_routers(&routers);
        self.dataplane.pins.note_interface(interface.id, name)?;
        self.dataplane.interfaces.put(interface.id, row)?;
        if let Some(interface) = self.interfaces.get_mut(name) {
            interface.routers = routers;
        }
        Ok(())
    }

    /// Writes virtual routers that are new by the running configuration to the tables. Before the keeper is told of them, so that no
    /// frame to a virtual MAC is left to the kernel, which would refuse what belongs to a flow. Those that the keeper still has
    /// devices for stay in the tables for the same reason.
    pub(super) fn add_virtual_routers(&mut self) {
        for name in self.interfaces_where(|wanted, there| !wanted.is_subset(there)) {
            self.mend_interface(&name);
        }
    }

    /// Takes virtual routers out of the tables that are none by the running configuration. After the keeper has taken their devices
    /// away.
    pub(super) fn remove_virtual_routers(&mut self) {
        for name in self.interfaces_where(|wanted, there| !there.is_subset(wanted)) {
            self.forget_routers(&name);
            self.mend_interface(&name);
        }
    }

    /// The interfaces that exist and of which that is true, given the virtual routers by the running configuration and those in the
    /// tables.
    fn interfaces_where(
        &self,
        is_it: impl Fn(&BTreeSet<Vrid>, &BTreeSet<Vrid>) -> bool,
    ) -> Vec<String> {
        let ha = &self.config.ha;
        let found = self.interfaces.iter().filter(|(_, interface)| {
            let facts = interface.facts.as_ref();
            facts.is_some_and(|facts| is_it(&ha.virtual_routers(&facts.stack), &interface.routers))
        });
        found.map(|(name, _)| name.clone()).collect()
    }

    /// No longer keeps virtual routers in the tables that the running configuration has not on this interface; to be written.
    fn forget_routers(&mut self, name: &str) {
        let Some(interface) = self.interfaces.get_mut(name) else {
            return;
        };
        if let Some(facts) = &interface.facts {
            let wanted = self.config.ha.virtual_routers(&facts.stack);
            interface.routers.retain(|router| wanted.contains(router));
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

/// As many virtual routers as the tables have room for: those that are wanted, then those that are there already.
fn fitting(wanted: &BTreeSet<Vrid>, there: &BTreeSet<Vrid>) -> BTreeSet<Vrid> {
    let left = there.difference(wanted);
    let all = wanted.iter().chain(left);
    all.take(VIRTUAL_ROUTERS).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_routers_that_are_there_stay_as_long_as_there_is_room() {
        let set =
            |routers: &[u8]| -> BTreeSet<Vrid> { routers.iter().copied().map(Vrid).collect() };
        assert_eq!(fitting(&set(&[]), &set(&[51])), set(&[51]));
        assert_eq!(fitting(&set(&[52]), &set(&[51])), set(&[51, 52]));
        assert_eq!(fitting(&set(&[51]), &set(&[51])), set(&[51]));
        assert_eq!(fitting(&set(&[7, 9]), &set(&[1])), set(&[7, 9]));
        assert_eq!(fitting(&set(&[9]), &set(&[1, 2])), set(&[1, 9]));
        assert_eq!(fitting(&set(&[1, 2, 3]), &set(&[3])), set(&[1, 2]));
    }
}

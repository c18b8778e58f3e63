//! Once a second, for HA groups: whether the data plane does what they depend on.
//!
//! The program is on every configured interface, it runs, and it finds the VIPs of the groups in its tables. What can be
//! mended is mended at once; what can not be is told to the keeper, and the groups go to the other node.

use std::collections::BTreeMap;

use adc_common::abi::{Addr16, GroupSlot};

use super::state::Agent;
use crate::{api::proto::sentence, doctor};

impl Agent {
    /// Tests the data plane and tells the keeper what was found, and how this node is.
    pub(super) fn test_data_plane(&mut self) {
        if self.stopping || self.config.ha.is_empty() {
            return;
        }
        let found = tokio::task::block_in_place(|| {
            self.restore_attachments();
            self.find_fault()
        });
        let trouble = found.clone().err();
        if trouble != self.troubles.self_test {
            if let Some(what) = &trouble {
                tracing::error!("self-test: {what}; trying again every second");
            } else {
                tracing::info!("self-test: the data plane works again");
            }
            self.troubles.self_test = trouble;
        }
        // Before the statement: what the node says of itself rests on it.
        self.ha.tested(found);
        self.state_node();
    }

    /// Puts the program back where somebody took it off.
    fn restore_attachments(&mut self) {
        let (programs, ours) = match (doctor::programs(), self.dataplane.program_ids()) {
            (Ok(programs), Ok(ours)) => (programs, ours),
            // Nothing is known, which is no reason to believe that something is wrong.
            (Err(error), _) => return tracing::debug!("self-test: listing devices: {error}"),
            (_, Err(error)) => return tracing::debug!("self-test: {error}"),
        };
        let is_off = |name: &str| {
            let found = programs.get(name);
            // A device that is gone is noticed elsewhere.
            found.is_some_and(|program| program.is_none_or(|program| !ours.contains(&program)))
        };
        let attached = self.dataplane.attachments.iter();
        let off = attached.filter(|(name, _)| is_off(name));
        let off: Vec<String> = off.map(|(name, _)| name.to_owned()).collect();
        for name in off {
            tracing::warn!(
                interface = name,
                "somebody took the program off the interface; attaching it again"
            );
            if let Err(error) = self.dataplane.detach(&name) {
                tracing::error!(interface = name, "{error}");
            }
            self.mend_interface(&name);
        }
    }

    /// What keeps the data plane from serving groups; the error is a sentence.
    fn find_fault(&mut self) -> Result<(), String> {
        for (name, interface) in &self.interfaces {
            if let Some(trouble) = &interface.trouble {
                return Err(trouble.clone());
            }
            if interface.facts.is_none() {
                return Err(format!("there is no interface {name}"));
            }
        }
        // One VIP of each group: those of one group are written together.
        let observed = &self.dataplane.tables.observed().group_vips;
        let vips: BTreeMap<GroupSlot, Addr16> =
            observed.iter().map(|(vip, slot)| (*slot, *vip)).collect();
        let vips: Vec<Addr16> = vips.into_values().collect();
        let answered = self.dataplane.ask(&vips);
        answered.map_err(|error| sentence(&error))
    }
}

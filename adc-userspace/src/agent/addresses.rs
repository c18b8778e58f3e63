//! Addresses that this machine answers for: the VIPs on one interface, and those that `full-nat` sends from on the
//! interfaces that lead to the backends, because it is backends that ask for them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use adc_common::abi::ForwardingMode;

use super::{snat::local_addresses, state::Agent};
use crate::{
    api::proto::{Severity, Warning},
    neighbours::{vips, virtual_mac},
};

/// Addresses, with the lengths of their prefixes, by the interface that is to carry them.
pub(super) type Addresses = BTreeMap<String, BTreeMap<IpAddr, u8>>;

/// What is on the interfaces because of us.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// As last asked for.
    pub(super) wanted: Addresses,
    /// Interfaces that may hold something else of ours, from an earlier agent or configuration.
    leftovers: BTreeSet<String>,
    /// Addresses of `snat` that this machine has for itself, and on which interface.
    pub(super) foreign: BTreeMap<IpAddr, String>,
}

impl Carried {
    /// For an agent that starts: an earlier one may have used any of these interfaces.
    pub(super) fn on(interfaces: &[String]) -> Self {
        Self {
            wanted: Addresses::new(),
            leftovers: interfaces.iter().cloned().collect(),
            foreign: BTreeMap::new(),
        }
    }

    /// Interfaces that may hold something of adc's.
    pub(super) fn interfaces(&self) -> BTreeSet<String> {
        let wanted = self.wanted.keys();
        wanted.chain(&self.leftovers).cloned().collect()
    }

    /// These may hold something of ours, too.
    pub(super) fn look_at(&mut self, interfaces: impl Iterator<Item = String>) {
        self.leftovers.extend(interfaces);
    }
}

impl Agent {
    /// Addresses that should be on interfaces because of the agent: none if people put the VIPs where they belong. Those
    /// of HA groups are the keeper's.
    pub(super) fn wanted_addresses(&self) -> Addresses {
        let mut wanted = Addresses::new();
        let Some(vip_interface) = &self.config.dataplane.vip_interface else {
            return wanted;
        };
        let services = self.config.services.values();
        let vips = services.map(|service| service.vip);
        let vips = vips.filter(|vip| self.config.ha.group_of(*vip).is_none());
        let on = wanted.entry(vip_interface.clone()).or_default();
        on.extend(vips.map(|vip| (vip, vips::whole(vip))));
        // From the tables, not from the configuration: flows of what was removed go on.
        let observed = self.dataplane.tables.observed();
        for backend in observed.backends.values() {
            let address = IpAddr::from(backend.address);
            let service = observed.services.get(&backend.service);
            let full_nat = service.filter(|service| service.mode == ForwardingMode::FULL_NAT);
            if let (Some(service), Some(device)) = (full_nat, self.devices.get(&address)) {
                let on = wanted.entry(device.clone()).or_default();
                let local = local_addresses(service, address);
                let local = local
                    .into_iter()
                    .filter(|local| self.config.ha.group_of(*local).is_none());
                on.extend(local.map(|local| (local, vips::whole(local))));
            }
        }
        wanted
    }

    /// Puts the addresses where they belong, and tells of what changed.
    pub(super) async fn reconcile_addresses(&mut self) {
        if self.stopping {
            return;
        }
        let wanted = self.wanted_addresses();
        let used = std::mem::take(&mut self.carried.wanted);
        self.carried.leftovers.extend(used.into_keys());
        let mut trouble = None;
        for (interface, addresses) in &wanted {
            if let Some(error) = self.reconcile_interface(interface, addresses).await {
                trouble.get_or_insert(error);
            }
            self.carried.leftovers.remove(interface);
        }
        // Where nothing is wanted any more. An interface that is gone has taken everything with it.
        for interface in std::mem::take(&mut self.carried.leftovers) {
            match vips::remove_all_ours(&interface).await {
                Ok(removed) if removed.is_empty() => {}
                Ok(removed) => tracing::info!(interface, ?removed, "addresses"),
                Err(error) => tracing::debug!(interface, "removing addresses: {error}"),
            }
        }
        self.carried.wanted = wanted;
        self.troubles.vips = trouble;
        self.look_for_foreign().await;
    }

    /// Notes which addresses of `snat` are the machine's own. Where people put all addresses themselves, those for
    /// adc can not be told from others.
    async fn look_for_foreign(&mut self) {
        let mut snat = BTreeSet::new();
        if self.config.dataplane.vip_interface.is_some() {
            let services = self.config.services.values();
            snat.extend(services.flat_map(|service| service.snat.iter().copied()));
        }
        match vips::foreign(&snat).await {
            Ok(found) => {
                for (address, interface) in &found {
                    if !self.carried.foreign.contains_key(address) {
                        tracing::warn!("snat: {}", own_address(*address, interface));
                    }
                }
                self.carried.foreign = found;
            }
            Err(error) => tracing::debug!("looking for addresses of snat: {error}"),
        }
    }

    /// What there is to say about addresses of `snat` that the machine has for itself.
    pub(super) fn foreign_addresses(&self) -> Vec<Warning> {
        let foreign = self.carried.foreign.iter();
        let warning = |(address, interface): (&IpAddr, &String)| Warning {
            severity: Severity::Warning,
            subject: "snat".into(),
            what: own_address(*address, interface),
            remedy: format!(
                "name an address in `snat` that nobody has, or take it off {interface}: adc puts it there by itself"
            ),
        };
        foreign.map(warning).collect()
    }

    /// The error, if there is one.
    async fn reconcile_interface(
        &self,
        interface: &str,
        wanted: &BTreeMap<IpAddr, u8>,
    ) -> Option<String> {
        match vips::reconcile_prefixes(interface, wanted).await {
            Ok(done) if done.added.is_empty() && done.removed.is_empty() => None,
            Ok(done) => {
                tracing::info!(interface, added = ?done.added, removed = ?done.removed, "addresses");
                None
            }
            Err(error) => {
                let error = error.to_string();
                if self.troubles.vips.as_ref() == Some(&error) {
                    tracing::debug!(interface, "addresses: {error}");
                } else {
                    tracing::error!(interface, "addresses: {error}; trying again");
                }
                Some(error)
            }
        }
    }

    /// Takes off what a keeper left that runs no more.
    pub(super) async fn remove_kept_addresses(&self) {
        for interface in self.carried.interfaces() {
            match vips::remove_all_kept(&interface).await {
                Ok(removed) if removed.is_empty() => {}
                Ok(removed) => tracing::info!(interface, ?removed, "addresses of no HA group"),
                Err(error) => tracing::debug!(interface, "removing addresses: {error}"),
            }
        }
        match virtual_mac::remove_all().await {
            Ok(removed) if removed.is_empty() => {}
            Ok(removed) => tracing::info!(?removed, "devices of no HA group"),
            Err(error) => tracing::warn!("removing devices with virtual MACs: {error}"),
        }
    }

    /// Takes off everything that the agent put on.
    pub(super) async fn remove_addresses(&self) {
        let carried = self.carried.wanted.keys();
        for interface in carried.chain(&self.carried.leftovers) {
            if let Err(error) = vips::remove_all_ours(interface).await {
                tracing::warn!(interface, "removing addresses: {error}");
            }
        }
    }
}

/// Why an address of `snat` may not be the machine's own.
fn own_address(address: IpAddr, interface: &str) -> String {
    format!(
        "{address} is an address of this machine's own ({interface}), not one that adc put there: a connection of the machine's \
         to a backend, a health check for one, may meet the port of a flow, and is broken then"
    )
}

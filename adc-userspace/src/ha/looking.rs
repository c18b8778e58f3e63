//! Looking at what groups depend on, and telling them.

use std::collections::BTreeSet;

use super::{
    heartbeat::packet::GroupId,
    machine::Machine,
    router::Router,
    task::Task,
    tracking,
    vrrp::{Family, Input},
};
use crate::{
    model::GroupName,
    neighbours::{Devices, LocalWatch},
};

impl Task {
    /// Looks at devices and addresses, and tells the groups.
    pub(super) async fn look(&mut self, watch: Option<&LocalWatch>) {
        let Some(watch) = watch else { return };
        match watch.devices().await {
            Ok(devices) => self.known.devices = devices,
            Err(error) => {
                tracing::warn!("looking at devices: {error}");
                return;
            }
        }
        if self.keep_devices().await
            && let Ok(devices) = watch.devices().await
        {
            self.known.devices = devices;
        }
        let wanted = self.routers.values().flat_map(|router| {
            let families = router.spoken().into_iter();
            families.map(|family| (router.group.interface.clone(), family))
        });
        let wanted: BTreeSet<_> = wanted.collect();
        let refused = self.ports.open(&wanted, &self.known.devices);
        let names: Vec<_> = self.routers.keys().cloned().collect();
        for name in names {
            let Some(router) = self.routers.get(&name) else {
                continue;
            };
            let interface = router.group.interface.clone();
            let links = router.spoken().into_iter().map(|family| {
                let own = router.own_address(family, &self.known.devices);
                let socket = refused.get(&(interface.clone(), family)).cloned();
                (family, own.and_then(|own| socket.map_or(Ok(own), Err)))
            });
            let links: Vec<_> = links.collect();
            for (family, own) in links {
                self.step(&name, Input::Link(family, own)).await;
            }
        }
        self.judge_all().await;
        self.keep_addresses().await;
    }

    pub(super) async fn judge_all(&mut self) {
        let names: Vec<_> = self.routers.keys().cloned().collect();
        // All are looked at before any is told: those that move together are told of each other.
        for name in &names {
            self.weigh(name);
        }
        for name in names {
            self.tell_tracking(&name).await;
        }
    }

    pub(super) async fn judge(&mut self, name: &GroupName) {
        self.weigh(name);
        self.tell_tracking(name).await;
    }

    /// Adds up what a group tracks.
    fn weigh(&mut self, name: &GroupName) {
        let together = self.settings.ha.sync_group_of(name);
        let sync_group = together.map(|(name, _)| GroupId::of(name.as_str()));
        let Some(router) = self.routers.get_mut(name) else {
            return;
        };
        let mut findings = tracking::judge(&router.group.track, &self.known, &router.verdicts);
        let gone = self.shared.agent_gone_since().map(|gone| gone.elapsed());
        findings.extend(tracking::absence(gone, self.settings.ha.agent_grace));
        let mut sum = tracking::sum(&findings);
        if let Machine::Ruled(ruled) = &mut router.machine {
            ruled.join(sync_group);
            // VRRP asks for an address on it; here it must do to be there.
            let lost = router.lost_interface(&self.known.devices);
            sum.fault = lost.or(sum.fault);
        }
        sum.fault = router.no_virtual_mac.clone().or(sum.fault);
        router.findings = findings;
        router.tracking = sum;
    }
}

impl Router {
    /// Families that adverts go out in.
    pub(super) fn spoken(&self) -> Vec<Family> {
        match &self.machine {
            Machine::Vrrp(_) => self.families(),
            Machine::Ruled(_) => Vec::new(),
        }
    }

    /// Which of its interfaces is not there or not up, for people.
    pub(super) fn lost_interface(&self, devices: &Devices) -> Option<String> {
        let vips = self.group.vips.iter();
        let mut interfaces = vips.map(|vip| self.group.interface_of(vip));
        let lost = |name: &&str| devices.get(*name).is_none_or(|device| !device.usable);
        let lost = interfaces.find(lost)?;
        Some(format!("{lost} is down or has no carrier"))
    }
}

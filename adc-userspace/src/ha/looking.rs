//! Looking at what groups depend on, and telling them.

use std::collections::BTreeSet;

use super::{machine::Machine, task::Task, tracking, vrrp::Input};
use crate::{model::GroupName, neighbours::LocalWatch};

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
    }

    pub(super) async fn judge_all(&mut self) {
        let names: Vec<_> = self.routers.keys().cloned().collect();
        for name in names {
            self.judge(&name).await;
        }
    }

    pub(super) async fn judge(&mut self, name: &GroupName) {
        let Some(router) = self.routers.get_mut(name) else {
            return;
        };
        let findings = tracking::judge(&router.group.track, &self.known, &router.verdicts);
        let mut sum = tracking::sum(&findings);
        if matches!(router.machine, Machine::Ruled(_)) {
            // VRRP asks for an address on it; here it must do to be there.
            let lost = router.lost_interface(&self.known.devices);
            sum.fault = lost.or(sum.fault);
        }
        router.findings = findings;
        self.step(name, Input::Tracking(sum)).await;
    }
}

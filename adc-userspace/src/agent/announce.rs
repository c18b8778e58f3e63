//! VIPs that a routing daemon announces: which of them this node serves, and their routes.

mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::watch;

use self::view::foreign_route;
use super::state::Agent;
use crate::{
    announce::{Gate, Holds},
    api::proto::Timestamp,
    model::{Require, RouteAnnouncement, Service, ServiceName},
    neighbours::routes,
    plan::key_of,
};

/// The services of each VIP.
type Behind<'a> = BTreeMap<IpAddr, Vec<(&'a ServiceName, &'a Service)>>;

/// What is announced, and when to look again.
pub(super) struct Announcer {
    gates: BTreeMap<IpAddr, Gate>,
    /// VIPs whose routes were there when last looked, and since when; in which table.
    written: Option<(u32, BTreeMap<IpAddr, Timestamp>)>,
    /// VIPs to which somebody else's route stands in the table.
    foreign: BTreeSet<IpAddr>,
    /// Whether all tables but `kept` were searched for routes that were left there.
    cleaned: bool,
    kept: Option<u32>,
    trouble: Option<String>,
    /// Somebody may have changed the table since it was last looked at.
    doubted: bool,
    /// Everything was withdrawn because the agent stops.
    withdrawn: bool,
    due: watch::Sender<Option<Instant>>,
}

impl Default for Announcer {
    fn default() -> Self {
        Self {
            gates: BTreeMap::new(),
            written: None,
            foreign: BTreeSet::new(),
            cleaned: false,
            kept: None,
            trouble: None,
            doubted: true,
            withdrawn: false,
            due: watch::Sender::new(None),
        }
    }
}

impl Announcer {
    /// Something changed that announcements may depend on.
    pub(super) fn look(&self) {
        self.due.send_replace(Some(Instant::now()));
    }

    /// The same, and the kernel's table may have changed too.
    pub(super) fn look_at_routes(&mut self) {
        self.doubted = true;
        self.look();
    }

    /// Whether the table was like this when last looked at, and nothing has happened to it since that we know of.
    fn stands(&self, table: u32, wanted: &BTreeSet<IpAddr>) -> bool {
        let known = self.written.as_ref();
        let same = known.is_some_and(|(of, vips)| *of == table && vips.keys().eq(wanted));
        same && !self.doubted && self.trouble.is_none() && self.foreign.is_empty()
    }

    /// Tells when to call [`Agent::announce`].
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Instant>> {
        self.due.subscribe()
    }
}

/// Returns when announcements are to be looked at. May be dropped at any time.
pub(super) async fn due(when: &mut watch::Receiver<Option<Instant>>) {
    loop {
        let at = *when.borrow_and_update();
        let reached = async {
            match at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = reached => return,
            changed = when.changed() => if changed.is_err() {
                return std::future::pending().await;
            },
        }
    }
}

impl Agent {
    /// Makes the routes those of the VIPs that are served.
    pub(super) async fn announce(&mut self) {
        if self.announcer.withdrawn || self.stopping {
            self.announcer.due.send_replace(None);
            return;
        }
        let now = Instant::now();
        let settings = self.config.announce.clone();
        self.clean_other_tables(settings.as_ref()).await;
        let Some(settings) = settings else {
            self.announcer.gates.clear();
            self.announcer.written = None;
            self.announcer.trouble = None;
            self.announcer.due.send_replace(None);
            return;
        };
        self.adopt_routes(settings.table).await;
        let next = self.judge(&settings, now);
        self.announcer.due.send_replace(next);
        self.write_routes(settings.table).await;
    }

    /// Routes that an earlier agent or configuration left in other tables.
    async fn clean_other_tables(&mut self, settings: Option<&RouteAnnouncement>) {
        let kept = settings.map(|settings| settings.table);
        if self.announcer.cleaned && self.announcer.kept == kept {
            return;
        }
        match routes::remove_elsewhere(kept).await {
            Ok(removed) => {
                for (table, vips) in removed {
                    tracing::info!(table, ?vips, "withdrawn");
                }
                self.announcer.cleaned = true;
                self.announcer.kept = kept;
            }
            Err(error) => tracing::warn!("withdrawing what is not announced any more: {error}"),
        }
    }

    /// What an earlier agent announced stays announced while it is served.
    async fn adopt_routes(&mut self, table: u32) {
        if matches!(&self.announcer.written, Some((known, _)) if *known == table) {
            return;
        }
        match routes::present(table).await {
            Ok(found) => {
                let since = Timestamp(SystemTime::now());
                let gates = found.iter().map(|vip| (*vip, Gate::found(true)));
                // In another table than before: what was announced there goes on here.
                self.announcer.gates.extend(gates);
                let found = found.into_iter().map(|vip| (vip, since));
                self.announcer.written = Some((table, found.collect()));
            }
            Err(error) => self.note_route_trouble(Some(error.to_string())),
        }
    }

    /// Opens and closes gates; gives when to look again.
    fn judge(&mut self, settings: &RouteAnnouncement, now: Instant) -> Option<Instant> {
        let holds = Holds {
            up: settings.up_after,
            down: settings.down_after,
        };
        let vips = self.announced_vips(settings);
        let behind = self.services_by_vip();
        let verdicts: BTreeMap<IpAddr, bool> = vips
            .into_iter()
            .map(|vip| (vip, self.served(vip, &behind, settings).is_ok()))
            .collect();
        let gates = &mut self.announcer.gates;
        gates.retain(|vip, _| verdicts.contains_key(vip));
        let looks = verdicts.into_iter().filter_map(|(vip, served)| {
            let gate = gates.entry(vip).or_insert_with(|| Gate::found(false));
            gate.judge(served, now, holds)
        });
        looks.min()
    }

    async fn write_routes(&mut self, table: u32) {
        let gates = self.announcer.gates.iter();
        let open = gates.filter(|(_, gate)| gate.announced());
        let wanted: BTreeSet<IpAddr> = open.map(|(vip, _)| *vip).collect();
        if self.announcer.stands(table, &wanted) {
            return;
        }
        match routes::reconcile(table, &wanted).await {
            Ok(done) => {
                if !done.added.is_empty() || !done.removed.is_empty() {
                    tracing::info!(table, announced = ?done.added, withdrawn = ?done.removed, "routes");
                }
                for vip in done.foreign.difference(&self.announcer.foreign) {
                    tracing::error!(%vip, "{}", foreign_route(*vip, table));
                }
                let present = wanted.difference(&done.foreign);
                self.announcer.wrote(table, present.copied());
                self.announcer.foreign = done.foreign;
                self.announcer.doubted = false;
                self.note_route_trouble(None);
            }
            Err(error) => self.note_route_trouble(Some(error.to_string())),
        }
    }

    fn note_route_trouble(&mut self, trouble: Option<String>) {
        if let Some(error) = &trouble
            && self.announcer.trouble != trouble
        {
            tracing::error!("announcing VIPs: {error}; trying again");
        }
        self.announcer.trouble = trouble;
    }

    /// Withdraws everything before the agent stops; gives how long routers are to be waited for.
    pub(super) async fn withdraw(&mut self) -> Duration {
        self.announcer.withdrawn = true;
        let Some((table, vips)) = self.announcer.written.take() else {
            return Duration::ZERO;
        };
        if let Err(error) = routes::reconcile(table, &BTreeSet::new()).await {
            tracing::warn!("withdrawing VIPs: {error}");
        }
        let drain = self.config.announce.as_ref().map(|settings| settings.drain);
        let drain = drain.filter(|_| !vips.is_empty()).unwrap_or_default();
        if !drain.is_zero() {
            let vips: Vec<_> = vips.into_keys().collect();
            tracing::info!(
                table,
                ?vips,
                ?drain,
                "withdrawn; serving on while routers learn of it"
            );
        }
        drain
    }

    fn announced_vips(&self, settings: &RouteAnnouncement) -> BTreeSet<IpAddr> {
        if !settings.vips.is_empty() {
            return settings.vips.clone();
        }
        let vips = self.config.services.values().map(|service| service.vip);
        vips.filter(|vip| self.config.ha.group_of(*vip).is_none())
            .collect()
    }

    fn services_by_vip(&self) -> Behind<'_> {
        let mut behind = Behind::new();
        for (name, service) in &self.config.services {
            behind.entry(service.vip).or_default().push((name, service));
        }
        behind
    }

    /// Whether this node serves a VIP; if not, why.
    fn served(
        &self,
        vip: IpAddr,
        behind: &Behind<'_>,
        settings: &RouteAnnouncement,
    ) -> Result<(), String> {
        self.takes_packets()?;
        if let Some(group) = self.config.ha.group_of(vip)
            && !self.has_role(group)
        {
            return Err(format!("HA group {group} is not active on this node"));
        }
        let services = behind.get(&vip).map_or(&[][..], Vec::as_slice);
        let faults: Vec<String> = services
            .iter()
            .filter_map(|(name, service)| self.service_fault(name, service, settings.min_up))
            .collect();
        let enough = match settings.require {
            Require::Any => faults.len() < services.len(),
            Require::All => faults.is_empty() && !services.is_empty(),
        };
        if enough {
            return Ok(());
        }
        if services.is_empty() {
            return Err("no service has this VIP".into());
        }
        Err(faults.join("; "))
    }

    /// An interface that is gone brings no packets, but one without the program brings some that nobody serves.
    fn takes_packets(&self) -> Result<(), String> {
        let mut any = false;
        for (name, interface) in &self.interfaces {
            if interface.facts.is_none() {
                continue;
            }
            if let Some(trouble) = &interface.trouble {
                return Err(format!("interface {name}: {trouble}"));
            }
            if !self.dataplane.attachments.contains(name) {
                return Err(format!("not attached to interface {name}"));
            }
            any = true;
        }
        if any {
            return Ok(());
        }
        Err("none of dataplane.interfaces exists".into())
    }

    fn service_fault(&self, name: &ServiceName, service: &Service, min_up: u32) -> Option<String> {
        let index = &self.dataplane.tables.observed().index;
        if !index.contains_key(&key_of(service)) {
            return Some(format!("service {name} is not in the tables yet"));
        }
        let up = self.available(&service.pool);
        (up < min_up).then(|| {
            let pool = &service.pool;
            format!("service {name}: {up} backends of pool {pool} take new flows, {min_up} wanted")
        })
    }
}

impl Announcer {
    /// Notes which routes are there; those that were keep their times.
    fn wrote(&mut self, table: u32, vips: impl Iterator<Item = IpAddr>) {
        let known = match self.written.take() {
            Some((before, known)) if before == table => known,
            Some(_) | None => BTreeMap::new(),
        };
        let now = Timestamp(SystemTime::now());
        let since = |vip: &IpAddr| known.get(vip).copied().unwrap_or(now);
        let vips = vips.map(|vip| (vip, since(&vip))).collect();
        self.written = Some((table, vips));
    }
}

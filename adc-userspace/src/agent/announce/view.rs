//! What the agent shows of announcements.

use std::net::IpAddr;

use super::Agent;
use crate::{
    api::proto::{AnnouncementView, Severity, Warning},
    model::RouteAnnouncement,
};

impl Agent {
    /// Every VIP that is or may be announced.
    pub(in super::super) fn announcement_views(&self) -> Vec<AnnouncementView> {
        let Some(settings) = &self.config.announce else {
            return Vec::new();
        };
        let written = self.announcer.written.as_ref();
        let behind = self.services_by_vip();
        let view = |vip: IpAddr| {
            let since = written.and_then(|(_, vips)| vips.get(&vip).copied());
            let served = self.served(vip, &behind, settings);
            AnnouncementView {
                vip,
                table: settings.table,
                announced: since.is_some(),
                since,
                why: self.why(vip, since.is_some(), &served, settings),
            }
        };
        let vips = self.announced_vips(settings).into_iter();
        vips.map(view).collect()
    }

    fn why(
        &self,
        vip: IpAddr,
        announced: bool,
        served: &Result<(), String>,
        settings: &RouteAnnouncement,
    ) -> String {
        if self.announcer.withdrawn {
            return "the agent stops".into();
        }
        if self.announcer.foreign.contains(&vip) {
            return foreign_route(vip, settings.table);
        }
        match (announced, served) {
            (true, Ok(())) => "served".into(),
            (true, Err(why)) => format!("withdrawn soon: {why}"),
            (false, Ok(())) => match &self.announcer.trouble {
                Some(trouble) => trouble.clone(),
                None => "served, announced soon".into(),
            },
            (false, Err(why)) => why.clone(),
        }
    }

    /// What people should know of announcements.
    pub(in super::super) fn announce_warnings(&self) -> Vec<Warning> {
        let Some(settings) = &self.config.announce else {
            return Vec::new();
        };
        let warning = |severity, what: String, remedy: &str| Warning {
            severity,
            subject: "announcements".into(),
            what,
            remedy: remedy.into(),
        };
        let trouble = self.announcer.trouble.iter().map(|what| {
            let remedy = "it is tried again every few seconds";
            warning(Severity::Critical, what.clone(), remedy)
        });
        let foreign = self.announcer.foreign.iter().map(|vip| {
            let what = foreign_route(*vip, settings.table);
            let remedy = "take it out, or set announce.table to a table that nobody else uses";
            warning(Severity::Critical, what, remedy)
        });
        let services = || self.config.services.values();
        let unknown = settings.vips.iter();
        let unknown = unknown.filter(|vip| services().all(|service| service.vip != **vip));
        let unknown = unknown.map(|vip| {
            let what = format!("announce.vips has {vip}, and no service has this VIP");
            let remedy = "correct it, or add the service";
            warning(Severity::Warning, what, remedy)
        });
        trouble.chain(foreign).chain(unknown).collect()
    }
}

/// What is wrong with a route that is not ours.
pub(super) fn foreign_route(vip: IpAddr, table: u32) -> String {
    format!(
        "somebody else's route to {vip} stands in table {table}: adc can neither announce nor withdraw it"
    )
}

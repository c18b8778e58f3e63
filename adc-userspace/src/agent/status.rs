//! What the agent shows of the node as a whole: status and metrics.

use std::time::SystemTime;

use anyhow::Result;

use super::{
    configure::hash,
    interfaces::Interface,
    state::{Agent, Troubles},
};
use crate::{
    api::proto::{
        BackendFilter, ConfigSummary, FlowTableView, HaView, InterfaceView, ReasonRow,
        ServiceSummary, Severity, Status, Timestamp, Warning, warnings_about,
    },
    model::AttachMode,
    telemetry::MetricsSnapshot,
};

/// Share of a flow table above which it is a warning, percent.
const NEARLY_FULL: u64 = 90;

impl Agent {
    /// The node at a glance.
    pub(super) fn status(&mut self) -> Result<Status> {
        self.sweep_now()?;
        let services = self.service_views()?;
        let flows = self.flow_count();
        let mut warnings = self.own_warnings();
        warnings.extend(warnings_about(&services));
        warnings.extend(flows.tables.iter().filter_map(nearly_full));
        let checks = self.dataplane.counters.self_checks()?;
        warnings.extend(self_check_failed(checks.failed));
        warnings.extend(self.snat_uses()?.iter().filter_map(super::snat::warning));
        warnings.sort_by_key(|warning| warning.severity);
        let Timestamp(started) = self.started;
        Ok(Status {
            warnings,
            node: self.config.node.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            started: self.started,
            uptime_seconds: SystemTime::now()
                .duration_since(started)
                .unwrap_or_default()
                .as_secs(),
            interfaces: self.interface_views(),
            config: self.config_summary(),
            differences: self.edits.differences(&self.file),
            flows,
            services: services.iter().map(ServiceSummary::from).collect(),
        })
    }

    fn own_warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for (name, interface) in &self.interfaces {
            warnings.extend(self.interface_warnings(name, interface));
        }
        let Troubles {
            plan,
            sweep,
            vips,
            ha: _,
            self_test,
            sync,
        } = &self.troubles;
        let broken = [
            ("flow replication", sync),
            ("data plane", plan),
            ("data plane", self_test),
            ("flow tables", sweep),
        ];
        for (subject, trouble) in broken {
            warnings.extend(trouble.as_ref().map(|what| Warning {
                severity: Severity::Critical,
                subject: subject.into(),
                what: what.clone(),
                remedy: "it is tried again every few seconds".into(),
            }));
        }
        warnings.extend(vips.as_ref().map(|what| Warning {
            severity: Severity::Critical,
            subject: "addresses".into(),
            what: what.clone(),
            remedy: "it is tried again every few seconds".into(),
        }));
        let warning = |subject: &str, what: String, remedy: &str| Warning {
            severity: Severity::Warning,
            subject: subject.into(),
            what,
            remedy: remedy.into(),
        };
        warnings.extend(self.last_reload_error.as_ref().map(|error| {
            warning(
                "configuration",
                format!("the last reload was refused: {error}"),
                "`adc config check` shows every error",
            )
        }));
        warnings.extend(self.edit_problems.iter().map(|problem| {
            warning(
                "configuration",
                problem.to_string(),
                "`adc config apply --reset-edits` forgets all runtime edits",
            )
        }));
        warnings.extend(self.foreign_addresses());
        warnings.extend(self.ha_warnings());
        warnings.extend(self.announce_warnings());
        let kept = self.load_report.kept_capacities.iter();
        warnings.extend(kept.map(|line| warning("data plane", line.clone(), "")));
        warnings
    }

    fn interface_warnings(&self, name: &str, interface: &Interface) -> Vec<Warning> {
        let warning = |severity, what: String, remedy: &str| Warning {
            severity,
            subject: format!("interface {name}"),
            what,
            remedy: remedy.into(),
        };
        let mut warnings = Vec::new();
        match &interface.facts {
            None => warnings.push(warning(
                Severity::Critical,
                "it does not exist any more".into(),
                "create it; adc attaches by itself",
            )),
            Some(facts) if !facts.up => warnings.push(warning(
                Severity::Critical,
                "it is down or has no carrier".into(),
                &format!("`ip link set {name} up`, or check cable, switch port or peer"),
            )),
            Some(_) => {}
        }
        if let Some(trouble) = &interface.trouble {
            warnings.push(warning(
                Severity::Critical,
                trouble.clone(),
                "it is tried again every few seconds",
            ));
        }
        let wanted = self.config.dataplane.attach;
        if interface.adopted && interface.mode != wanted {
            let word = |mode| match mode {
                AttachMode::Native => "native",
                AttachMode::Skb => "skb",
            };
            warnings.push(warning(
                Severity::Warning,
                format!(
                    "attached in mode {} by an earlier agent, {} is asked for",
                    word(interface.mode),
                    word(wanted)
                ),
                "stop adc cleanly and start it: a mode can not change under traffic",
            ));
        }
        warnings
    }

    fn interface_views(&self) -> Vec<InterfaceView> {
        let views = self
            .interfaces
            .iter()
            .map(|(name, interface)| InterfaceView {
                name: name.clone(),
                index: interface.facts.as_ref().map_or(0, |facts| facts.ifindex),
                mode: interface.mode,
                adopted: interface.adopted,
            });
        views.collect()
    }

    pub(super) fn config_summary(&self) -> ConfigSummary {
        ConfigSummary {
            path: self.config_path.clone(),
            generation: self.generation,
            hash: hash(&self.config),
            edits: self.edits.len(),
            applied: self.applied_at,
            last_reload_error: self.last_reload_error.clone(),
        }
    }

    /// Every reason with its counters.
    pub(super) fn reasons(&self) -> Result<Vec<ReasonRow>> {
        let counters = self.dataplane.counters.reasons()?;
        Ok(counters
            .into_iter()
            .map(|(reason, counters)| ReasonRow::new(reason, counters))
            .collect())
    }

    /// All that a scrape shows.
    pub(super) fn metrics_snapshot(&mut self) -> Result<MetricsSnapshot> {
        self.sweep_if_stale()?;
        Ok(MetricsSnapshot {
            node: self.config.node.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            started: self.started,
            not_ready: self.not_ready(),
            interfaces: self.interface_views(),
            services: self.service_views()?,
            backends: self
                .backend_views(&BackendFilter::default())
                .map_err(|error| anyhow::anyhow!("{error}"))?,
            snat: self.snat_uses()?,
            reasons: self.reasons()?,
            flows: self.flow_count(),
            tables: self.dataplane.counters.tables()?,
            self_checks: self.dataplane.counters.self_checks()?,
            held_fragments: self.dataplane.orphans.counts().totals(),
            ha: HaView {
                sync: self.sync_view(),
                ..self.ha.known()
            },
            announcements: self.announcement_views(),
            bfd: self.ha.sessions().borrow().clone(),
            config_generation: self.generation,
            config_edits: self.edits.len(),
            last_reload_successful: self.last_reload_error.is_none(),
            last_reload_success: self.reloaded_at,
        })
    }

    /// Why traffic can not be expected to flow.
    fn not_ready(&self) -> Vec<String> {
        let mut reasons: Vec<String> = self
            .interfaces
            .keys()
            .filter(|name| !self.dataplane.attachments.contains(name))
            .map(|name| format!("not attached to {name}"))
            .collect();
        let Troubles {
            plan,
            sweep,
            vips,
            ha,
            self_test,
            // Traffic flows without it.
            sync: _,
        } = &self.troubles;
        reasons.extend(
            [plan, sweep, vips, ha, self_test]
                .into_iter()
                .flatten()
                .cloned(),
        );
        if self.stopping {
            reasons.push("stopping".into());
        }
        reasons
    }
}

/// Nothing that arrives may bring this about.
fn self_check_failed(packets: u64) -> Option<Warning> {
    (packets > 0).then(|| Warning {
        severity: Severity::Critical,
        subject: "self-check".into(),
        what: format!(
            "{packets} packets came with right checksums and left with a wrong one: adc has an error"
        ),
        remedy: "`adc capture --after` shows such packets as they come and leave; please report one".into(),
    })
}

/// Half-open tables are meant to be full under a flood: the oldest entries make room.
fn nearly_full(table: &FlowTableView) -> Option<Warning> {
    let limited = table.table.starts_with("established");
    (limited && table.flows * 100 >= table.capacity * NEARLY_FULL).then(|| Warning {
        severity: Severity::Warning,
        subject: format!("flow table {}", table.table),
        what: format!(
            "{} of {} flows: new flows will stay half-open when it is full",
            table.flows, table.capacity
        ),
        remedy: "raise dataplane.limits, stop adc cleanly and start it".into(),
    })
}

//! The node at a glance.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Difference, FlowCount, ServiceSummary, ServiceView, Timestamp};
use crate::model::{AdminState, AttachMode, Health, Weight};

/// What `adc status` shows, what is wrong first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What is wrong, the worst first; empty = all is well.
    pub warnings: Vec<Warning>,
    /// Name of the node.
    pub node: String,
    /// Version of the agent.
    pub version: String,
    /// When the agent started.
    pub started: Timestamp,
    /// Seconds since then.
    pub uptime_seconds: u64,
    /// Where the program is attached.
    pub interfaces: Vec<InterfaceView>,
    /// What runs.
    pub config: ConfigSummary,
    /// Every value that people changed at run time, so that it is not what the file says.
    pub differences: Vec<Difference>,
    /// How full the flow tables are.
    pub flows: FlowCount,
    /// Every service, by name.
    pub services: Vec<ServiceSummary>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// How bad.
    pub severity: Severity,
    /// What it is about: `service www`, `backend web/web1`, `interface eth0`.
    pub subject: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it; empty if that is plain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

/// How bad a warning is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Clients fail.
    Critical,
    /// Clients are served, with less than what was asked for.
    Warning,
}

/// One interface that the program is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceView {
    /// Its name.
    pub name: String,
    /// Its index in the kernel.
    pub index: u32,
    /// In the driver or in the generic hook.
    pub mode: AttachMode,
    /// Whether this agent found the program attached (after a crash or an upgrade).
    pub adopted: bool,
}

/// Which configuration runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigSummary {
    /// The file it came from.
    pub path: PathBuf,
    /// Counts every change since the agent started, from 1.
    pub generation: u64,
    /// Hash of what runs, file and edits together; equal on nodes that run the same.
    pub hash: String,
    /// Runtime edits on top of the file.
    pub edits: usize,
    /// When it was applied.
    pub applied: Timestamp,
    /// Why the last reload was refused, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reload_error: Option<String>,
}

impl Status {
    /// Whether anything is wrong; exit code 7 of `adc status`.
    pub fn degraded(&self) -> bool {
        !self.warnings.is_empty()
    }
}

impl Severity {
    /// As written in CLI and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
        }
    }
}

/// What is wrong with `services`, the worst first.
///
/// A backend that people took out (draining, maintenance, weight 0) is no warning, unless its service
/// is left with none.
pub fn warnings_about(services: &[ServiceView]) -> Vec<Warning> {
    let mut warnings: Vec<_> = services.iter().filter_map(unavailable).collect();
    let mut seen = std::collections::BTreeSet::new();
    for backend in services.iter().flat_map(|s| &s.backends) {
        let wanted = backend.admin == AdminState::Enabled
            && backend.weight.runtime.unwrap_or(backend.weight.configured) > Weight(0);
        if !wanted || backend.available() || !seen.insert((&backend.pool, &backend.name)) {
            continue;
        }
        let remedy = match backend.health.state {
            Health::Down => format!("`adc backend show {} {}`", backend.pool, backend.name),
            Health::Unknown | Health::Up => String::new(),
        };
        warnings.push(Warning {
            severity: Severity::Warning,
            subject: format!("backend {}/{}", backend.pool, backend.name),
            what: format!("gets no new flows: {}", backend.weight.reason),
            remedy,
        });
    }
    warnings
}

fn unavailable(service: &ServiceView) -> Option<Warning> {
    if service.available() > 0 {
        return None;
    }
    let (what, remedy) = if service.backends.is_empty() {
        (
            format!("pool {} has no backend", service.pool),
            format!("`adc backend add {} ADDRESS:PORT`", service.pool),
        )
    } else {
        (
            format!(
                "none of the {} backends of pool {} takes new flows",
                service.backends.len(),
                service.pool
            ),
            format!("`adc service show {}` says why", service.name),
        )
    };
    Some(Warning {
        severity: Severity::Critical,
        subject: format!("service {}", service.name),
        what,
        remedy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{backend_view, service_view};

    #[test]
    fn a_service_without_an_available_backend_is_critical_and_comes_first() {
        let mut up = service_view("a", "a");
        up.backends = vec![
            backend_view("a", "a1", 100, "up"),
            backend_view("a", "a2", 0, "down: refused"),
        ];
        let mut out = service_view("b", "b");
        out.backends = vec![backend_view("b", "b1", 0, "down: refused")];
        let warnings = warnings_about(&[up, out]);
        let said: Vec<_> = warnings
            .iter()
            .map(|w| (w.severity, w.subject.as_str()))
            .collect();
        assert_eq!(
            said,
            [
                (Severity::Critical, "service b"),
                (Severity::Warning, "backend a/a2"),
                (Severity::Warning, "backend b/b1"),
            ]
        );
    }

    #[test]
    fn an_empty_pool_is_critical_and_says_how_to_fill_it() {
        let mut service = service_view("a", "web");
        service.backends.clear();
        let warnings = warnings_about(&[service]);
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].severity, Severity::Critical);
        assert_eq!(warnings[0].remedy, "`adc backend add web ADDRESS:PORT`");
    }

    #[test]
    fn what_people_took_out_is_no_warning() {
        let mut service = service_view("a", "a");
        let mut draining = backend_view("a", "a2", 0, "draining: set by an operator");
        draining.admin = AdminState::Draining;
        let mut zero = backend_view("a", "a3", 0, "weight 0");
        zero.weight.runtime = Some(Weight(0));
        service.backends = vec![backend_view("a", "a1", 100, "up"), draining, zero];
        assert_eq!(warnings_about(&[service]), []);
    }

    #[test]
    fn a_pool_shared_by_two_services_warns_once_about_a_backend() {
        let service = |name| {
            let mut service = service_view(name, "web");
            service.backends = vec![
                backend_view("web", "w1", 100, "up"),
                backend_view("web", "w2", 0, "down: refused"),
            ];
            service
        };
        assert_eq!(warnings_about(&[service("a"), service("b")]).len(), 1);
    }
}

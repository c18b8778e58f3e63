//! What the walk did, in people's words.

use std::{collections::BTreeMap, fmt::Write as _};

use adc_common::{
    abi::{BackendId, InterfaceId, Reason, ServiceId, Tick},
    datapath::Action,
};

use super::{
    super::{flow_view, state::Agent},
    arrival::Arrival,
};
use crate::{
    api::proto::{ExplainStep, ExplainedBackend, Explanation},
    explain::{self, Names, Step, Walked},
    health::TargetKey,
    model::{BackendAddress, Health, ServiceName, Weight},
    plan::key_of,
};

/// Backends that are named where a service has none that takes new flows.
const MOST_NAMED: usize = 10;

/// Names behind ids, as the configuration has them.
struct Known<'a> {
    agent: &'a Agent,
    services: BTreeMap<ServiceId, &'a ServiceName>,
    backends: BTreeMap<BackendId, flow_view::Names>,
}

impl Names for Known<'_> {
    fn service(&self, id: ServiceId) -> String {
        let name = self.services.get(&id);
        name.map_or_else(
            || format!("id {} (removed from the configuration)", id.0),
            ToString::to_string,
        )
    }

    fn backend(&self, id: BackendId) -> String {
        let known = self.backends.get(&id);
        match known.map(|names| (&names.pool, &names.backend)) {
            Some((Some(pool), Some(backend))) => format!("{pool}/{backend}"),
            _ => format!("id {} (removed from the configuration)", id.0),
        }
    }

    fn interface(&self, id: InterfaceId) -> String {
        let name = self.agent.name_of(id);
        name.map_or_else(|| format!("interface id {}", id.0), str::to_owned)
    }
}

impl Agent {
    pub(super) fn outcome(&self, arrival: Arrival, walked: &Walked, now: Tick) -> Explanation {
        let names = self.known();
        let (reason, action) = (walked.verdict.reason, walked.verdict.action);
        let (verdict, leaves_by) = match action {
            Action::Pass => ("pass", None),
            Action::Drop => ("drop", None),
            Action::Transmit => ("transmit", Some(arrival.interface.clone())),
            Action::Redirect(id) => ("redirect", Some(names.interface(id))),
        };
        let before = explain::headers(&arrival.frame);
        let after = leaves_by.is_some().then(|| explain::headers(&walked.frame));
        let changes = after
            .as_ref()
            .map(|after| explain::changes(&before, after))
            .unwrap_or_default();
        let backend = backend_of(&walked.steps);
        let service = service_of(&walked.steps, backend.map(|id| self.service_of(id)));
        let mut notes = arrival.notes;
        if arrival.whole
            && let Some(complaint) = explain::checksum_complaint(&arrival.frame)
        {
            notes.push(format!(
                "{complaint}: adc corrects a checksum by what it changes and does not judge it, so it leaves as wrong as it came and the receiver drops it; a packet recorded where it was sent has no checksum yet (offloading)"
            ));
        }
        if reason == Reason::NoBackend
            && let Some(id) = service
        {
            notes.extend(self.why_no_backend(id, &names));
        }
        let step = |step: &Step| ExplainStep {
            step: explain::kind(step).into(),
            text: explain::text(step, now, &names),
        };
        Explanation {
            packet: explain::summary(&arrival.frame),
            interface: arrival.interface,
            assumed: arrival.assumed,
            verdict: verdict.into(),
            reason: reason.name().into(),
            class: reason.class().into(),
            meaning: reason.meaning().into(),
            hint: explain::hint(reason).map(str::to_owned),
            service: service.and_then(|id| names.services.get(&id).copied().cloned()),
            backend: backend.and_then(|id| self.explained_backend(id, &names)),
            ring_slot: walked.steps.iter().rev().find_map(slot),
            frame_before: hex(&arrival.frame),
            frame_after: leaves_by.is_some().then(|| hex(&walked.frame)),
            leaves_by,
            steps: walked.steps.iter().map(step).collect(),
            before,
            after,
            changes,
            notes,
        }
    }

    fn known(&self) -> Known<'_> {
        let index = &self.dataplane.tables.observed().index;
        let services = self.config.services.iter();
        Known {
            agent: self,
            services: services
                .filter_map(|(name, service)| Some((*index.get(&key_of(service))?, name)))
                .collect(),
            backends: self.names(),
        }
    }

    fn service_of(&self, backend: BackendId) -> ServiceId {
        let backends = &self.dataplane.tables.observed().backends;
        backends
            .get(&backend)
            .map_or(ServiceId(0), |entry| entry.service)
    }

    fn explained_backend(&self, id: BackendId, names: &Known<'_>) -> Option<ExplainedBackend> {
        let entry = self.dataplane.tables.observed().backends.get(&id)?;
        let named = names.backends.get(&id).cloned().unwrap_or_default();
        let mut explained = ExplainedBackend {
            address: BackendAddress::of(entry),
            pool: named.pool,
            name: named.backend,
            admin: None,
            health: None,
            weight: None,
            reason: None,
        };
        let (Some(pool_name), Some(name)) = (&explained.pool, &explained.name) else {
            return Some(explained);
        };
        let pool = self.config.pools.get(pool_name)?;
        let backend = pool.backends.get(name)?;
        let state = self.effective(pool_name, pool, backend);
        let key = TargetKey {
            pool: pool_name.clone(),
            backend: backend.address,
        };
        let health = self.health.get(&key);
        explained.health = Some(health.map_or(Health::Unknown, |(health, _)| *health));
        explained.admin = Some(backend.admin);
        explained.weight = Some(state.weight);
        explained.reason = Some(state.reason);
        Some(explained)
    }

    /// Every backend of the service, with what keeps it from taking new flows.
    fn why_no_backend(&self, id: ServiceId, names: &Known<'_>) -> Vec<String> {
        let service = names
            .services
            .get(&id)
            .and_then(|name| self.config.services.get(*name));
        let Some((pool_name, pool)) =
            service.and_then(|service| self.config.pools.get_key_value(&service.pool))
        else {
            return Vec::new();
        };
        if pool.backends.is_empty() {
            return vec![format!(
                "pool {pool_name} has no backends: `adc backend add {pool_name} ADDRESS:PORT`"
            )];
        }
        let why = |(name, backend)| {
            let state = self.effective(pool_name, pool, backend);
            let of_weight = if state.weight == Weight(0) {
                ""
            } else {
                " (now in the ring)"
            };
            format!("backend {pool_name}/{name}{of_weight}: {}", state.reason)
        };
        let mut notes: Vec<String> = pool.backends.iter().take(MOST_NAMED).map(why).collect();
        if pool.backends.len() > MOST_NAMED {
            let more = pool.backends.len() - MOST_NAMED;
            notes.push(format!(
                "and {more} more: `adc backend list --pool {pool_name}`"
            ));
        }
        notes
    }
}

/// The backend that the walk came to: the ring's choice, else that of the flow.
fn backend_of(steps: &[Step]) -> Option<BackendId> {
    let chosen = |step: &Step| {
        if let Step::RingSlot { backend, .. } = step {
            return Some(*backend);
        }
        None
    };
    let bound = |step: &Step| {
        if let Step::FlowLookup {
            found: Some(flow), ..
        } = step
        {
            return Some(flow.backend);
        }
        None
    };
    let latest = steps.iter().rev();
    latest
        .clone()
        .find_map(chosen)
        .or_else(|| latest.clone().find_map(bound))
        .filter(|backend| *backend != BackendId(0))
}

fn service_of(steps: &[Step], of_backend: Option<ServiceId>) -> Option<ServiceId> {
    let looked_up = |step: &Step| {
        if let Step::ServiceLookup { found, .. } = step {
            return *found;
        }
        None
    };
    of_backend
        .or_else(|| steps.iter().rev().find_map(looked_up))
        .filter(|service| *service != ServiceId(0))
}

fn slot(step: &Step) -> Option<usize> {
    if let Step::RingSlot { slot, .. } = step {
        return Some(*slot);
    }
    None
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can not fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

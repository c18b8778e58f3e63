//! Plans as the API shows them. Fields may be added, not renamed or removed.

use adc_common::abi::ServiceId;
use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{Change, DrainingOut, Plan, text::service_text};
use crate::{model::BackendAddress, ring::Member};

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let changes: Vec<_> = self
            .changes
            .iter()
            .map(|change| self.view(change))
            .collect();
        let draining_out: Vec<_> = self
            .draining_out
            .iter()
            .map(|kept| self.kept(kept))
            .collect();
        let mut plan = to.serialize_struct("Plan", 2)?;
        plan.serialize_field("changes", &changes)?;
        plan.serialize_field("draining_out", &draining_out)?;
        plan.end()
    }
}

/// A change in the API.
#[derive(Serialize)]
struct View {
    change: &'static str,
    /// VIP, port and protocol; absent for a marker.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_id: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<BackendAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend_id: Option<u16>,
    /// What is in the ring afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Vec<MemberView>>,
    /// The line that people see.
    text: String,
}

#[derive(Serialize)]
struct MemberView {
    backend: BackendAddress,
    backend_id: u16,
    weight: u16,
}

#[derive(Serialize)]
struct KeptView {
    service: String,
    service_id: u16,
    backend: BackendAddress,
    backend_id: u16,
}

impl Plan {
    fn view(&self, change: &Change) -> View {
        let view = |change_name, service: ServiceId| View {
            change: change_name,
            service: Some(self.service(service, false)),
            service_id: Some(service.0),
            backend: None,
            backend_id: None,
            members: None,
            text: self.line(change),
        };
        let of_index = |change_name, key, id: ServiceId| {
            let marker = id == ServiceId(0);
            View {
                service: (!marker).then(|| service_text(key)),
                service_id: (!marker).then_some(id.0),
                ..view(change_name, id)
            }
        };
        match change {
            Change::RemoveIndex { key, id } => of_index("remove-index", *key, *id),
            Change::PutIndex { key, id } => of_index("put-index", *key, *id),
            Change::PutService { id, .. } => view("put-service", *id),
            Change::ClearService { id } => view("clear-service", *id),
            Change::PutBackend { id, entry, .. } => View {
                backend: Some(BackendAddress::of(entry)),
                backend_id: Some(id.0),
                ..view("put-backend", entry.service)
            },
            Change::ClearBackend { id, before } => View {
                backend: Some(BackendAddress::of(before)),
                backend_id: Some(id.0),
                ..view("clear-backend", before.service)
            },
            Change::PutRing { service, spec, .. } => View {
                members: Some(spec.members.iter().map(member).collect()),
                ..view("put-ring", *service)
            },
            Change::ClearRing { service, .. } => View {
                members: Some(Vec::new()),
                ..view("clear-ring", *service)
            },
            Change::Group(group) => View {
                service: None,
                service_id: None,
                ..view(group.name(), ServiceId(0))
            },
        }
    }

    fn kept(&self, kept: &DrainingOut) -> KeptView {
        KeptView {
            service: self.service(kept.entry.service, false),
            service_id: kept.entry.service.0,
            backend: BackendAddress::of(&kept.entry),
            backend_id: kept.id.0,
        }
    }
}

fn member(member: &Member) -> MemberView {
    MemberView {
        backend: BackendAddress(member.identity),
        backend_id: member.backend.0,
        weight: member.weight.0,
    }
}

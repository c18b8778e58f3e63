//! The trail in words.

use std::net::{IpAddr, SocketAddr};

use adc_common::{
    abi::{
        BackendEntry, BackendFlags, BackendId, Hop, InterfaceId, Protocol, ServiceId, Tick, VlanId,
    },
    datapath::InsertError,
};

use crate::model::BackendAddress;

use super::{
    headers::mac_text,
    steps::{FlowFacts, Half, Step, Table},
};
use crate::model::TransportProtocol;

/// What people call the things behind ids.
pub trait Names {
    /// A service.
    fn service(&self, id: ServiceId) -> String;

    /// A backend.
    fn backend(&self, id: BackendId) -> String;

    /// An interface.
    fn interface(&self, id: InterfaceId) -> String;
}

/// Name of a kind of step in JSON; stable.
pub const fn kind(step: &Step) -> &'static str {
    match step {
        Step::FlowLookup { .. } => "flow-lookup",
        Step::FlowChange { .. } => "flow-change",
        Step::Lease { .. } => "lease",
        Step::FlowInsert { .. } => "flow-insert",
        Step::FlowRemove { .. } => "flow-remove",
        Step::ServiceLookup { .. } => "service-lookup",
        Step::RangeLookup { .. } => "range-lookup",
        Step::Service { .. } => "service",
        Step::RingSlot { .. } => "ring-slot",
        Step::Backend { .. } => "backend",
        Step::Interface { .. } => "interface",
        Step::Ingress { .. } => "ingress",
        Step::Count { .. } => "count",
    }
}

/// A step in one line; `now` is when the walk ran.
pub fn text(step: &Step, now: Tick, names: &impl Names) -> String {
    match step {
        Step::FlowLookup { table, half, found } => match found {
            Some(flow) => format!(
                "{}: found {}: {}",
                table_name(*table),
                half_text(half),
                flow_text(flow, now, names)
            ),
            None => format!("{}: no flow {}", table_name(*table), half_text(half)),
        },
        Step::FlowChange {
            table,
            half,
            before,
            after,
        } => format!(
            "{}: would change {}: {}",
            table_name(*table),
            half_text(half),
            flow_changes(before, after, names)
        ),
        Step::Lease { slot, held } => format!(
            "lease on the HA group in slot {}: {}",
            slot.0,
            match held {
                None => "does not count",
                Some(true) => "held",
                Some(false) => "not held, or run out",
            }
        ),
        Step::FlowInsert {
            table,
            half,
            flow,
            outcome,
        } => format!(
            "{}: would insert {}: {}{}",
            table_name(*table),
            half_text(half),
            flow_text(flow, now, names),
            match outcome {
                Ok(()) => "",
                Err(InsertError::Exists) => "; taken by another flow",
                Err(InsertError::Refused) => "; refused",
            }
        ),
        Step::FlowRemove { table, half } => format!(
            "{}: would remove {}, which is over",
            table_name(*table),
            half_text(half)
        ),
        Step::ServiceLookup {
            vip,
            port,
            protocol,
            found,
        } => service_lookup(SocketAddr::new(*vip, *port), *protocol, *found, names),
        Step::RangeLookup {
            vip,
            port,
            protocol,
            found,
        } => range_lookup(*vip, *port, *protocol, *found, names),
        Step::Service { id, entry: Some(_) } => format!("service {}", names.service(*id)),
        Step::Service { id, entry: None } => format!("service id {} is not in the table", id.0),
        Step::RingSlot {
            service,
            slot,
            backend: BackendId(0),
        } => format!(
            "ring of {}: slot {slot} is empty: no backend takes new flows",
            names.service(*service)
        ),
        Step::RingSlot {
            service,
            slot,
            backend,
        } => format!(
            "ring of {}: slot {slot} is {}",
            names.service(*service),
            names.backend(*backend)
        ),
        Step::Backend {
            id,
            entry: Some(entry),
        } => backend_text(*id, entry, names),
        Step::Backend { id, entry: None } => format!("backend id {} is not in the table", id.0),
        Step::Interface {
            id,
            entry: Some(entry),
        } => format!(
            "interface {}: MAC {}, MTU {}",
            names.interface(*id),
            mac_text(entry.mac),
            entry.mtu
        ),
        Step::Interface { id, entry: None } => {
            format!("interface id {} is not one adc is attached to", id.0)
        }
        Step::Ingress {
            ifindex,
            id: InterfaceId(0),
        } => format!("came in by kernel interface {ifindex}, which adc is not attached to"),
        Step::Ingress { id, .. } => format!("came in by {}", names.interface(*id)),
        Step::Count { reason } => format!("would be counted as {}", reason.name()),
    }
}

fn service_lookup(
    vip: SocketAddr,
    protocol: Protocol,
    found: Option<ServiceId>,
    names: &impl Names,
) -> String {
    let address = vip.ip();
    if vip.port() == 0 && protocol == Protocol(0) {
        let answer = if found.is_some() { "is" } else { "is not" };
        return format!("{address} {answer} a VIP");
    }
    // The marker of an address that full-nat sends from (`ServiceKey::snat_marker`).
    if vip.port() == 0 && protocol == Protocol(u8::MAX) {
        let answer = if found.is_some() { "is" } else { "is not" };
        return format!("{address} {answer} a local address of full-nat");
    }
    let protocol = protocol_name(protocol);
    match found.filter(|id| *id != ServiceId(0)) {
        Some(id) => format!("{protocol} {vip} is service {}", names.service(id)),
        None => format!("{protocol} {vip} is no service"),
    }
}

fn range_lookup(
    vip: IpAddr,
    port: u16,
    protocol: Protocol,
    found: Option<ServiceId>,
    names: &impl Names,
) -> String {
    let protocol = protocol_name(protocol);
    match found {
        Some(id) => format!(
            "{protocol} port {port} of {vip} is in the range of service {}",
            names.service(id)
        ),
        None => format!("{protocol} port {port} is in no range of {vip}"),
    }
}

fn backend_text(id: BackendId, entry: &BackendEntry, names: &impl Names) -> String {
    let name = names.backend(id);
    let address = BackendAddress::of(entry);
    if entry.flags.contains(BackendFlags::HOP_RESOLVED) {
        let hop = hop_text(&entry.hop, names);
        format!("backend {name} at {address}, next hop {hop}")
    } else {
        format!("backend {name} at {address}: its next hop is not known")
    }
}

/// `02:.. on eth1, VLAN 7`.
pub(super) fn hop_text(hop: &Hop, names: &impl Names) -> String {
    let place = format!(
        "{} on {}",
        mac_text(hop.mac),
        names.interface(hop.interface)
    );
    match (hop.vlan, hop.inner_vlan) {
        (VlanId::NONE, _) => place,
        (vlan, VlanId::NONE) => format!("{place}, VLAN {vlan}"),
        (vlan, inner) => format!("{place}, VLAN {vlan} inner {inner}"),
    }
}

const fn table_name(table: Table) -> &'static str {
    match table {
        Table::Main => "established flows",
        Table::HalfOpen => "half-open flows",
    }
}

fn protocol_name(protocol: Protocol) -> String {
    match TransportProtocol::of(protocol) {
        Some(protocol) => protocol.name().into(),
        None => format!("protocol {}", protocol.0),
    }
}

fn half_text(half: &Half) -> String {
    let protocol = protocol_name(half.protocol);
    format!("{protocol} {} > {}", half.from, half.to)
}

fn flow_text(flow: &FlowFacts, now: Tick, names: &impl Names) -> String {
    let idle = now.since(flow.last_seen).nanos() / 1_000_000_000;
    let direction = if flow.reply { "reply of" } else { "bound to" };
    format!(
        "{}, {direction} {}, goes on as {} > {}, seen {idle} s ago",
        flow.phase.name(),
        names.backend(flow.backend),
        flow.sent_from,
        flow.sent_to
    )
}

fn flow_changes(before: &FlowFacts, after: &FlowFacts, names: &impl Names) -> String {
    let mut changes = Vec::new();
    if before.phase != after.phase {
        changes.push(format!(
            "phase {} to {}",
            before.phase.name(),
            after.phase.name()
        ));
    }
    if before.fin_seen != after.fin_seen {
        changes.push("a FIN was seen".to_owned());
    }
    if before.client_hop != after.client_hop {
        let hop = hop_text(&after.client_hop, names);
        changes.push(format!("the client's last hop is now {hop}"));
    }
    if before.last_seen != after.last_seen {
        changes.push("seen now".to_owned());
    }
    if changes.is_empty() {
        changes.push("its notes".to_owned());
    }
    changes.join(", ")
}

//! The walk over a sheet: the trail tells what was asked, and nothing below is touched.

use std::collections::BTreeSet;

use adc_common::{
    abi::{
        Addr4, Addr6, Addr16, BackendEntry, BackendFlags, BackendId, FlowEntry, FlowKey,
        ForwardingMode, FragmentEntry, FragmentKey, GroupSlot, HalfOpenEntry, Hop, IndexFlags,
        InterfaceEntry, InterfaceId, LeaseEntry, Mac, Phase, Port, Protocol, RING_SLOTS, RangeKey,
        Reason, ServiceEntry, ServiceId, ServiceKey, Tick,
    },
    datapath::{Action, Tables as _, process},
    host::{HostClock, HostPacket, HostTables},
};
use etherparse::SlicedPacket;

use super::*;

const NOW: Tick = Tick::from_secs(1_000);

/// Host tables, read one by one.
struct Below(HostTables);

macro_rules! flow_source {
    ($family:ty, $field:ident) => {
        impl FlowSource<$family> for Below {
            fn flow(
                &self,
                key: &FlowKey<$family>,
            ) -> Result<Option<FlowEntry<$family>>, DataplaneError> {
                Ok(self.0.$field.flows.borrow().get(key).copied())
            }

            fn half_open(
                &self,
                key: &FlowKey<$family>,
            ) -> Result<Option<HalfOpenEntry<$family>>, DataplaneError> {
                Ok(self.0.$field.half_open.borrow().get(key).copied())
            }

            fn fragment(
                &self,
                key: &FragmentKey<$family>,
            ) -> Result<Option<FragmentEntry>, DataplaneError> {
                Ok(self.0.$field.fragments.borrow().get(key).copied())
            }
        }
    };
}

flow_source!(Addr4, v4);
flow_source!(Addr6, v6);

impl Source for Below {
    fn service_id(&self, key: &ServiceKey) -> Result<Option<ServiceId>, DataplaneError> {
        Ok(self.0.service_id(key))
    }

    fn vip_flags(&self, marker: &ServiceKey) -> Result<Option<IndexFlags>, DataplaneError> {
        Ok(self.0.vip_flags(marker))
    }

    fn service_in_range(&self, key: &RangeKey) -> Result<Option<ServiceId>, DataplaneError> {
        Ok(self.0.service_in_range(key))
    }

    fn service(&self, id: ServiceId) -> Result<Option<ServiceEntry>, DataplaneError> {
        Ok(self.0.service(id).copied())
    }

    fn ring_slot(&self, service: ServiceId, slot: usize) -> Result<BackendId, DataplaneError> {
        Ok(self.0.ring_slot(service, slot))
    }

    fn backend(&self, id: BackendId) -> Result<Option<BackendEntry>, DataplaneError> {
        Ok(self.0.backend(id).copied())
    }

    fn snat_cursor(&self, id: BackendId) -> Result<u32, DataplaneError> {
        Ok(self.0.snat_cursors.borrow().get(&id).copied().unwrap_or(0))
    }

    fn interface(&self, id: InterfaceId) -> Result<Option<InterfaceEntry>, DataplaneError> {
        if id == InterfaceId(9) {
            return Err(DataplaneError::NoObject);
        }
        Ok(self.0.interface(id).copied())
    }

    fn is_backend(&self, address: &Addr16) -> Result<bool, DataplaneError> {
        Ok(self.0.is_backend(address))
    }

    fn lease(&self, slot: GroupSlot) -> Result<Option<LeaseEntry>, DataplaneError> {
        Ok(self.0.lease(slot).copied())
    }

    fn group_of(&self, address: &Addr16) -> Result<Option<GroupSlot>, DataplaneError> {
        Ok(self.0.group_of(address))
    }

    fn nanos(&self) -> u64 {
        self.0.nanos()
    }

    fn interface_id(&self, ifindex: u32) -> Result<InterfaceId, DataplaneError> {
        Ok(self.0.interface_id(ifindex))
    }
}

/// Service 1, `10.1.0.100:80`, on backend 5, `10.2.0.11:8080`, behind interface 2.
fn below() -> Below {
    let mut tables = HostTables::default();
    let vip = Addr16::from(Addr4([10, 1, 0, 100]));
    let key = ServiceKey::new(vip, Port::new(80), Protocol::TCP);
    tables.index.insert(key, ServiceId(1));
    let marker = ServiceKey::vip_marker(vip);
    tables.index.insert(marker, ServiceId(0));
    let service = ServiceEntry {
        key,
        mode: ForwardingMode::NAT,
        timeouts: [Tick::from_secs(60); Phase::CAPACITY],
        ..ServiceEntry::default()
    };
    tables.services.insert(ServiceId(1), service);
    tables
        .rings
        .insert(ServiceId(1), vec![BackendId(5); RING_SLOTS]);
    let backend = BackendEntry {
        address: Addr16::from(Addr4([10, 2, 0, 11])),
        port: Port::new(8080),
        service: ServiceId(1),
        hop: Hop {
            mac: Mac([2, 0, 0, 0, 2, 11]),
            interface: InterfaceId(2),
            ..Hop::default()
        },
        flags: BackendFlags::HOP_RESOLVED,
        ..BackendEntry::default()
    };
    tables.backends.insert(BackendId(5), backend);
    for id in [1, 2] {
        let interface = InterfaceEntry::new(10 + u32::from(id), 1500, Mac([2, 0, 0, 0, 0, id]));
        tables
            .interfaces
            .insert(InterfaceId(u16::from(id)), interface);
    }
    Below(tables)
}

fn packet(to: &str, flags: &str) -> Vec<u8> {
    let envelope = Envelope {
        source_mac: Mac([2, 0, 0, 0, 1, 1]),
        destination_mac: Mac([2, 0, 0, 0, 0, 1]),
        vlans: Vec::new(),
        source: "192.0.2.1:40000".parse().unwrap(),
        destination: to.parse().unwrap(),
        hop_limit: 64,
        transport: Transport::Tcp {
            flags: flags.parse().unwrap(),
            sequence: 0,
            acknowledgement: 0,
        },
    };
    let frame = frame(&envelope).unwrap();
    SlicedPacket::from_ethernet(&frame).unwrap();
    assert_eq!(checksum_complaint(&frame), None);
    frame
}

fn kinds(walked: &Walked) -> Vec<&'static str> {
    walked.steps.iter().map(kind).collect()
}

#[test]
fn a_new_flow_is_explained_from_lookup_to_interface_and_none_is_made() {
    let below = below();
    let walked = walk(&below, packet("10.1.0.100:80", "syn"), 11, NOW).unwrap();
    assert_eq!(walked.verdict.reason, Reason::ScheduledNewFlow);
    assert_eq!(walked.verdict.action, Action::Redirect(InterfaceId(2)));
    let expected = [
        "flow-lookup",
        "ingress",
        "flow-lookup",
        "service-lookup",
        "service",
        "ring-slot",
        "backend",
        "flow-lookup",
        "flow-insert",
        "flow-insert",
        "interface",
        "count",
    ];
    assert_eq!(kinds(&walked), expected, "{:#?}", walked.steps);
    assert!(below.0.v4.half_open.borrow().is_empty());
    assert!(below.0.reason_counters.borrow().is_empty());
    assert!(below.0.backend_counters.borrow().is_empty());
    let (before, after) = (
        headers(&packet("10.1.0.100:80", "syn")),
        headers(&walked.frame),
    );
    let changed: BTreeSet<String> = changes(&before, &after)
        .into_iter()
        .map(|change| format!("{} {}", change.header, change.field.unwrap()))
        .collect();
    for field in [
        "ethernet destination",
        "ipv4 destination",
        "ipv4 ttl",
        "ipv4 checksum",
        "tcp destination-port",
        "tcp checksum",
    ] {
        assert!(changed.contains(field), "{field}: {changed:?}");
    }
    assert!(!changed.contains("ipv4 source"), "{changed:?}");
    assert_eq!(checksum_complaint(&walked.frame), None);
}

/// What the program does to its tables with the same packets.
#[test]
fn what_is_written_to_the_sheet_is_what_the_walk_sees_next() {
    let below = below();
    let overlay = Overlay::new(&below);
    let clock = HostClock::at(NOW);
    for (flags, reason) in [
        ("syn", Reason::ScheduledNewFlow),
        ("syn", Reason::ForwardedToBackend),
    ] {
        let mut frame = HostPacket::new(packet("10.1.0.100:80", flags), 11);
        assert_eq!(process(&mut frame, &overlay, &clock).reason, reason);
    }
    assert!(below.0.v4.half_open.borrow().is_empty());
}

#[test]
fn an_established_flow_is_followed_and_its_time_is_not_refreshed() {
    let below = below();
    let clock = HostClock::at(Tick(NOW.0 - Tick::from_secs(3).0));
    let send = |frame: Vec<u8>, ifindex| {
        let mut packet = HostPacket::new(frame, ifindex);
        process(&mut packet, &below.0, &clock)
    };
    let _opened = send(packet("10.1.0.100:80", "ack"), 11);
    let reply = Envelope {
        source_mac: Mac([2, 0, 0, 0, 2, 11]),
        destination_mac: Mac([2, 0, 0, 0, 0, 2]),
        vlans: Vec::new(),
        source: "10.2.0.11:8080".parse().unwrap(),
        destination: "192.0.2.1:40000".parse().unwrap(),
        hop_limit: 64,
        transport: Transport::Tcp {
            flags: "ack".parse().unwrap(),
            sequence: 0,
            acknowledgement: 0,
        },
    };
    let answered = send(frame(&reply).unwrap(), 12);
    assert_eq!(answered.reason, Reason::ForwardedToClient);
    let flows = below.0.v4.flows.borrow().clone();
    assert_eq!(flows.len(), 2, "validated");
    let walked = walk(&below, packet("10.1.0.100:80", "ack"), 11, NOW).unwrap();
    assert_eq!(walked.verdict.reason, Reason::ForwardedToBackend);
    assert!(
        kinds(&walked).contains(&"flow-change"),
        "{:?}",
        walked.steps
    );
    assert_eq!(*below.0.v4.flows.borrow(), flows);
    let known = known(
        &below,
        Protocol::TCP,
        "10.2.0.11:8080".parse().unwrap(),
        "192.0.2.1:40000".parse().unwrap(),
    );
    let known = known.unwrap().unwrap();
    assert!(known.flow.reply && known.initial.is_none());
    assert_eq!(known.flow.backend, BackendId(5));
}

#[test]
fn a_vip_without_a_service_on_that_port_is_passed_and_said_to_be_a_vip() {
    let below = below();
    let walked = walk(&below, packet("10.1.0.100:81", "syn"), 11, NOW).unwrap();
    assert_eq!(walked.verdict.reason, Reason::VipOtherPort);
    let told: Vec<String> = walked
        .steps
        .iter()
        .map(|step| text(step, NOW, &Ids))
        .collect();
    assert!(told.contains(&"10.1.0.100 is a VIP".to_owned()), "{told:?}");
    assert!(hint(walked.verdict.reason).is_some());
}

#[test]
fn a_table_that_can_not_be_read_is_an_error_and_no_verdict() {
    let mut below = below();
    let backend = below.0.backends.get_mut(&BackendId(5)).unwrap();
    backend.hop.interface = InterfaceId(9);
    assert!(walk(&below, packet("10.1.0.100:80", "syn"), 11, NOW).is_err());
}

#[test]
fn a_new_outer_header_is_added_and_not_taken_for_a_change_of_the_others() {
    let plain = packet("10.1.0.100:80", "syn");
    let mut tagged = plain[..12].to_vec();
    tagged.extend([0x81, 0x00, 0x00, 0x07]);
    tagged.extend(&plain[12..]);
    let found = changes(&headers(&plain), &headers(&tagged));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (&*found[0].header, found[0].before.as_ref()),
        ("vlan", None)
    );
    assert_eq!(
        summary(&tagged),
        "tcp 192.0.2.1:40000 > 10.1.0.100:80 [syn]"
    );
}

#[test]
fn a_wrong_checksum_is_named() {
    let mut frame = packet("10.1.0.100:80", "syn");
    let last = frame.len() - 1;
    frame[last] ^= 1;
    let complaint = checksum_complaint(&frame).unwrap();
    assert!(complaint.contains("TCP"), "{complaint}");
}

/// Names of things without names.
struct Ids;

impl Names for Ids {
    fn service(&self, id: ServiceId) -> String {
        format!("service {}", id.0)
    }

    fn backend(&self, id: BackendId) -> String {
        format!("backend {}", id.0)
    }

    fn interface(&self, id: InterfaceId) -> String {
        format!("interface {}", id.0)
    }
}

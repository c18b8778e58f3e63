//! What stands in the tables: one service, its backends, and its flows.

use std::ops::Range;

use adc_common::{
    abi::{
        Addr4, BackendEntry, BackendFlags, BackendId, FlowEntry, FlowFlags, FlowKey, HashOn, Hop,
        InterfaceEntry, InterfaceId, Mac, Phase, Port, ServiceEntry, ServiceId, ServiceIndexEntry,
        ServiceKey, Tick, VlanId,
    },
    bench::{BACKENDS, SERVICE_PORT, YardstickKey, backend_of},
};
use adc_userspace::{
    model::Weight,
    ring::{self, Member},
};
use aya::{
    Ebpf,
    maps::{Array, ArrayOfMaps, MapData},
};
use bytemuck::Pod;
use nix::time::{ClockId, clock_gettime};

use crate::program::raw::Raw;

use super::{
    frame::{self, BACKEND_MAC, CLIENT_MAC, OWN_MAC, TableAddress, tuples},
    object::{array, hash, map},
    path::Tables,
};

/// A ring in its own map.
pub(crate) type RingArray = Array<MapData, Raw<adc_common::abi::Ring>>;

/// The one service.
pub(crate) const SERVICE: ServiceId = ServiceId(1);
/// The one interface: clients and backends are both behind it.
const INTERFACE: InterfaceId = InterfaceId(1);
/// Test runs come in by the loopback interface (`bpf_prog_test_run_xdp`, net/bpf/test_run.c), which is
/// always the first of its namespace.
const LOOPBACK: u32 = 1;
/// Idle timeout in every phase: nothing expires while we measure.
const TIMEOUT: Tick = Tick::from_secs(3600);

/// Writes the service, its backends, its ring and the interface.
pub(crate) fn service(object: &mut Ebpf, tables: Tables) {
    let address = frame::vip(tables.ipv6).into();
    let key = ServiceKey::new(address, Port::new(SERVICE_PORT), tables.protocol);
    let mut service = ServiceEntry {
        key,
        mode: tables.mode,
        hash_on: HashOn::FIVE_TUPLE,
        timeouts: [TIMEOUT; Phase::CAPACITY],
        ..Default::default()
    };
    if tables.is_full_nat() {
        service.snat[0] = frame::local(tables.ipv6).into();
        service.snat_v4 = u8::from(!tables.ipv6);
        service.snat_v6 = u8::from(tables.ipv6);
    }
    array(object, "SERVICES")
        .set(u32::from(SERVICE.0), Raw(service), 0)
        .expect("writing the service");
    let index = ServiceIndexEntry {
        id: SERVICE,
        ..Default::default()
    };
    hash(object, "SERVICE_INDEX")
        .insert(Raw(key), Raw(index), 0)
        .expect("writing the service's key");
    interface(object);
    let members = backends(object, tables);
    let mut ring = RingArray::create(1, 0).expect("creating the ring's map");
    ring.set(0, Raw(*ring::build(&members)), 0)
        .expect("filling the ring");
    rings(object)
        .set(u32::from(SERVICE.0), &ring, 0)
        .expect("putting the ring in place");
}

/// `RINGS`.
pub(crate) fn rings(object: &mut Ebpf) -> ArrayOfMaps<&mut MapData, RingArray> {
    map(object, "RINGS")
}

fn interface(object: &mut Ebpf) {
    let entry = InterfaceEntry::new(LOOPBACK, 1500, OWN_MAC);
    array(object, "INTERFACES")
        .set(u32::from(INTERFACE.0), Raw(entry), 0)
        .expect("writing the interface");
    hash(object, "INTERFACE_INDEX")
        .insert(Raw(LOOPBACK), Raw(u32::from(INTERFACE.0)), 0)
        .expect("writing the interface's index");
}

fn backends(object: &mut Ebpf, tables: Tables) -> Vec<Member> {
    let mut table = array(object, "BACKENDS");
    let backends = (0..BACKENDS).map(|number| {
        let identity = frame::backend(tables.ipv6, number);
        let id = backend_id(number);
        let entry = BackendEntry {
            address: identity.ip().into(),
            port: Port::new(identity.port()),
            service: SERVICE,
            hop: hop(BACKEND_MAC),
            flags: BackendFlags::HOP_RESOLVED,
            tunnel_source: frame::local(tables.ipv6).into(),
            ..Default::default()
        };
        table
            .set(u32::from(id.0), Raw(entry), 0)
            .expect("writing a backend");
        Member {
            backend: id,
            identity,
            weight: Weight(1),
        }
    });
    backends.collect()
}

fn backend_id(number: u32) -> BackendId {
    BackendId(u16::try_from(number + 1).expect("few backends"))
}

fn hop(mac: Mac) -> Hop {
    Hop {
        mac,
        vlan: VlanId::NONE,
        inner_vlan: VlanId::NONE,
        interface: INTERFACE,
    }
}

/// Writes both entries of each flow, as the program itself would leave them.
pub(crate) fn flows<A>(object: &mut Ebpf, table: &str, tables: Tables, numbers: Range<u32>)
where
    A: TableAddress,
    FlowKey<A>: Pod,
    FlowEntry<A>: Pod,
{
    let mut map = hash::<FlowKey<A>, FlowEntry<A>>(object, table);
    let last_seen = now();
    for flow in numbers {
        let (forward, reply) = tuples::<A>(flow, tables.is_full_nat());
        let entries = if tables.is_direct() {
            vec![(forward, forward.reversed(), tables.mode.flow_flags())]
        } else {
            vec![
                (forward, reply, FlowFlags::default()),
                (reply, forward, FlowFlags::REPLY),
            ]
        };
        for (own, other, flags) in entries {
            let entry = FlowEntry {
                other,
                hop: hop(CLIENT_MAC),
                last_seen,
                backend: backend_id(backend_of(flow)),
                phase: tables.phase(),
                flags,
            };
            map.insert(Raw(FlowKey::new(own, tables.protocol)), Raw(entry), 0)
                .unwrap_or_else(|error| panic!("{table}: flow {flow}: {error}"));
        }
    }
}

/// Writes the yardstick's keys of the same flows.
pub(crate) fn yardstick(object: &mut Ebpf, flows: u32) {
    let mut map = hash::<YardstickKey, [u64; 2]>(object, "YARDSTICK");
    for flow in 0..flows {
        let (forward, _) = tuples::<Addr4>(flow, false);
        let [sport, dport] = [forward.sport.0, forward.dport.0];
        let key = YardstickKey::ipv4(
            u32::from_ne_bytes(forward.src.0),
            u32::from_ne_bytes(forward.dst.0),
            u32::from_ne_bytes([sport[0], sport[1], dport[0], dport[1]]),
        );
        map.insert(Raw(key), Raw([0; 2]), 0)
            .expect("writing a key of the yardstick");
    }
}

fn now() -> Tick {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the clock");
    let seconds = u64::try_from(time.tv_sec()).expect("a time after boot");
    let nanos = u64::try_from(time.tv_nsec()).expect("a fraction of a second");
    Tick::from_nanos(seconds * 1_000_000_000 + nanos)
}

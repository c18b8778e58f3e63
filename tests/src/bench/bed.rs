//! The bed: both objects loaded, tables filled, and slices run.

use std::{
    fs,
    path::{Path as FilePath, PathBuf},
};

use adc_common::{
    abi::{
        Addr4, Addr6, BackendEntry, BackendFlags, BackendId, FlowEntry, FlowFlags, FlowKey,
        ForwardingMode, HashOn, Hop, InterfaceEntry, InterfaceId, Phase, Port, Reason,
        ReasonCounters, Ring, ServiceEntry, ServiceId, ServiceIndexEntry, ServiceKey, Tick, VlanId,
    },
    bench::{BACKENDS, SERVICE_PORT, Traffic, backend_of},
};
use adc_userspace::{
    model::{Limits, Weight},
    ring::{self, Member},
};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, ArrayOfMaps, HashMap, Map, MapData, PerCpuArray, ProgramArray},
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use nix::time::{ClockId, clock_gettime};

use super::{
    frame::{self, BACKEND_MAC, CLIENT_MAC, OWN_MAC, TableAddress, tuples},
    memory,
    path::{Kind, MOST_FLOWS, Path, Tables},
};

/// Where the BPF objects are.
pub(crate) struct Objects {
    pub(crate) adc: PathBuf,
    pub(crate) wrapper: PathBuf,
}

/// How the tables are made.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Established flows the main table has room for.
    pub capacity: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            capacity: MOST_FLOWS,
        }
    }
}

/// What the wrapper hands its frames to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Drops.
    Baseline,
    /// `adc_ingress`.
    Adc,
}

/// A map value that aya may move: its own `Pod` can not be implemented for another crate's types.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Raw<T>(pub(crate) T);

// SAFETY: the same layout as `T`, which any bytes are valid for.
unsafe impl<T: bytemuck::Pod> aya::Pod for Raw<T> {}

/// One service with [`BACKENDS`] backends behind one interface, and its flows.
pub(crate) struct Bed {
    adc: Ebpf,
    wrapper: Ebpf,
    tables: Tables,
    capacity: u32,
    filled: u32,
}

const SERVICE: ServiceId = ServiceId(1);
const INTERFACE: InterfaceId = InterfaceId(1);
/// Test runs come in by the loopback interface (`bpf_prog_test_run_xdp`, net/bpf/test_run.c), which is
/// always the first of its namespace.
const LOOPBACK: u32 = 1;

impl Bed {
    /// Loads both objects and sets the service up.
    pub(crate) fn new(objects: &Objects, tables: Tables, settings: Settings) -> Self {
        let mut bed = Self {
            adc: load(&objects.adc, tables, settings),
            wrapper: load(&objects.wrapper, tables, settings),
            tables,
            capacity: settings.capacity,
            filled: 0,
        };
        load_program(&mut bed.adc, "adc_ingress");
        load_program(&mut bed.wrapper, "adc_bench");
        load_program(&mut bed.wrapper, "adc_bench_drop");
        bed.set_up_service();
        bed
    }

    fn set_up_service(&mut self) {
        let ipv6 = self.tables.ipv6;
        let protocol = self.tables.protocol;
        let key = ServiceKey::new(frame::vip(ipv6).into(), Port::new(SERVICE_PORT), protocol);
        let service = ServiceEntry {
            key,
            mode: ForwardingMode::NAT,
            hash_on: HashOn::FIVE_TUPLE,
            timeouts: [Tick::from_secs(3600); Phase::CAPACITY],
            ..Default::default()
        };
        let index = ServiceIndexEntry {
            id: SERVICE,
            ..Default::default()
        };
        let mut members = Vec::new();
        let mut backends = array::<BackendEntry>(&mut self.adc, "BACKENDS");
        for number in 0..BACKENDS {
            let identity = frame::backend(ipv6, number);
            let id = backend_id(number);
            let entry = BackendEntry {
                address: identity.ip().into(),
                port: Port::new(identity.port()),
                service: SERVICE,
                hop: Hop {
                    mac: BACKEND_MAC,
                    vlan: VlanId::NONE,
                    inner_vlan: VlanId::NONE,
                    interface: INTERFACE,
                },
                flags: BackendFlags::HOP_RESOLVED,
                ..Default::default()
            };
            backends
                .set(u32::from(id.0), Raw(entry), 0)
                .expect("writing a backend");
            members.push(Member {
                backend: id,
                identity,
                weight: Weight(1),
            });
        }
        array(&mut self.adc, "SERVICES")
            .set(u32::from(SERVICE.0), Raw(service), 0)
            .expect("writing the service");
        hash(&mut self.adc, "SERVICE_INDEX")
            .insert(Raw(key), Raw(index), 0)
            .expect("writing the service's key");
        let interface = InterfaceEntry {
            ifindex: LOOPBACK,
            mtu: 1500,
            mac: OWN_MAC,
            ..Default::default()
        };
        array(&mut self.adc, "INTERFACES")
            .set(u32::from(INTERFACE.0), Raw(interface), 0)
            .expect("writing the interface");
        hash(&mut self.adc, "INTERFACE_INDEX")
            .insert(Raw(LOOPBACK), Raw(u32::from(INTERFACE.0)), 0)
            .expect("writing the interface's index");
        let mut ring = Array::create(1, 0).expect("creating the ring's map");
        ring.set(0, Raw(*ring::build(&members)), 0)
            .expect("filling the ring");
        self.rings()
            .set(u32::from(SERVICE.0), &ring, 0)
            .expect("putting the ring in place");
    }

    /// `RINGS`.
    pub(crate) fn rings(&mut self) -> ArrayOfMaps<&mut MapData, Array<MapData, Raw<Ring>>> {
        typed(&mut self.adc, "RINGS")
    }

    /// Fills the tables up to `flows` (all, for new flows) and tells the wrapper what to send.
    pub(crate) fn prepare(&mut self, path: Path, flows: u32) {
        let wanted = match path.kind {
            Kind::New => MOST_FLOWS.min(self.capacity),
            Kind::Forward | Kind::Reply => flows,
        };
        let missing = self.filled..wanted;
        if self.tables.ipv6 {
            fill::<Addr6>(&mut self.adc, "FLOWS6", missing, self.tables.phase());
        } else {
            fill::<Addr4>(&mut self.adc, "FLOWS4", missing, self.tables.phase());
        }
        self.filled = self.filled.max(wanted);
        let traffic: Traffic = frame::traffic(path, flows);
        array(&mut self.wrapper, "TRAFFIC")
            .set(0, Raw(traffic), 0)
            .expect("telling the wrapper what to send");
    }

    /// Puts a program behind the wrapper and sends `packets` through both; nanoseconds per packet.
    pub(crate) fn run(&mut self, program: Program, packets: u32) -> u32 {
        let (verdict, _) = self.send(program, packets);
        let expected = match program {
            Program::Baseline => XDP_DROP,
            Program::Adc => XDP_TX,
        };
        assert_eq!(verdict.0, expected, "the last packet's XDP action");
        verdict.1
    }

    /// Runs one packet and looks at what became of it.
    pub(crate) fn check_one_packet(&mut self, path: Path) {
        let before = self.reasons();
        let ((action, _), output) = self.send(Program::Adc, 1);
        assert_eq!(action, XDP_TX, "{}: XDP action", path.name());
        self.check_reasons(path, &before, 1);
        // Where the headers lie is the same in all templates: no tags, no options.
        let (source, destination) = if path.tables.ipv6 {
            (&output[22..38], &output[38..54])
        } else {
            (&output[26..30], &output[30..34])
        };
        let expected_mac = match path.kind {
            Kind::Reply => CLIENT_MAC,
            Kind::Forward | Kind::New => BACKEND_MAC,
        };
        assert_eq!(output[..6], expected_mac.0, "{}: MAC", path.name());
        let vip = octets(frame::vip(path.tables.ipv6));
        match path.kind {
            Kind::Reply => assert_eq!(source, vip, "{}: source", path.name()),
            Kind::Forward | Kind::New => {
                let is_backend = (0..BACKENDS)
                    .any(|n| octets(frame::backend(path.tables.ipv6, n).ip()) == destination);
                assert!(is_backend, "{}: sent to {destination:?}", path.name());
            }
        }
    }

    fn send(&mut self, program: Program, packets: u32) -> ((u32, u32), Vec<u8>) {
        let behind: &Xdp = match program {
            Program::Baseline => self.wrapper.program("adc_bench_drop"),
            Program::Adc => self.adc.program("adc_ingress"),
        }
        .expect("loaded in `new`")
        .try_into()
        .expect("an XDP program");
        let fd = behind
            .fd()
            .expect("loaded in `new`")
            .try_clone()
            .expect("another handle");
        let mut programs: ProgramArray<_> = typed(&mut self.wrapper, "PROGRAMS");
        programs
            .set(0, &fd, 0)
            .expect("putting a program behind the wrapper");
        let wrapper: &Xdp = self
            .wrapper
            .program("adc_bench")
            .expect("loaded in `new`")
            .try_into()
            .expect("an XDP program");
        let input = vec![0; frame::length(self.tables)];
        let mut output = vec![0; 256];
        let result = wrapper
            .test_run(TestRunOptions {
                data_in: Some(&input),
                data_out: Some(&mut output),
                repeat: packets,
                ..Default::default()
            })
            .expect("a test run");
        output.truncate(result.data_size_out as usize);
        let nanos = u32::try_from(result.duration.as_nanos()).expect("nanoseconds per packet");
        ((result.return_value, nanos), output)
    }

    /// Packets by reason, so far.
    pub(crate) fn reasons(&mut self) -> Vec<u64> {
        let counters: PerCpuArray<_, Raw<ReasonCounters>> = typed(&mut self.adc, "REASON_COUNTERS");
        Reason::ALL
            .iter()
            .map(|reason| {
                let per_cpu = counters.get(&reason.index(), 0).expect("reading counters");
                per_cpu.iter().map(|one| one.0.packets).sum()
            })
            .collect()
    }

    /// Every packet since `before` must have ended with the path's own reason.
    pub(crate) fn check_reasons(&mut self, path: Path, before: &[u64], sent: u64) {
        let after = self.reasons();
        for (reason, (before, after)) in Reason::ALL.iter().zip(before.iter().zip(&after)) {
            let expected = if *reason == path.kind.reason() {
                sent
            } else {
                0
            };
            // Slices that warm up are not in `sent`, but they are whole slices.
            let grown = after - before;
            let holds = if expected == 0 {
                grown == 0
            } else {
                grown == expected
            };
            assert!(
                holds,
                "{}: {} packets ended as {}, not {expected}",
                path.name(),
                grown,
                reason.name()
            );
        }
    }

    /// Bytes of the main table per IPv4 flow it has room for, both entries.
    pub(crate) fn bytes_per_flow(&self) -> f64 {
        let Some(Map::HashMap(map)) = self.adc.map("FLOWS4") else {
            panic!("FLOWS4 is a hash map");
        };
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
        let bytes = memory::of_map(map) as f64;
        bytes / f64::from(self.capacity)
    }
}

/// `enum xdp_action`, include/uapi/linux/bpf.h.
const XDP_DROP: u32 = 1;
const XDP_TX: u32 = 3;

fn octets(address: std::net::IpAddr) -> Vec<u8> {
    match address {
        std::net::IpAddr::V4(address) => address.octets().to_vec(),
        std::net::IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn load(object: &FilePath, tables: Tables, settings: Settings) -> Ebpf {
    let bytes = fs::read(object).unwrap_or_else(|error| {
        panic!(
            "reading {}: {error}; `cargo xtask build-ebpf` makes it",
            object.display()
        )
    });
    let limits = Limits::default();
    let entries = settings.capacity * 2;
    let (entries4, entries6) = if tables.ipv6 {
        (2, entries)
    } else {
        (entries, 2)
    };
    EbpfLoader::new()
        .map_max_entries("FLOWS4", entries4)
        .map_max_entries("FLOWS6", entries6)
        .map_max_entries("HALF_OPEN4", limits.half_open_v4)
        .map_max_entries("HALF_OPEN6", limits.half_open_v6)
        .map_max_entries("SERVICE_INDEX", limits.services * 2)
        .map_max_entries("SERVICES", limits.services)
        .map_max_entries("RINGS", limits.services)
        .map_max_entries("BACKENDS", limits.backends)
        .map_max_entries("BACKEND_COUNTERS", limits.backends)
        .load(&bytes)
        .unwrap_or_else(|error| panic!("loading {}: {error}", object.display()))
}

fn load_program(object: &mut Ebpf, name: &str) {
    let program: &mut Xdp = object
        .program_mut(name)
        .unwrap_or_else(|| panic!("the object has no program {name}"))
        .try_into()
        .expect("an XDP program");
    program
        .load()
        .unwrap_or_else(|error| panic!("loading {name}: {error}"));
}

fn typed<'a, M>(object: &'a mut Ebpf, name: &str) -> M
where
    M: TryFrom<&'a mut Map>,
    M::Error: std::fmt::Debug,
{
    object
        .map_mut(name)
        .unwrap_or_else(|| panic!("the object has no map {name}"))
        .try_into()
        .unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

fn array<'a, V: bytemuck::Pod>(object: &'a mut Ebpf, name: &str) -> Array<&'a mut MapData, Raw<V>> {
    typed(object, name)
}

fn hash<'a, K: bytemuck::Pod, V: bytemuck::Pod>(
    object: &'a mut Ebpf,
    name: &str,
) -> HashMap<&'a mut MapData, Raw<K>, Raw<V>> {
    typed(object, name)
}

fn backend_id(number: u32) -> BackendId {
    BackendId(u16::try_from(number + 1).expect("few backends"))
}

/// Writes both entries of each flow, as the program itself would leave them.
fn fill<A>(object: &mut Ebpf, table: &str, flows: std::ops::Range<u32>, phase: Phase)
where
    A: TableAddress,
    FlowKey<A>: bytemuck::Pod,
    FlowEntry<A>: bytemuck::Pod,
{
    let protocol = if phase == Phase::REPLIED {
        adc_common::abi::Protocol::UDP
    } else {
        adc_common::abi::Protocol::TCP
    };
    let mut map = hash::<FlowKey<A>, FlowEntry<A>>(object, table);
    let now = now();
    for flow in flows {
        let (forward, reply) = tuples::<A>(flow);
        for (own, other, flags) in [
            (forward, reply, FlowFlags::default()),
            (reply, forward, FlowFlags::REPLY),
        ] {
            let entry = FlowEntry {
                other,
                hop: Hop {
                    mac: CLIENT_MAC,
                    vlan: VlanId::NONE,
                    inner_vlan: VlanId::NONE,
                    interface: INTERFACE,
                },
                last_seen: now,
                backend: backend_id(backend_of(flow)),
                phase,
                flags,
            };
            map.insert(Raw(FlowKey::new(own, protocol)), Raw(entry), 0)
                .unwrap_or_else(|error| panic!("{table}: flow {flow}: {error}"));
        }
    }
}

fn now() -> Tick {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the clock");
    let seconds = u64::try_from(time.tv_sec()).expect("a time after boot");
    let nanos = u64::try_from(time.tv_nsec()).expect("a fraction of a second");
    Tick::from_nanos(seconds * 1_000_000_000 + nanos)
}

//! Loading the program, over the maps of an earlier agent if there are any.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

use adc_common::{
    abi::{
        Addr4, Addr6, Addr16, BackendCounters, BackendEntry, FLOW_NEWS_BYTES, FRAGMENT_ENTRIES,
        FlowEntry, FlowKey, FragmentEntry, FragmentKey, GROUP_VIPS_MAX, HalfOpenEntry,
        InterfaceEntry, LEASE_SLOTS, LeaseEntry, MAX_INTERFACES, MAX_RANGE_PREFIXES,
        ORPHAN_RING_BYTES, RangeKey, Reason, ReasonCounters, SELF_CHECK_JUDGE, SELF_CHECK_PROGRAMS,
        SELF_CHECK_WALK, SelfCheckCounters, ServiceEntry, ServiceIndexEntry, ServiceKey,
        TableCounters,
    },
    datapath::Scratch,
};
use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel,
    maps::{Map, ProgramArray},
    programs::{ProgramError, Xdp},
};

use super::{
    attach::{Attachments, errno_of},
    capture::Running,
    counters::Counters,
    error::DataplaneError,
    flows::FlowTables,
    interfaces::InterfaceTables,
    migrate::{Inheritance, Migration, pin_program},
    orphans::OrphanKeeper,
    packet_log,
    pins::{MapShape, PinDirectory},
    tables::Tables,
};
use crate::{doctor, model::Limits};

/// How often loading is tried again when a signal interrupts it.
const LOAD_ATTEMPTS: usize = 8;

/// Name of the entry point in the object.
const PROGRAM: &str = "adc_ingress";

/// What is attached in its place while packets are checked, and what comes last then.
const WATCH: &str = "adc_watch";
const JUDGE: &str = "adc_judge";

/// The map by which they hand packets on.
const CHAIN: &str = "PROGRAMS";

/// The object as `build.rs` embeds it; empty in a build without BPF toolchain.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/adc-xdp"));

/// What was found while loading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Maps of an earlier agent were adopted, flows and all.
    pub adopted: bool,
    /// Capacities that stay as they are until a clean stop, in words.
    pub kept_capacities: Vec<String>,
}

/// The loaded program and its maps. Dropping it detaches nothing: everything is pinned.
pub struct Dataplane {
    /// Keeps the program loaded.
    ebpf: Ebpf,
    /// Where everything is pinned.
    pub pins: PinDirectory,
    /// Services, backends, rings.
    pub tables: Tables,
    /// Interfaces and redirection.
    pub interfaces: InterfaceTables,
    /// Flows.
    pub flows: FlowTables,
    /// Per-CPU counters.
    pub counters: Counters,
    /// Keeps fragments that came before their first.
    pub orphans: OrphanKeeper,
    /// Where the program is attached.
    pub attachments: Attachments,
    /// One packet of so many is checked, or none (0).
    self_check: u32,
    /// 1 if the program tells of flows.
    pub(super) tell_flows: u32,
    /// The program that stands in for it at the moment.
    pub(super) capture: Option<Running>,
    /// What is still to be taken over of an earlier layout.
    pub(super) migration: Option<Box<Migration>>,
}

impl Dataplane {
    /// Loads the program, adopting pinned maps; attaches nothing yet. One packet of `self_check` is verified, or none (0);
    /// the program tells of flows if `tell_flows`.
    pub fn load(
        pin_path: &Path,
        limits: &Limits,
        self_check: u32,
        tell_flows: bool,
    ) -> Result<(Self, LoadReport), DataplaneError> {
        if OBJECT.is_empty() {
            return Err(DataplaneError::NoObject);
        }
        let pins = PinDirectory::open(pin_path)?;
        let mut shapes = shapes(limits);
        let inheritance = match pins.earlier() {
            Some(earlier) => Some(Inheritance::take(earlier, &pins, &mut shapes)?),
            None => None,
        };
        let mut report = LoadReport {
            adopted: inheritance.is_some(),
            ..LoadReport::default()
        };
        let mut loader = EbpfLoader::new();
        // Only asked for once the kernel has refused. Without any level that second question is itself refused
        // (EINVAL), and hides why.
        loader.verifier_log_level(VerifierLogLevel::STATS);
        loader.override_global("SELF_CHECK_EVERY", &self_check, true);
        let tell_flows = u32::from(tell_flows);
        loader.override_global("TELL_FLOWS", &tell_flows, true);
        for shape in &shapes {
            if let Some(capacity) = pins.adoptable(shape)? {
                report.adopted = true;
                if capacity != shape.entries {
                    report.kept_capacities.push(format!(
                        "map {} keeps its {capacity} entries (the configuration now asks for {}): stop adc cleanly and start it to change that",
                        shape.name, shape.entries
                    ));
                }
            }
            loader.map_max_entries(shape.name, shape.entries);
            loader.map_pin_path(shape.name, pins.map(shape.name));
        }
        let mut ebpf = match load_object(&mut loader, self_check) {
            Ok(ebpf) => ebpf,
            Err(error) => {
                // Maps are pinned before the program is loaded. Left behind, they would look adopted to the next start.
                if !report.adopted {
                    pins.remove_all()?;
                }
                return Err(error);
            }
        };
        pin_program(program(&mut ebpf, entry(self_check))?, &pins)?;
        packet_log::follow(&mut ebpf);
        let mut maps = Maps(&mut ebpf);
        let tables = Tables::new(&mut maps)?;
        let interfaces = InterfaceTables::new(&mut maps)?;
        let flows = FlowTables::new(&mut maps)?;
        let counters = Counters::new(&mut maps)?;
        let orphans = OrphanKeeper::start(&mut maps)?;
        let attachments = Attachments::default();
        let migration = match inheritance {
            Some(inheritance) => Some(Box::new(Migration::prepare(inheritance, &pins)?)),
            None => None,
        };
        Ok((
            Self {
                ebpf,
                pins,
                tables,
                interfaces,
                flows,
                counters,
                orphans,
                attachments,
                self_check,
                tell_flows,
                capture: None,
                migration,
            },
            report,
        ))
    }

    /// A map that nobody took out.
    pub(super) fn map(&self, name: &str) -> Option<&Map> {
        self.ebpf.map(name)
    }

    /// The program and where it is attached, for [`Attachments`].
    pub(super) fn program(
        &mut self,
    ) -> Result<(&mut Xdp, &mut Attachments, &PinDirectory), DataplaneError> {
        let program = program(&mut self.ebpf, entry(self.self_check))?;
        Ok((program, &mut self.attachments, &self.pins))
    }
}

/// The program that interfaces get.
const fn entry(self_check: u32) -> &'static str {
    if self_check == 0 { PROGRAM } else { WATCH }
}

fn load_object(loader: &mut EbpfLoader<'_>, self_check: u32) -> Result<Ebpf, DataplaneError> {
    let mut ebpf = loader.load(OBJECT).map_err(|error| load_error(&error))?;
    load_program(program(&mut ebpf, PROGRAM)?)?;
    if self_check != 0 {
        load_program(program(&mut ebpf, WATCH)?)?;
        load_program(program(&mut ebpf, JUDGE)?)?;
        let mut chain: ProgramArray<_> = Maps(&mut ebpf)
            .take(CHAIN)?
            .try_into()
            .map_err(|error| DataplaneError::map("opening", CHAIN, error))?;
        for (index, name) in [(SELF_CHECK_WALK, PROGRAM), (SELF_CHECK_JUDGE, JUDGE)] {
            let fd = program(&mut ebpf, name)?
                .fd()
                .map_err(|error| load_error(&error))?;
            chain
                .set(index, fd, 0)
                .map_err(|error| DataplaneError::map("writing", CHAIN, error))?;
        }
    }
    Ok(ebpf)
}

/// Hands a program to the kernel.
pub(super) fn load_program(program: &mut Xdp) -> Result<(), DataplaneError> {
    let mut outcome = program.load();
    for _ in 0..LOAD_ATTEMPTS {
        // A signal arrived while the verifier worked (`signal_pending`, kernel/bpf/verifier.c).
        if !matches!(&outcome, Err(error) if errno_of(error) == Some(libc::EAGAIN)) {
            break;
        }
        outcome = program.load();
    }
    outcome.map_err(|error| load_error(&error))
}

fn program<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut Xdp, DataplaneError> {
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or_else(|| DataplaneError::Load {
            reason: format!("the embedded object has no XDP program `{name}`; build adc again"),
        })
}

/// Takes maps out of the loaded object, by name.
pub(super) struct Maps<'a>(&'a mut Ebpf);

impl<'a> Maps<'a> {
    pub(super) fn of(ebpf: &'a mut Ebpf) -> Self {
        Self(ebpf)
    }

    pub(super) fn take(&mut self, name: &'static str) -> Result<Map, DataplaneError> {
        self.0.take_map(name).ok_or_else(|| {
            DataplaneError::map("looking up", name, io::Error::from(io::ErrorKind::NotFound))
        })
    }
}

impl Maps<'_> {
    /// Another handle of the program, for test runs.
    pub(super) fn program(&mut self) -> Result<OwnedFd, DataplaneError> {
        let failed = |reason: String| DataplaneError::Load { reason };
        let fd = program(self.0, PROGRAM)?
            .fd()
            .map_err(|error| failed(error.to_string()))?;
        fd.as_fd()
            .try_clone_to_owned()
            .map_err(|error| failed(format!("another handle of the program: {error}")))
    }
}

/// Every map that is pinned, with its layout. Ids run from 1, hence one entry more than the limit.
pub(super) fn shapes(limits: &Limits) -> Vec<MapShape> {
    const fn shape<K, V>(name: &'static str, entries: u32) -> MapShape {
        MapShape {
            name,
            key: size_of::<K>(),
            value: size_of::<V>(),
            entries,
        }
    }
    let services = limits.services + 1;
    let backends = limits.backends + 1;
    // A service has one entry, its VIP at most two markers, and its SNAT addresses one each, two on average.
    let index = limits.services * 5;
    // While a range changes, its old and its new prefixes are there.
    let ranges = limits.services * 2 * MAX_RANGE_PREFIXES;
    vec![
        shape::<FlowKey<Addr4>, FlowEntry<Addr4>>("FLOWS4", limits.flows_v4 * 2),
        shape::<FlowKey<Addr6>, FlowEntry<Addr6>>("FLOWS6", limits.flows_v6 * 2),
        shape::<FlowKey<Addr4>, HalfOpenEntry<Addr4>>("HALF_OPEN4", limits.half_open_v4 * 2),
        shape::<FlowKey<Addr6>, HalfOpenEntry<Addr6>>("HALF_OPEN6", limits.half_open_v6 * 2),
        shape::<FragmentKey<Addr4>, FragmentEntry>("FRAGMENTS4", FRAGMENT_ENTRIES),
        shape::<FragmentKey<Addr6>, FragmentEntry>("FRAGMENTS6", FRAGMENT_ENTRIES),
        shape::<ServiceKey, ServiceIndexEntry>("SERVICE_INDEX", index),
        shape::<RangeKey, ServiceIndexEntry>("SERVICE_RANGES", ranges),
        shape::<u32, ServiceEntry>("SERVICES", services),
        shape::<u32, u32>("RINGS", services),
        shape::<u32, BackendEntry>("BACKENDS", backends),
        shape::<u32, u32>("SNAT_CURSORS", backends),
        shape::<u32, BackendCounters>("BACKEND_COUNTERS", backends),
        shape::<Addr16, u32>("BACKEND_ADDRESSES", backends),
        shape::<u32, LeaseEntry>("LEASES", LEASE_SLOTS),
        shape::<Addr16, u32>("GROUP_VIPS", GROUP_VIPS_MAX),
        shape::<(), ()>("ORPHANS", ORPHAN_RING_BYTES),
        shape::<(), ()>("FLOW_NEWS", FLOW_NEWS_BYTES),
        shape::<u32, InterfaceEntry>("INTERFACES", MAX_INTERFACES),
        shape::<u32, u32>("INTERFACE_INDEX", MAX_INTERFACES),
        shape::<u32, [u32; 2]>("REDIRECT", MAX_INTERFACES),
        shape::<u32, ReasonCounters>("REASON_COUNTERS", Reason::CAPACITY),
        shape::<u32, TableCounters>("TABLE_COUNTERS", 1),
        shape::<u32, u32>("PROGRAMS", SELF_CHECK_PROGRAMS),
        shape::<u32, SelfCheckCounters>("SELF_CHECKS", 1),
        shape::<u32, Scratch<Addr4>>("SCRATCH4", 1),
        shape::<u32, Scratch<Addr6>>("SCRATCH6", 1),
    ]
}

/// One sentence with the remedy, from whatever the kernel said.
pub(super) fn load_error(error: &(dyn std::error::Error + 'static)) -> DataplaneError {
    let mut causes: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(ProgramError::LoadError {
            io_error,
            verifier_log,
        }) = cause.downcast_ref::<ProgramError>()
        {
            // Many lines; the sentence has to do without.
            tracing::error!(%verifier_log, "the kernel refused the program");
            causes.push(format!("the kernel refused the program: {io_error}"));
            break;
        }
        let words = cause.to_string();
        // aya's layers repeat each other.
        if !causes.iter().any(|said| said.contains(&words)) {
            causes.push(words);
        }
        next = cause.source();
    }
    let errno = errno_of(error);
    let remedy = match errno {
        _ if doctor::kernel_is_too_old() => "this kernel is too old: adc needs Linux 6.1 or later",
        Some(libc::EPERM | libc::EACCES) => {
            "run adc as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
        }
        Some(libc::ENOMEM | libc::E2BIG) => "lower dataplane.limits, or add memory",
        _ => "`adc doctor` may say what is missing",
    };
    DataplaneError::Load {
        reason: format!("{}; {remedy}", causes.join(": ")),
    }
}

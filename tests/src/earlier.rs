//! A node as an agent of an earlier release would have left it: its flow tables have another layout, its pins another
//! directory, and the program that is attached is its own.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use adc_common::abi::{
    ABI_VERSION, Addr4, BackendId, FlowEntry, FlowFlags, FlowKey, Phase, Port, Protocol, Tuple,
};
use adc_userspace::dataplane::now;
use aya::{
    EbpfLoader,
    maps::{HashMap, Map, MapData, MapInfo},
    programs::{
        Xdp,
        links::{FdLink, PinnedLink},
        xdp::XdpLink,
    },
};

/// Name of the object beside the one under test.
const OBJECT: &str = "adc-xdp-earlier";

/// Flow tables, which have the other layout.
const FLOWS: [&str; 4] = ["FLOWS4", "FLOWS6", "HALF_OPEN4", "HALF_OPEN6"];

/// Maps that every program has for itself, and counters that have another layout.
const OWN: [&str; 5] = [
    "SCRATCH4",
    "SCRATCH6",
    "PROGRAMS",
    "FLOW_NEWS",
    "TABLE_COUNTERS",
];

/// What stands before an entry there, and the sizes of keys and values of `FLOWS4`, bytes.
const HEAD: usize = 8;
const KEY: usize = size_of::<FlowKey<Addr4>>();
const VALUE: usize = HEAD + size_of::<FlowEntry<Addr4>>();

/// How many flows [`sampled`] looks at.
pub const SAMPLE: u32 = 64;

/// The object with another layout, or what to do to get one.
///
/// # Errors
/// Where it was looked for.
pub fn object() -> Result<PathBuf, String> {
    crate::program::object_beside(OBJECT, "cargo xtask build-ebpf --earlier")
}

/// Turns what an agent has left in `pin_path` into what one of the layout before it would have: the same configuration,
/// no flows. The program is replaced under traffic, and no agent may run. Returns the directory.
///
/// # Panics
/// If anything is refused.
#[track_caller]
pub fn turn_back(pin_path: &Path) -> PathBuf {
    let now = pin_path.join(format!("v{ABI_VERSION}"));
    let earlier = pin_path.join(format!("v{}", ABI_VERSION - 1));
    fs::create_dir(&earlier).expect("the earlier directory");
    let names: Vec<String> = fs::read_dir(&now)
        .expect("the pin directory")
        .map(|entry| entry.expect("a pin").file_name().into_string())
        .map(|name| name.expect("a name"))
        .collect();
    let bytes = fs::read(object().unwrap_or_else(|missing| panic!("{missing}"))).expect("object");
    let mut loader = EbpfLoader::new();
    for name in &names {
        let from = now.join(name);
        if name.starts_with("interface-") {
            let interface = fs::read_link(&from).expect("a note of an interface");
            symlink(interface, earlier.join(name)).expect("a note of an interface");
        } else if FLOWS.contains(&name.as_str()) {
            let entries = MapInfo::from_pin(&from).expect("a map").max_entries();
            loader.map_max_entries(leaked(name), entries);
        } else if !OWN.contains(&name.as_str()) && is_map(name) {
            let map = MapData::from_pin(&from).expect("a map");
            map.pin(earlier.join(name)).expect("pinning a map");
        }
        if is_map(name) {
            loader.map_pin_path(leaked(name), earlier.join(name));
        }
    }
    let mut ebpf = loader.load(&bytes).expect("the maps of the earlier layout");
    let program: &mut Xdp = ebpf
        .program_mut("adc_ingress")
        .expect("adc_ingress")
        .try_into()
        .expect("an XDP program");
    program.load().expect("the earlier program");
    program.pin(earlier.join("program")).expect("pinning it");
    for name in names.iter().filter(|name| name.starts_with("link-")) {
        let link = PinnedLink::from_pin(now.join(name)).expect("a link");
        let link = XdpLink::try_from(FdLink::from(link)).expect("an XDP link");
        let id = program.attach_to_link(link).expect("replacing the program");
        let link = program.take_link(id).expect("the link");
        let link = FdLink::try_from(link).expect("a bpf_link");
        link.pin(earlier.join(name)).expect("pinning a link");
    }
    fs::remove_dir_all(&now).expect("removing the pins of this layout");
    earlier
}

/// Puts so many established IPv4 flows of backend 1 into the tables of that layout; no packet belongs to any of them.
///
/// # Panics
/// If the kernel refuses.
pub fn fill(earlier: &Path, flows: u32) {
    let data = MapData::from_pin(earlier.join("FLOWS4")).expect("FLOWS4");
    let map = Map::from_map_data(data).expect("a hash");
    let mut map = HashMap::<_, [u8; KEY], [u8; VALUE]>::try_from(map).expect("its sizes");
    for number in 0..flows {
        let (arriving, answering) = directions(number);
        for (own, other, flags) in [
            (arriving, answering, FlowFlags::default()),
            (answering, arriving, FlowFlags::REPLY),
        ] {
            let entry = FlowEntry {
                other,
                last_seen: now(),
                backend: BackendId(1),
                phase: Phase::ESTABLISHED,
                flags,
                ..FlowEntry::default()
            };
            let mut value = [0xff; VALUE];
            value[HEAD..].copy_from_slice(bytemuck::bytes_of(&entry));
            let key = FlowKey::new(own, Protocol::TCP);
            let key: [u8; KEY] = bytemuck::bytes_of(&key).try_into().expect("a key");
            map.insert(key, value, 0).expect("room for another flow");
        }
    }
}

fn tuple(src: Addr4, dst: Addr4, port: [u8; 2]) -> Tuple<Addr4> {
    Tuple {
        src,
        dst,
        sport: Port(port),
        dport: Port(port),
    }
}

/// How many of a sample of [`SAMPLE`] of those flows are still in the tables of that layout.
///
/// # Panics
/// If the kernel refuses.
pub fn sampled(earlier: &Path, flows: u32) -> u32 {
    let data = MapData::from_pin(earlier.join("FLOWS4")).expect("FLOWS4");
    let map = Map::from_map_data(data).expect("a hash");
    let map = HashMap::<_, [u8; KEY], [u8; VALUE]>::try_from(map).expect("its sizes");
    let is_there = |number: &u32| {
        let (arriving, _) = directions(number * (flows / SAMPLE));
        let key = FlowKey::new(arriving, Protocol::TCP);
        let key: [u8; KEY] = bytemuck::bytes_of(&key).try_into().expect("a key");
        map.get(&key, 0).is_ok()
    };
    let there = (0..SAMPLE).filter(is_there).count();
    u32::try_from(there).expect("at most all")
}

/// The two directions of a flow of [`fill`].
fn directions(number: u32) -> (Tuple<Addr4>, Tuple<Addr4>) {
    let [_, high, middle, low] = number.to_be_bytes();
    let client = Addr4([100, 64 + high, middle, low]);
    (
        tuple(client, Addr4([10, 1, 0, 100]), [7, 7]),
        tuple(Addr4([10, 2, 0, 1]), client, [9, 9]),
    )
}

/// How many entries a map of that layout has.
///
/// # Panics
/// If there is none.
pub fn entries(earlier: &Path, name: &str) -> usize {
    let data = MapData::from_pin(earlier.join(name)).expect("a map");
    let map = Map::from_map_data(data).expect("a hash");
    let map = HashMap::<_, [u8; KEY], [u8; VALUE]>::try_from(map).expect("its sizes");
    map.keys().count()
}

fn is_map(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
}

/// The loader keeps names for as long as it lives, which here is as long as the test.
fn leaked(name: &str) -> &'static str {
    Box::leak(name.to_owned().into_boxed_str())
}

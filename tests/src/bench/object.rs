//! BPF objects: loading them, and their maps by name.

use std::{fmt::Debug, fs, path::Path};

use adc_userspace::model::Limits;
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, Map, MapData},
    programs::Xdp,
};
use bytemuck::Pod;

use crate::program::raw::Raw;

use super::path::Tables;

/// Creates the maps of an object, with room for `capacity` flows of the family of `tables`, and everything else as
/// large as it is by default.
pub(crate) fn load(object: &Path, tables: Tables, capacity: u32) -> Ebpf {
    let bytes = fs::read(object).unwrap_or_else(|error| {
        panic!(
            "reading {}: {error}; `cargo xtask build-ebpf` makes it",
            object.display()
        )
    });
    let limits = Limits::default();
    let entries = capacity * 2;
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

/// Loads one program of an object.
pub(crate) fn load_program(object: &mut Ebpf, name: &str) {
    let program: &mut Xdp = object
        .program_mut(name)
        .unwrap_or_else(|| panic!("the object has no program {name}"))
        .try_into()
        .expect("an XDP program");
    program
        .load()
        .unwrap_or_else(|error| panic!("loading {name}: {error}"));
}

/// A loaded program.
pub(crate) fn program<'a>(object: &'a Ebpf, name: &str) -> &'a Xdp {
    object
        .program(name)
        .unwrap_or_else(|| panic!("the object has no program {name}"))
        .try_into()
        .expect("an XDP program")
}

/// A map, as its type.
pub(crate) fn map<'a, M>(object: &'a mut Ebpf, name: &str) -> M
where
    M: TryFrom<&'a mut Map>,
    M::Error: Debug,
{
    object
        .map_mut(name)
        .unwrap_or_else(|| panic!("the object has no map {name}"))
        .try_into()
        .unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

/// An array.
pub(crate) fn array<'a, V: Pod>(
    object: &'a mut Ebpf,
    name: &str,
) -> Array<&'a mut MapData, Raw<V>> {
    map(object, name)
}

/// A hash map.
pub(crate) fn hash<'a, K: Pod, V: Pod>(
    object: &'a mut Ebpf,
    name: &str,
) -> HashMap<&'a mut MapData, Raw<K>, Raw<V>> {
    map(object, name)
}

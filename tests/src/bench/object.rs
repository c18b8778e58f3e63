//! A BPF object and the maps in it, without the agent around it.

use std::{fs, path::Path as FilePath};

use adc_userspace::model::Limits;
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, Map, MapData},
    programs::Xdp,
};

use super::{bed::Settings, path::Tables};

/// A map value that aya may move: its own `Pod` can not be implemented for another crate's types.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Raw<T>(pub(crate) T);

// SAFETY: the same layout as `T`, which any bytes are valid for.
unsafe impl<T: bytemuck::Pod> aya::Pod for Raw<T> {}

pub(super) fn load(object: &FilePath, tables: Tables, settings: Settings) -> Ebpf {
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

pub(super) fn load_program(object: &mut Ebpf, name: &str) {
    let program: &mut Xdp = object
        .program_mut(name)
        .unwrap_or_else(|| panic!("the object has no program {name}"))
        .try_into()
        .expect("an XDP program");
    program
        .load()
        .unwrap_or_else(|error| panic!("loading {name}: {error}"));
}

pub(super) fn typed<'a, M>(object: &'a mut Ebpf, name: &str) -> M
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

pub(super) fn array<'a, V: bytemuck::Pod>(
    object: &'a mut Ebpf,
    name: &str,
) -> Array<&'a mut MapData, Raw<V>> {
    typed(object, name)
}

pub(super) fn hash<'a, K: bytemuck::Pod, V: bytemuck::Pod>(
    object: &'a mut Ebpf,
    name: &str,
) -> HashMap<&'a mut MapData, Raw<K>, Raw<V>> {
    typed(object, name)
}

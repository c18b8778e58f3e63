//! ABI types and maps as aya wants them.

use aya::maps::{Map, MapData};

/// Any ABI type, with aya's marker on it.
///
/// Neither the trait (aya's) nor the type (adc-common's) is ours, hence the wrapper.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(super) struct Mapped<T>(pub(super) T);

// SAFETY: `bytemuck::Pod` promises all that `aya::Pod` asks for (no padding, any bytes valid), and the
// wrapper is transparent.
unsafe impl<T: bytemuck::Pod> aya::Pod for Mapped<T> {}

// SAFETY: transparent over the field.
unsafe impl<T> bytemuck::TransparentWrapper<T> for Mapped<T> {}

/// The descriptor behind a map of one of the kinds that adc walks or swaps in batches.
pub(super) fn data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data) | Map::HashMap(data) | Map::LruHashMap(data) => Some(data),
        _ => None,
    }
}

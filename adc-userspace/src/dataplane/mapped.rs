//! ABI types and maps as aya wants them.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
};

use aya::maps::{Map, MapData};

use super::error::DataplaneError;

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

/// The descriptor of a map of one of the kinds that adc walks, measures or swaps in batches.
pub(super) fn fd_of<'m>(
    map: &'m Map,
    name: &'static str,
) -> Result<BorrowedFd<'m>, DataplaneError> {
    Ok(data_of(map, name)?.fd().as_fd())
}

/// The aya handle behind such a map.
pub(super) fn data_of<'m>(map: &'m Map, name: &'static str) -> Result<&'m MapData, DataplaneError> {
    match map {
        Map::Array(data) | Map::ArrayOfMaps(data) | Map::HashMap(data) | Map::LruHashMap(data) => {
            Ok(data)
        }
        // aya's enum, which grows with the kernel's map types.
        _ => Err(DataplaneError::map(
            "opening",
            name,
            io::Error::from(io::ErrorKind::InvalidInput),
        )),
    }
}

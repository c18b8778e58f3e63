//! ABI types and maps as aya wants them.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
};

use aya::maps::{Map, MapData, MapError};

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
    if let Map::Array(data) | Map::ArrayOfMaps(data) | Map::HashMap(data) | Map::LruHashMap(data) =
        map
    {
        return Ok(data);
    }
    let cause = io::Error::from(io::ErrorKind::InvalidInput);
    Err(DataplaneError::map("opening", name, cause))
}

/// Whether a map operation failed because the key is not there. aya 0.14 says so in its own words for a lookup, and
/// with the system call's ENOENT for a deletion.
pub(super) fn is_missing(error: &MapError) -> bool {
    if let MapError::SyscallError(error) = error {
        return error.io_error.kind() == io::ErrorKind::NotFound;
    }
    matches!(error, MapError::KeyNotFound)
}

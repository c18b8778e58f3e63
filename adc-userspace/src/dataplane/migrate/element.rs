//! Single elements of a map whose value has a shape of another release. aya 0.14 has no lookup that deletes.

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
};

use aya::maps::MapData;
use bytemuck::Pod;

use super::super::{batch, error::DataplaneError};

// enum bpf_cmd, include/uapi/linux/bpf.h.
pub(super) const LOOKUP: libc::c_long = 1;
pub(super) const UPDATE: libc::c_long = 2;
const DELETE: libc::c_long = 3;
/// For hash tables since Linux 5.14.
const TAKE: libc::c_long = 21;

/// `union bpf_attr` for operations on one element.
#[repr(C)]
struct ElementAttr {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// A pinned map.
pub(super) struct Elements<K, V> {
    data: MapData,
    name: &'static str,
    entry: PhantomData<(K, V)>,
}

/// What became of an entry that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is there.
    Yes,
    /// The map is full.
    Full,
}

impl<K: Pod, V: Pod> Elements<K, V> {
    /// Opens a pin, if it has keys and values of these sizes.
    pub(super) fn open(path: &Path, name: &'static str) -> Result<Self, DataplaneError> {
        let fail = |error| DataplaneError::map("opening", name, error);
        let data = MapData::from_pin(path).map_err(fail)?;
        let info = data.info().map_err(fail)?;
        let found = (info.key_size() as usize, info.value_size() as usize);
        if found != (size_of::<K>(), size_of::<V>()) {
            // The kernel would write past our buffers.
            let cause = io::Error::other(format!("keys and values have {found:?} bytes"));
            return Err(DataplaneError::map("opening", name, cause));
        }
        Ok(Self {
            data,
            name,
            entry: PhantomData,
        })
    }

    /// Visits every entry, see [`batch::for_each`].
    pub(super) fn walk(&self, visit: impl FnMut(&K, &V)) -> Result<(), DataplaneError> {
        batch::for_each(self.data.fd().as_fd(), visit)
            .map_err(|error| DataplaneError::map("walking", self.name, error))
    }

    /// An entry.
    pub(super) fn get(&self, key: &K) -> Result<Option<V>, DataplaneError> {
        let mut value = V::zeroed();
        let found = self.operate(LOOKUP, key, Some(&mut value));
        self.present("reading", found, value)
    }

    /// Removes an entry and returns it as it was last; a packet that comes later does not find it.
    pub(super) fn take(&self, key: &K) -> Result<Option<V>, DataplaneError> {
        let mut value = V::zeroed();
        let found = self.operate(TAKE, key, Some(&mut value));
        self.present("taking", found, value)
    }

    /// Inserts or overwrites an entry.
    pub(super) fn put(&self, key: &K, value: &V) -> Result<Written, DataplaneError> {
        let mut value = *value;
        match self.operate(UPDATE, key, Some(&mut value)) {
            Ok(()) => Ok(Written::Yes),
            Err(error) if error.raw_os_error() == Some(libc::E2BIG) => Ok(Written::Full),
            Err(error) => Err(DataplaneError::map("writing", self.name, error)),
        }
    }

    /// Removes an entry; one that is gone already is as good.
    pub(super) fn remove(&self, key: &K) -> Result<(), DataplaneError> {
        match self.operate(DELETE, key, None) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(DataplaneError::map("removing", self.name, error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn present(
        &self,
        doing: &'static str,
        outcome: io::Result<()>,
        value: V,
    ) -> Result<Option<V>, DataplaneError> {
        match outcome {
            Ok(()) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DataplaneError::map(doing, self.name, error)),
        }
    }

    fn operate(&self, command: libc::c_long, key: &K, value: Option<&mut V>) -> io::Result<()> {
        let value = value.map_or(std::ptr::null_mut(), std::ptr::from_mut);
        // SAFETY: `open` has checked that key and value are as large as the map's.
        unsafe { operate(&self.data, command, key, value) }
    }
}

/// One operation on one element.
///
/// # Safety
/// `key` is as large as a key of the map, and `value`, unless the command needs none, as large as what the kernel copies.
pub(super) unsafe fn operate<K, V>(
    map: &MapData,
    command: libc::c_long,
    key: *const K,
    value: *mut V,
) -> io::Result<()> {
    let mut attr = ElementAttr {
        map_fd: u32::try_from(map.fd().as_fd().as_raw_fd()).map_err(io::Error::other)?,
        padding: 0,
        key: key as u64,
        value: value as u64,
        flags: 0,
    };
    loop {
        // SAFETY: a full, initialised member of `union bpf_attr`; for what it points to the caller answers.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command,
                &raw mut attr,
                size_of::<ElementAttr>(),
            )
        };
        if result >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        // A program on this CPU held the bucket for a moment (`htab_lock_bucket`, kernel/bpf/hashtab.c).
        if error.raw_os_error() != Some(libc::EBUSY) {
            return Err(error);
        }
    }
}

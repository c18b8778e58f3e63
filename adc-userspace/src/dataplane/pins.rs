//! The pin directory: what outlives the agent.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use adc_common::abi::{ABI_VERSION, InterfaceId};
use aya::maps::MapInfo;
use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{FsType, statfs},
};

use super::{error::DataplaneError, migrate::earlier_serves};

/// `BPF_FS_MAGIC`, include/uapi/linux/magic.h.
const BPF_FS_MAGIC: FsType = FsType(0xcafe_4a11);

/// The map by which packets reach one of two programs while flows move here from an earlier layout.
pub(super) const HANDOVER: &str = "HANDOVER";

/// The program that interfaces have when nobody captures and nothing moves.
const PROGRAM: &str = "program";

/// Where bpffs is mounted if nobody has done it yet.
const BPFFS: &str = "/sys/fs/bpf";

/// What a map must be to be adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MapShape {
    /// Name, in the object and in the directory.
    pub(super) name: &'static str,
    /// Bytes of a key.
    pub(super) key: usize,
    /// Bytes of a value.
    pub(super) value: usize,
    /// Capacity for a new map.
    pub(super) entries: u32,
}

/// `<pin_path>/v<ABI>`: maps by name, the program, links as `link-<interface>`, and symbolic links `interface-<id>` that hold the
/// name of the interface with that id (flows know interfaces by id, people by name, and the kernel by an index that
/// changes when an interface is made anew).
#[derive(Clone, Debug)]
pub struct PinDirectory {
    root: PathBuf,
    directory: PathBuf,
    /// Of the layout before ours, if that serves.
    earlier: Option<PathBuf>,
}

impl PinDirectory {
    /// Makes the directory, mounting bpffs at `/sys/fs/bpf` if that is where it belongs and nothing is there.
    pub fn open(pin_path: &Path) -> Result<Self, DataplaneError> {
        if pin_path.starts_with(BPFFS) && !is_bpffs(Path::new(BPFFS)) {
            mount(
                Some("bpf"),
                BPFFS,
                Some("bpf"),
                MsFlags::empty(),
                None::<&str>,
            )
            .map_err(|errno| DataplaneError::Pins {
                doing: "mounting bpffs at",
                path: BPFFS.into(),
                source: errno.into(),
            })?;
        }
        let existing = pin_path.ancestors().find(|path| path.exists());
        if !existing.is_some_and(is_bpffs) {
            return Err(DataplaneError::NotBpffs(pin_path.into()));
        }
        let earlier = earlier_serves(pin_path)?;
        let earlier = earlier.then(|| pin_path.join(format!("v{}", ABI_VERSION.saturating_sub(1))));
        let directory = pin_path.join(format!("v{ABI_VERSION}"));
        fs::create_dir_all(&directory).map_err(|source| DataplaneError::Pins {
            doing: "making the pin directory",
            path: directory.clone(),
            source,
        })?;
        Ok(Self {
            root: pin_path.into(),
            directory,
            earlier,
        })
    }

    /// The directory of the layout before ours, while there is something to take over from it.
    pub fn earlier(&self) -> Option<&Path> {
        self.earlier.as_deref()
    }

    /// Where the program is pinned.
    pub(super) fn program(&self) -> PathBuf {
        self.directory.join(PROGRAM)
    }

    /// Where the program of an earlier layout is pinned.
    pub(super) fn program_in(directory: &Path) -> PathBuf {
        directory.join(PROGRAM)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// A directory beside it.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Where a map is pinned.
    pub fn map(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where the link of an interface is pinned.
    pub fn link(&self, interface: &str) -> PathBuf {
        self.directory.join(format!("link-{interface}"))
    }

    /// Interfaces that have a pinned link.
    pub fn linked_interfaces(&self) -> Vec<String> {
        Self::linked_in(&self.directory)
    }

    /// The same of another directory.
    pub(super) fn linked_in(directory: &Path) -> Vec<String> {
        let Ok(entries) = fs::read_dir(directory) else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| name.strip_prefix("link-").map(str::to_owned))
            .collect()
    }

    /// Whether an earlier agent left anything here.
    pub fn is_empty(&self) -> bool {
        fs::read_dir(&self.directory).is_ok_and(|mut entries| entries.next().is_none())
    }

    /// Ids of interfaces by name, as noted by an earlier agent.
    pub fn interface_ids(&self) -> BTreeMap<String, InterfaceId> {
        Self::interface_ids_in(&self.directory)
    }

    /// The same of another directory.
    pub(super) fn interface_ids_in(directory: &Path) -> BTreeMap<String, InterfaceId> {
        let Ok(entries) = fs::read_dir(directory) else {
            return BTreeMap::new();
        };
        let noted = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            let id = entry.file_name().into_string().ok()?;
            let id = id.strip_prefix("interface-")?.parse().ok()?;
            let name = fs::read_link(entry.path()).ok()?;
            Some((name.into_os_string().into_string().ok()?, InterfaceId(id)))
        });
        noted.collect()
    }

    /// Notes which interface has an id.
    pub fn note_interface(&self, id: InterfaceId, name: &str) -> Result<(), DataplaneError> {
        let path = self.directory.join(format!("interface-{}", id.0));
        if fs::read_link(&path).is_ok_and(|noted| noted == Path::new(name)) {
            return Ok(());
        }
        Self::remove(&path)?;
        symlink(name, &path).map_err(|source| DataplaneError::Pins {
            doing: "noting the name of an interface at",
            path,
            source,
        })
    }

    /// Compares a pinned map with what this version makes; `Ok(None)` = not pinned, else its capacity.
    ///
    /// aya 0.14 takes whatever is pinned under the name; with another value size the kernel would write
    /// past our buffers.
    pub(super) fn adoptable(&self, shape: &MapShape) -> Result<Option<u32>, DataplaneError> {
        let path = self.map(shape.name);
        if !path.exists() {
            return Ok(None);
        }
        let info = MapInfo::from_pin(&path).map_err(|error| DataplaneError::Pins {
            doing: "opening pinned map",
            path: path.clone(),
            source: io::Error::other(error),
        })?;
        let found = (info.key_size() as usize, info.value_size() as usize);
        if found != (shape.key, shape.value) {
            let text = |(key, value)| format!("keys of {key} and values of {value} bytes");
            return Err(DataplaneError::Layout {
                path,
                directory: self.directory.clone(),
                found: text(found),
                needed: text((shape.key, shape.value)),
            });
        }
        Ok(Some(info.max_entries()))
    }

    /// Removes a pin; one that is not there is as good.
    pub(super) fn remove(path: &Path) -> Result<(), DataplaneError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DataplaneError::Pins {
                doing: "removing pin",
                path: path.into(),
                source: error,
            }),
            _ => Ok(()),
        }
    }

    /// Removes every pin, and leaves the directory: it is locked.
    pub(super) fn clear(&self) -> Result<(), DataplaneError> {
        let removed = fs::read_dir(&self.directory)
            .and_then(|mut entries| entries.try_for_each(|entry| fs::remove_file(entry?.path())));
        removed.map_err(|source| DataplaneError::Pins {
            doing: "clearing the pin directory",
            path: self.directory.clone(),
            source,
        })
    }

    /// Removes every pin and the directories: after a clean stop nothing is left.
    pub fn remove_all(&self) -> Result<(), DataplaneError> {
        let removed = |path: &Path, result: io::Result<()>| match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DataplaneError::Pins {
                doing: "removing the pin directory",
                path: path.into(),
                source: error,
            }),
            _ => Ok(()),
        };
        removed(&self.directory, fs::remove_dir_all(&self.directory))?;
        match fs::remove_dir(&self.root) {
            // Pins of another version live beside ours.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            result => removed(&self.root, result),
        }
    }
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC)
}

//! What is taken over of an earlier layout's directory, and how that is undone.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aya::{
    maps::{MapData, MapInfo},
    programs::{
        Xdp,
        links::{FdLink, PinnedLink},
    },
};
use aya_obj::programs::XdpAttachType;

use super::{
    super::{
        attach::replace,
        error::DataplaneError,
        pins::{MapShape, PinDirectory},
    },
    FLOWS4, FLOWS6, failed, handover,
    layout::FlowLayout,
};

/// Maps that belong to one program and are made anew with it. What is in them is of no use to another one: news of flows
/// have the layout of flows, and the other node of a pair fetches everything when this agent connects.
const OWN: [&str; 4] = ["SCRATCH4", "SCRATCH6", "PROGRAMS", "FLOW_NEWS"];

/// Maps whose counts are carried over if their layout has changed.
const COUNTERS: [&str; 4] = [
    "REASON_COUNTERS",
    "BACKEND_COUNTERS",
    "TABLE_COUNTERS",
    "SELF_CHECKS",
];

/// What an earlier layout leaves us.
pub(in super::super) struct Inheritance {
    /// Its directory.
    pub(super) earlier: PathBuf,
    /// Its flow tables; `None` if their flows were moved before.
    pub(super) layout: Option<FlowLayout>,
    /// Counters to be carried over.
    pub(super) counters: Vec<&'static str>,
}

impl Inheritance {
    /// Pins here what is the same there. Tables whose flows will be moved get room for as many as there.
    ///
    /// # Errors
    /// A map there has a layout that this release does not know, or the kernel refuses. Nothing there has changed.
    pub(in super::super) fn take(
        earlier: &Path,
        pins: &PinDirectory,
        shapes: &mut [MapShape],
    ) -> Result<Self, DataplaneError> {
        let switched = handover::has_switched(pins)?;
        if !switched {
            // What an earlier attempt may have left may name maps that are not there any more.
            abandon(earlier, pins)?;
        }
        let layout = flow_layout(earlier, switched)?;
        let mut counters = Vec::new();
        for shape in shapes {
            let there = earlier.join(shape.name);
            if OWN.contains(&shape.name) || !there.exists() {
                continue;
            }
            let of_flows = FLOWS4.iter().chain(&FLOWS6).any(|name| *name == shape.name);
            match layout {
                None if of_flows => {}
                Some(FlowLayout::Headed) if of_flows => {
                    shape.entries = shape.entries.max(info(&there)?.max_entries());
                }
                _ if COUNTERS.contains(&shape.name) && is_other(shape, &there)? => {
                    shape.entries = shape.entries.max(info(&there)?.max_entries());
                    // Once: they count already.
                    if !switched {
                        counters.push(shape.name);
                    }
                }
                None | Some(FlowLayout::Headed | FlowLayout::Same) => {
                    share(shape, &there, earlier, pins)?;
                }
            }
        }
        for (name, id) in PinDirectory::interface_ids_in(earlier) {
            pins.note_interface(id, &name)?;
        }
        Ok(Self {
            earlier: earlier.into(),
            layout,
            counters,
        })
    }
}

/// Whether the values of a map have another size there.
fn is_other(shape: &MapShape, there: &Path) -> Result<bool, DataplaneError> {
    Ok(info(there)?.value_size() as usize != shape.value)
}

/// One map for both programs, until the other is gone.
fn share(
    shape: &MapShape,
    there: &Path,
    earlier: &Path,
    pins: &PinDirectory,
) -> Result<(), DataplaneError> {
    let found = info(there)?;
    let found = (found.key_size() as usize, found.value_size() as usize);
    if found != (shape.key, shape.value) {
        return Err(unknown(there, earlier, found, (shape.key, shape.value)));
    }
    let here = pins.map(shape.name);
    if here.exists() {
        return Ok(());
    }
    let taken = |error: &(dyn std::error::Error + 'static)| failed("taking over map", there, error);
    let map = MapData::from_pin(there).map_err(|error| taken(&error))?;
    map.pin(here).map_err(|error| taken(&error))
}

/// `None` if they were moved and are gone in part: only the tidying up was interrupted.
fn flow_layout(earlier: &Path, switched: bool) -> Result<Option<FlowLayout>, DataplaneError> {
    let mut sizes = [0; 4];
    for (size, name) in sizes.iter_mut().zip(FLOWS4.iter().chain(&FLOWS6)) {
        let path = earlier.join(name);
        if switched && !path.exists() {
            return Ok(None);
        }
        *size = info(&path)?.value_size() as usize;
    }
    let layout = FlowLayout::of(sizes).ok_or_else(|| DataplaneError::Layout {
        path: earlier.join("FLOWS4"),
        directory: earlier.into(),
        found: format!("flow entries of {sizes:?} bytes"),
        needed: "entries of a layout that it knows".into(),
    });
    layout.map(Some)
}

fn unknown(
    path: &Path,
    earlier: &Path,
    found: (usize, usize),
    needed: (usize, usize),
) -> DataplaneError {
    let text = |(key, value)| format!("keys of {key} and values of {value} bytes");
    DataplaneError::Layout {
        path: path.into(),
        directory: earlier.into(),
        found: text(found),
        needed: text(needed),
    }
}

fn info(path: &Path) -> Result<MapInfo, DataplaneError> {
    MapInfo::from_pin(path).map_err(|error| DataplaneError::Pins {
        doing: "opening pinned map",
        path: path.into(),
        source: io::Error::other(error),
    })
}

/// Pins each link here too: it is the same attachment, and goes on when the other pin is removed.
pub(super) fn links(earlier: &Path, pins: &PinDirectory) -> Result<(), DataplaneError> {
    for interface in PinDirectory::linked_in(earlier) {
        let here = pins.link(&interface);
        if here.exists() {
            continue;
        }
        let there = earlier.join(format!("link-{interface}"));
        let link = PinnedLink::from_pin(&there)
            .map_err(|error| failed("taking over link", &there, &error))?;
        FdLink::from(link)
            .pin(here)
            .map_err(|error| failed("taking over link", &there, &error))?;
    }
    Ok(())
}

/// Gives interfaces their earlier program back, and forgets what was prepared.
pub(super) fn abandon(earlier: &Path, pins: &PinDirectory) -> Result<(), DataplaneError> {
    // The program in between depends on a pin that is about to go.
    if handover::is_prepared(pins) {
        let path = PinDirectory::program_in(earlier);
        let mut program = Xdp::from_pin(&path, XdpAttachType::Interface)
            .map_err(|error| failed("opening the pinned program", &path, &error))?;
        for interface in pins.linked_interfaces() {
            replace(&mut program, pins, &interface).map_err(|error| error.refusal(&interface))?;
        }
    }
    pins.clear()
}

/// Pins the program for the release after this one. Renamed into place: there is always one.
pub(in super::super) fn pin_program(
    program: &mut Xdp,
    pins: &PinDirectory,
) -> Result<(), DataplaneError> {
    let path = pins.program();
    let aside = pins.map("program-next");
    PinDirectory::remove(&aside)?;
    program
        .pin(&aside)
        .map_err(|error| failed("pinning the program at", &path, &error))?;
    fs::rename(&aside, &path).map_err(|source| DataplaneError::Pins {
        doing: "pinning the program at",
        path,
        source,
    })
}

//! The program in between: before two others, while flows move.

use std::path::Path;

use adc_common::abi::{HANDOVER_EARLIER, HANDOVER_OWN};
use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel,
    maps::{MapData, MapError, ProgramArray},
    programs::Xdp,
};
use aya_obj::programs::XdpAttachType;

use super::{
    super::{
        attach::replace,
        error::DataplaneError,
        loader::{load_error, load_program},
        pins::{HANDOVER, PinDirectory},
    },
    FLOWS4, FLOWS6,
    element::Elements,
    failed,
};

/// Name of the entry point in the object.
const PROGRAM: &str = "adc_handover";

/// The object as `build.rs` embeds it; empty in a build without BPF toolchain.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/adc-xdp-handover"));

/// The loaded program. Links keep it, and the pin of its map keeps what it hands packets to.
pub(super) struct Handover {
    ebpf: Ebpf,
    chain: ProgramArray<MapData>,
}

impl Handover {
    /// Loads it over the earlier flow tables. Until [`Self::switch`] it leaves every packet to the earlier program; if that
    /// was done before, by an agent that died since, it goes on as it is.
    pub(super) fn load(earlier: &Path, pins: &PinDirectory) -> Result<Self, DataplaneError> {
        if OBJECT.is_empty() {
            return Err(DataplaneError::NoObject);
        }
        let mut loader = EbpfLoader::new();
        // As for the normal program.
        loader.verifier_log_level(VerifierLogLevel::STATS);
        for (name, pin) in EARLIER.iter().zip(FLOWS4.iter().chain(&FLOWS6)) {
            loader.map_pin_path(name, earlier.join(pin));
        }
        loader.map_pin_path(HANDOVER, pins.map(HANDOVER));
        let mut ebpf = loader.load(OBJECT).map_err(|error| load_error(&error))?;
        load_program(entry(&mut ebpf)?)?;
        let fail = |error: MapError| DataplaneError::map("opening", HANDOVER, error);
        let map = ebpf
            .take_map(HANDOVER)
            .ok_or_else(|| fail(MapError::KeyNotFound))?;
        let chain = ProgramArray::try_from(map).map_err(fail)?;
        let mut handover = Self { ebpf, chain };
        let path = PinDirectory::program_in(earlier);
        let program = Xdp::from_pin(&path, XdpAttachType::Interface)
            .map_err(|error| failed("opening the pinned program", &path, &error))?;
        handover.set(HANDOVER_EARLIER, &program)?;
        Ok(handover)
    }

    /// Puts it on every link. As long as nothing was switched this changes nothing for any packet.
    pub(super) fn attach(&mut self, pins: &PinDirectory) -> Result<(), DataplaneError> {
        let program = entry(&mut self.ebpf)?;
        for interface in pins.linked_interfaces() {
            replace(program, pins, &interface).map_err(|error| error.refusal(&interface))?;
        }
        Ok(())
    }

    /// From here on new flows are `own`'s, on all interfaces at once.
    pub(super) fn switch(&mut self, own: &Xdp) -> Result<(), DataplaneError> {
        self.set(HANDOVER_OWN, own)
    }

    fn set(&mut self, slot: u32, program: &Xdp) -> Result<(), DataplaneError> {
        let fd = program.fd().map_err(|error| load_error(&error))?;
        self.chain
            .set(slot, fd, 0)
            .map_err(|error| DataplaneError::map("writing", HANDOVER, error))
    }
}

/// Names of the earlier tables in the object, in the order of [`FLOWS4`] and [`FLOWS6`].
const EARLIER: [&str; 4] = [
    "EARLIER_FLOWS4",
    "EARLIER_HALF_OPEN4",
    "EARLIER_FLOWS6",
    "EARLIER_HALF_OPEN6",
];

fn entry(ebpf: &mut Ebpf) -> Result<&mut Xdp, DataplaneError> {
    ebpf.program_mut(PROGRAM)
        .and_then(|program| program.try_into().ok())
        .ok_or_else(|| DataplaneError::Load {
            reason: format!("the embedded object has no XDP program `{PROGRAM}`; build adc again"),
        })
}

/// Whether a hand-over was begun.
pub(super) fn is_prepared(pins: &PinDirectory) -> bool {
    pins.map(HANDOVER).exists()
}

/// Whether a program of this layout has got flows: from then on there is no way back.
pub(super) fn has_switched(pins: &PinDirectory) -> Result<bool, DataplaneError> {
    if !is_prepared(pins) {
        return Ok(false);
    }
    // Read from user space, a slot is the id of its program.
    let chain = Elements::<u32, u32>::open(&pins.map(HANDOVER), HANDOVER)?;
    Ok(chain.get(&HANDOVER_OWN)?.is_some())
}

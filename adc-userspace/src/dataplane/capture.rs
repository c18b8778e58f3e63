//! The program that captures: loaded when somebody asks, swapped in for the normal one, and out again.

use std::{io, os::fd::AsRawFd, os::fd::RawFd};

use adc_common::abi::{CaptureCounters, CaptureRecord, CaptureSetup};
use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel,
    maps::{Array, Map, MapData, MapError, PerCpuArray, RingBuf},
    programs::Xdp,
};

use super::{
    attach::replace,
    error::DataplaneError,
    loader::{Dataplane, load_error, load_program, shapes},
    mapped::Mapped,
};
use crate::model::Limits;

/// Name of the entry point in the object.
const PROGRAM: &str = "adc_ingress_capture";

/// The object as `build.rs` embeds it; empty in a build without BPF toolchain.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/adc-xdp-capture"));

/// A capture that runs. Dropping it frees its program once no interface has it any more.
pub(super) struct Running {
    /// Keeps the program loaded.
    ebpf: Ebpf,
    /// Interfaces that have it.
    interfaces: Vec<String>,
}

/// Reads what the program captured.
pub struct CaptureReader {
    ring: RingBuf<MapData>,
    counters: PerCpuArray<MapData, Mapped<CaptureCounters>>,
}

impl Dataplane {
    /// Loads the program over the live maps and swaps it in on every attached interface: each packet meets the normal
    /// program or this one, and either does the same with it.
    ///
    /// # Errors
    /// Then the normal program is where it was.
    pub fn begin_capture(
        &mut self,
        setup: CaptureSetup,
        limits: &Limits,
    ) -> Result<CaptureReader, DataplaneError> {
        let mut ebpf = self.load_capture(limits)?;
        let reader = prepare(&mut ebpf, setup)?;
        let names: Vec<String> = self
            .attachments
            .iter()
            .map(|(name, _)| name.to_owned())
            .collect();
        let mut running = Running {
            ebpf,
            interfaces: Vec::new(),
        };
        let swapped = names.into_iter().try_for_each(|name| {
            let swapped = replace(entry(&mut running.ebpf)?, &self.pins, &name)
                .map_err(|error| error.refusal(&name))?;
            // An attachment whose device is gone is mended by the agent, with the normal program.
            if swapped {
                running.interfaces.push(name);
            }
            Ok(())
        });
        self.capture = Some(running);
        if let Err(error) = swapped {
            self.end_capture()?;
            return Err(error);
        }
        Ok(reader)
    }

    /// Swaps the normal program in again and unloads the other. Nothing happens if no capture runs.
    ///
    /// # Errors
    /// An interface could not be given back its program; the others were.
    pub fn end_capture(&mut self) -> Result<(), DataplaneError> {
        let Some(running) = self.capture.take() else {
            return Ok(());
        };
        let mut outcome = Ok(());
        for name in running.interfaces {
            if !self.attachments.contains(&name) {
                continue;
            }
            let (program, _, pins) = self.program()?;
            if let Err(error) = replace(program, pins, &name) {
                outcome = Err(error.refusal(&name));
            }
        }
        outcome
    }

    /// Whether a capture runs.
    pub fn is_capturing(&self) -> bool {
        self.capture.is_some()
    }

    fn load_capture(&self, limits: &Limits) -> Result<Ebpf, DataplaneError> {
        if OBJECT.is_empty() {
            return Err(DataplaneError::NoObject);
        }
        let mut loader = EbpfLoader::new();
        // As for the normal program.
        loader.verifier_log_level(VerifierLogLevel::STATS);
        loader.override_global("TELL_FLOWS", &self.tell_flows, true);
        for shape in shapes(limits) {
            loader.map_pin_path(shape.name, self.pins.map(shape.name));
        }
        let mut ebpf = loader.load(OBJECT).map_err(|error| load_error(&error))?;
        load_program(entry(&mut ebpf)?)?;
        Ok(ebpf)
    }
}

fn entry(ebpf: &mut Ebpf) -> Result<&mut Xdp, DataplaneError> {
    ebpf.program_mut(PROGRAM)
        .and_then(|program| program.try_into().ok())
        .ok_or_else(|| DataplaneError::Load {
            reason: format!("the embedded object has no XDP program `{PROGRAM}`; build adc again"),
        })
}

fn prepare(ebpf: &mut Ebpf, setup: CaptureSetup) -> Result<CaptureReader, DataplaneError> {
    let fail = |map| move |error: MapError| DataplaneError::map("opening", map, error);
    let mut wanted: Array<_, Mapped<CaptureSetup>> = take(ebpf, "CAPTURE_SETUP")?
        .try_into()
        .map_err(fail("CAPTURE_SETUP"))?;
    wanted
        .set(0, Mapped(setup), 0)
        .map_err(|error| DataplaneError::map("writing", "CAPTURE_SETUP", error))?;
    Ok(CaptureReader {
        ring: take(ebpf, "CAPTURE_RING")?
            .try_into()
            .map_err(fail("CAPTURE_RING"))?,
        counters: take(ebpf, "CAPTURE_COUNTERS")?
            .try_into()
            .map_err(fail("CAPTURE_COUNTERS"))?,
    })
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, DataplaneError> {
    ebpf.take_map(name).ok_or_else(|| {
        DataplaneError::map("looking up", name, io::Error::from(io::ErrorKind::NotFound))
    })
}

impl CaptureReader {
    /// Hands the oldest unread record to `visit`: its head, and the bytes of the frame. `None` = there is none.
    pub fn next<R>(&mut self, visit: impl FnOnce(&CaptureRecord, &[u8]) -> R) -> Option<R> {
        loop {
            let item = self.ring.next()?;
            // A record of another shape is none of ours; the program makes none.
            if let Some((head, bytes)) = item.split_at_checked(size_of::<CaptureRecord>()) {
                let record: CaptureRecord = bytemuck::pod_read_unaligned(head);
                return Some(visit(&record, bytes));
            }
        }
    }

    /// Records made and lost so far.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn counters(&self) -> Result<CaptureCounters, DataplaneError> {
        let values = self
            .counters
            .get(&0, 0)
            .map_err(|error| DataplaneError::map("reading", "CAPTURE_COUNTERS", error))?;
        let mut sum = CaptureCounters::default();
        for Mapped(cpu) in values.iter() {
            sum.sent = sum.sent.wrapping_add(cpu.sent);
            sum.lost = sum.lost.wrapping_add(cpu.lost);
        }
        Ok(sum)
    }
}

/// Readable when there are records. The descriptor is the ring's, which the reader owns and never changes.
impl AsRawFd for CaptureReader {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

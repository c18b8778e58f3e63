//! Where a packet would go, and why (`adc explain`).
//!
//! [`walk`] runs the very packet walk that the kernel runs, `adc_common::datapath::process`, over a
//! copy-on-write view of the live tables ([`Overlay`]): what the walk reads comes from the maps, what it writes stays
//! in the view. The trail is what the walk asked and was told, in its order, so it can not disagree with the verdict.
//! Nothing here decides anything about packets (docs/adr/0017-explain-on-the-host.md).

mod changes;
mod frame;
mod headers;
mod hints;
mod kept;
mod known;
mod overlay;
mod sctp;
mod sheet;
mod source;
mod steps;
#[cfg(test)]
mod tests;
mod trail;

pub use changes::changes;
pub use frame::{Envelope, Transport, frame};
pub use headers::{checksum_complaint, headers, summary, tuple_of};
pub use hints::hint;
pub use known::{Known, known};
pub use overlay::Overlay;
pub use source::{FlowSource, Source};
pub use steps::{FlowFacts, Half, Step, Table};
pub use trail::{Names, kind, text};

use adc_common::{
    abi::Tick,
    datapath::{Verdict, process},
    host::{HostClock, HostPacket},
};

use crate::dataplane::DataplaneError;

/// What the walk did with one frame.
#[derive(Clone, Debug)]
pub struct Walked {
    /// What becomes of it, and why.
    pub verdict: Verdict,
    /// The frame as it would leave; as it came if it is not forwarded.
    pub frame: Vec<u8>,
    /// What the walk asked of the tables, and what it would have written, in its order.
    pub steps: Vec<Step>,
}

/// Runs the walk on `frame` as if it came in by the interface `ifindex` at the time `now`. Writes nothing.
///
/// # Errors
/// A live table could not be read.
pub fn walk<S: Source>(
    source: &S,
    frame: Vec<u8>,
    ifindex: u32,
    now: Tick,
) -> Result<Walked, DataplaneError> {
    let overlay = Overlay::new(source);
    let mut packet = HostPacket::new(frame, ifindex);
    let verdict = process(&mut packet, &overlay, &HostClock::at(now));
    Ok(Walked {
        verdict,
        frame: packet.bytes().to_vec(),
        steps: overlay.into_steps()?,
    })
}

//! What becomes of captured records: which are wanted, what is said of each, and the pcapng file (`adc capture`).
//!
//! Pure: records in, bytes out. The program that makes the records is `adc-ebpf/src/capture.rs`; the agent runs the capture
//! (docs/adr/0018-capture-by-a-second-program.md).

mod choice;
mod file;
mod labels;
#[cfg(test)]
mod tests;

pub use choice::{Choice, setup};
pub use file::{CaptureFile, FileError};
pub use labels::{BackendLabel, Labels, Sighting};

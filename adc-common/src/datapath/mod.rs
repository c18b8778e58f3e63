//! The packet walk: parse, decide, deliver.
//!
//! [`process`] is the only entry. It is generic over three ports so that one body of code is unit-tested
//! and fuzzed on the host and run by the kernel. The order is strict: everything is parsed, then the
//! fate is decided (tables may change), and only then is a byte of the packet written.

mod arrival;
mod checksum;
mod claim;
mod crc32c;
mod crossing;
mod decap;
mod decide;
mod deliver;
mod direct;
mod down;
mod family;
mod fence;
mod fragment;
mod handover;
mod handshake;
mod hash;
mod icmp;
mod icmp_counterpart;
mod icmp_cross;
mod icmp_error;
mod icmp_write;
mod mss;
mod news;
mod parse;
mod piece;
mod pipeline;
mod ports;
mod preface;
mod quote;
mod range;
mod reset;
mod schedule;
mod scratch;
mod sctp;
mod self_check;
mod self_test;
mod sight;
mod snat;
mod soundness;
mod tags;
mod track;
mod translate;
mod translate_piece;
mod tunnel;
mod verdict;
mod wire;

pub use decap::{DecapTables, decapsulate};
pub use family::Family;
pub use handover::{EarlierFlows, is_held_by_earlier};
pub use pipeline::process;
pub use ports::{
    Clock, FlowTables, InsertError, MAX_FRONT, MAX_HEADER_OFFSET, MIN_FRONT, PacketBuf, Tables,
};
pub use scratch::{Reading, Scratch};
pub use self_check::{judge, process_checked, watch};
pub use self_test::{QUESTION_BYTES, question};
pub use sight::may_match;
pub use verdict::{Action, Verdict};
pub use wire::WireHeader;

//! What the XDP program and the agent share.
//!
//! - [`abi`]: the keys and values of every BPF map. Both sides compile these very types, so a layout
//!   can not drift. Addresses, ports and MACs are byte arrays in network order; everything else is
//!   host order, because both sides run on one machine.
//! - [`datapath`]: the packet walk, written once and generic over three ports ([`datapath::PacketBuf`],
//!   [`datapath::Tables`], [`datapath::Clock`]). The kernel runs it over BPF maps; tests, fuzzing and
//!   the differential test run the very same code over `host` twins.
//! - [`mod@bench`]: the traffic of `cargo xtask bench`.

#![cfg_attr(not(any(test, feature = "host")), no_std)]
#![warn(missing_docs)]

pub mod abi;
pub mod bench;
pub mod datapath;
#[cfg(any(test, feature = "host"))]
pub mod host;

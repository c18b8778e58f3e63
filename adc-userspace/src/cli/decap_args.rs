//! Arguments of `adc decap`.

use std::net::IpAddr;

use clap::Args;

use super::args::ModeArg;
use crate::model::Tunnel;

#[derive(Args, Debug)]
pub(super) struct DecapArgs {
    /// Interface that tunnel packets come in by
    #[arg(short, long, value_name = "NAME")]
    pub(super) interface: String,
    /// In the driver, or after it (slower, works with every driver)
    #[arg(long, value_enum, default_value = "native")]
    pub(super) mode: ModeArg,
    /// Take out packets to this address only; may be repeated. Without it, packets to any address
    #[arg(long = "vip", value_name = "ADDRESS")]
    pub(super) vips: Vec<IpAddr>,
    /// UDP port that GUE arrives on
    #[arg(long, default_value_t = Tunnel::DEFAULT_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port: u16,
}

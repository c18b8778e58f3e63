//! `adc announce`.

use clap::Subcommand;

#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum AnnounceCommand {
    /// Which VIPs have their route, and why the others have none
    Status,
}

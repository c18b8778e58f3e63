//! `adc bfd`.

use clap::Subcommand;

#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum BfdCommand {
    /// Every session: its state and why, what was agreed with the peer, what was counted
    Status,
}

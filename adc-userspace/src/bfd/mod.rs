//! Bidirectional Forwarding Detection (RFC 5880) over one hop (RFC 5881), asynchronous mode: whether packets go both ways
//! between this node and a router or a backend, known within milliseconds.
//!
//! [`packet`] and [`Session`] are pure, [`Speaker`] (all sessions of a node) too; [`Runner`] is the thread with the sockets. It
//! runs in the keeper, so that sessions outlive the agent ([ADR 0035](../../../../docs/adr/0035-bfd.md)).
//!
//! ```text
//! Config ─► wanted() ─► Runner::configure ─► Speaker ─► Session ─► packets out
//!                     packets in ─► packet::parse ─┘        └─► BfdView: groups that track it, monitors of backends, people
//! ```

mod channel;
pub mod packet;
mod refusal;
mod runner;
mod saved;
mod sending;
mod session;
#[cfg(test)]
mod simulation;
mod speaker;
mod verdict;
mod wanted;

pub use refusal::Refusal;
pub use runner::Runner;
pub use saved::SavedSession;
pub use session::{Action, SLOW, Session};
pub use speaker::{Outgoing, Speaker};
pub use verdict::Verdict;
pub use wanted::{MAX_SESSIONS, Path, Wanted, wanted};

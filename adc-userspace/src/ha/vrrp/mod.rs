//! VRRP: the wire format and the state machine. Pure; sockets are elsewhere.

mod announcements;
mod event;
mod fellow;
pub(in crate::ha) mod frame;
mod hearing;
mod instance;
pub mod packet;
mod refusal;
mod saved;
mod timing;
mod wire;

#[cfg(test)]
mod instance_tests;
#[cfg(test)]
mod lease_tests;
#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod packet_tests;
#[cfg(test)]
mod simulation;

pub(crate) use announcements::Announcements;
pub use event::{Action, Input, Order, Tracking};
pub use instance::Instance;
pub use packet::{Advert, Dialect, Envelope, Interval, Version, decode, encode};
pub use refusal::Refusal;
pub use saved::{Moment, SavedHeard, SavedInstance};
pub use timing::{Announcing, Timing};
pub use wire::{Family, Heard};

//! When a VIP is announced: at once with nothing, but as slowly as asked for. Pure.
//!
//! What makes a VIP served is the agent's knowledge (`agent/announce.rs`), the routes are `neighbours/routes`.

mod gate;

pub(crate) use gate::{Gate, Holds};

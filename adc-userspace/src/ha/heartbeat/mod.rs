//! The heartbeat between two adc nodes: who lives, and who has which group.
//!
//! [`packet`] is the wire format, [`admission`] tells news from what was recorded, [`detector`] says whether the peer is
//! silent, and [`arbiter`] what this node is for a group. All of that is pure: no IO, and time is an argument. [`runner`] is
//! the thread that sends and receives, [`jitter`] measures whether a machine is fit for short intervals.

pub mod admission;
pub mod alike;
pub mod arbiter;
pub mod boot;
pub mod counters;
pub mod detector;
pub mod jitter;
pub mod key;
pub mod packet;
mod path;
pub(in crate::ha) mod realtime;
pub mod refusal;
pub mod runner;
#[cfg(test)]
mod simulation;

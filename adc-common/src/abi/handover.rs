//! The slots of `HANDOVER`, by which packets reach one of two programs while flows move between layouts.

/// The program of the earlier layout.
pub const HANDOVER_EARLIER: u32 = 0;

/// The program of this release. Once it is there, it gets every packet of a flow that the earlier tables do not have.
pub const HANDOVER_OWN: u32 = 1;

/// How many slots there are.
pub const HANDOVER_PROGRAMS: u32 = 2;

//! Bridges the map ABI to aya: both want to know that a type is plain bytes, each by its own trait.

use bytemuck::Pod;

/// A key or value of a map.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw<T>(pub(crate) T);

// SAFETY: transparent over a type that bytemuck knows to be plain bytes without padding.
unsafe impl<T: Pod> aya::Pod for Raw<T> {}

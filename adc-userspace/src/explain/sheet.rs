//! What the walk wrote while it was explained.

use std::{cell::RefCell, collections::HashMap, hash::Hash};

use adc_common::{
    abi::{FlowEntry, FlowKey, FragmentEntry, FragmentKey, HalfOpenEntry},
    datapath::Scratch,
};

/// What the walk wrote into one flow table; `None` = removed.
pub(super) type Sheet<K, V> = RefCell<HashMap<K, Option<V>>>;

/// The flow tables of one family.
pub(super) struct Sheets<A> {
    pub(super) scratch: RefCell<Scratch<A>>,
    pub(super) flows: Sheet<FlowKey<A>, FlowEntry<A>>,
    pub(super) half_open: Sheet<FlowKey<A>, HalfOpenEntry<A>>,
    pub(super) fragments: Sheet<FragmentKey<A>, FragmentEntry>,
}

impl<A> Default for Sheets<A>
where
    Scratch<A>: Default,
{
    fn default() -> Self {
        Self {
            scratch: RefCell::default(),
            flows: RefCell::default(),
            half_open: RefCell::default(),
            fragments: RefCell::default(),
        }
    }
}

/// What the sheet has, else what lies below.
pub(super) fn look<K: Eq + Hash, V: Copy>(
    sheet: &Sheet<K, V>,
    key: &K,
    below: impl FnOnce() -> Option<V>,
) -> Option<V> {
    let written = sheet.borrow().get(key).copied();
    written.unwrap_or_else(below)
}

//! Moving the flows of one address family from the tables of an earlier layout to ours, under traffic.
//!
//! Twice. A *copy* before the switch reserves what flows hold: ports of `full-nat`, keys of replies. After it a packet whose
//! key is in an earlier table goes to the earlier program, and a flow is *moved* by being written here, and taken there. So
//! at every moment exactly one program has a flow, and has all of it.

use std::{collections::HashMap, hash::Hash, path::Path};

use adc_common::abi::{FlowEntry, FlowFlags, FlowKey, HalfOpenEntry, Tick};
use bytemuck::Pod;

use super::{
    super::{error::DataplaneError, pins::PinDirectory},
    element::{Elements, Written},
    layout::Earlier,
};

/// What was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    /// Validated flows.
    pub(super) established: u64,
    /// Half-open ones.
    pub(super) half_open: u64,
    /// Entries for which there was no room.
    pub(super) lost: u64,
}

/// Both tables of a family, there and here.
pub(super) struct FamilyMove<A, L: Earlier<A>> {
    main: TableMove<A, L::Entry, FlowEntry<A>>,
    half_open: TableMove<A, L::HalfOpen, HalfOpenEntry<A>>,
}

/// One table, there and here.
struct TableMove<A, E, N> {
    there: Elements<FlowKey<A>, E>,
    here: Elements<FlowKey<A>, N>,
    convert: fn(&E) -> N,
    /// When each direction that was copied had been seen last.
    copied: HashMap<FlowKey<A>, Tick>,
}

/// An entry of either kind of table.
trait Directed<A> {
    fn flow(&self) -> &FlowEntry<A>;
}

impl<A> Directed<A> for FlowEntry<A> {
    fn flow(&self) -> &Self {
        self
    }
}

impl<A> Directed<A> for HalfOpenEntry<A> {
    fn flow(&self) -> &FlowEntry<A> {
        &self.flow
    }
}

impl<A, L> FamilyMove<A, L>
where
    A: Copy + Eq + Hash,
    L: Earlier<A>,
    FlowKey<A>: Pod,
    FlowEntry<A>: Pod,
    HalfOpenEntry<A>: Pod,
{
    pub(super) fn open(
        earlier: &Path,
        own: &PinDirectory,
        [main, half_open]: [&'static str; 2],
    ) -> Result<Self, DataplaneError> {
        Ok(Self {
            main: TableMove::open(earlier, own, main, L::entry)?,
            half_open: TableMove::open(earlier, own, half_open, L::half_open)?,
        })
    }

    /// Copies everything. Half-open flows first: one that is validated meanwhile is in the main table before it leaves the
    /// other.
    pub(super) fn copy(&mut self) -> Result<(), DataplaneError> {
        self.half_open.copy()?;
        self.main.copy()
    }

    /// Moves what there is; true if that was nothing. In the same order, for the same reason.
    pub(super) fn pass(&mut self, moved: &mut Moved) -> Result<bool, DataplaneError> {
        let half_open = self.half_open.pass(&mut moved.half_open, &mut moved.lost)?;
        let main = self.main.pass(&mut moved.established, &mut moved.lost)?;
        Ok(half_open && main)
    }

    /// Forgets copies of flows that ended between their copy and the switch.
    pub(super) fn tidy(&mut self) -> Result<(), DataplaneError> {
        self.half_open.tidy()?;
        self.main.tidy()
    }
}

impl<A, E, N> TableMove<A, E, N>
where
    A: Copy + Eq + Hash,
    E: Pod + PartialEq,
    N: Pod + Directed<A>,
    FlowKey<A>: Pod,
{
    fn open(
        earlier: &Path,
        own: &PinDirectory,
        name: &'static str,
        convert: fn(&E) -> N,
    ) -> Result<Self, DataplaneError> {
        Ok(Self {
            there: Elements::open(&earlier.join(name), name)?,
            here: Elements::open(&own.map(name), name)?,
            convert,
            copied: HashMap::new(),
        })
    }

    fn copy(&mut self) -> Result<(), DataplaneError> {
        let Self {
            there,
            here,
            convert,
            copied,
        } = self;
        let mut outcome = Ok(());
        there.walk(|key, entry| {
            if outcome.is_ok() {
                let entry = convert(entry);
                // One for which there is no room now may have some when it is moved.
                outcome = here.put(key, &entry).map(drop);
                copied.insert(*key, entry.flow().last_seen);
            }
        })?;
        outcome
    }

    /// Moves all flows; true if there were none.
    fn pass(&mut self, moved: &mut u64, lost: &mut u64) -> Result<bool, DataplaneError> {
        let mut keys = Vec::new();
        self.there.walk(|key, _entry| keys.push(*key))?;
        for key in &keys {
            // The other direction may have brought it along.
            let Some(own) = self.there.get(key)? else {
                continue;
            };
            let flow = *(self.convert)(&own).flow();
            let other_key = FlowKey::new(flow.other, key.protocol);
            let direct = flow.flags.contains(FlowFlags::DIRECT);
            let other = if direct {
                None
            } else {
                let other = self.there.get(&other_key)?;
                // Its own other half only: the key may be another flow's.
                other.filter(|other| (self.convert)(other).flow().other == key.tuple)
            };
            // Both are here before either is gone there.
            let mut room = true;
            if let Some(other) = &other {
                room &= self.write(&other_key, other)?;
            }
            room &= self.write(key, &own)?;
            self.leave(key, &own)?;
            if let Some(other) = &other {
                self.leave(&other_key, other)?;
            }
            if room {
                *moved += 1;
            } else {
                *lost += 1;
            }
        }
        Ok(keys.is_empty())
    }

    fn write(&self, key: &FlowKey<A>, entry: &E) -> Result<bool, DataplaneError> {
        Ok(self.here.put(key, &(self.convert)(entry))? == Written::Yes)
    }

    /// From here on packets of this direction are ours. What the earlier program wrote since it was read comes along.
    fn leave(&mut self, key: &FlowKey<A>, written: &E) -> Result<(), DataplaneError> {
        self.copied.remove(key);
        match self.there.take(key)? {
            Some(last) if last != *written => self.write(key, &last).map(drop),
            Some(_) => Ok(()),
            // Over, or validated and in the other table by now.
            None => self.here.remove(key),
        }
    }

    fn tidy(&mut self) -> Result<(), DataplaneError> {
        for (key, last_seen) in self.copied.drain() {
            // A packet that came since has made it a flow of this program's own.
            let untouched = self.here.get(&key)?;
            if untouched.is_some_and(|entry| entry.flow().last_seen == last_seen) {
                self.here.remove(&key)?;
            }
        }
        Ok(())
    }
}

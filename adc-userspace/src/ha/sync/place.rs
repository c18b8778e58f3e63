//! A flow of the other node on its way into the table of this one. Pure, over a [`Store`].
//!
//! Both entries go in together, the reply entry first, as when the packet walk validates a flow; a half flow never stays.
//! What this node forwarded later than the other did is left as it is: its last packet is the judge, so flows that two
//! nodes tell each other can not take turns.

use adc_common::abi::{
    Addr4, Addr6, Addr16, FlowEntry, FlowFlags, FlowKey, ForwardingMode, Port, Tick,
};
use bytemuck::Pod;

use super::{
    names::BackendFacts,
    record::{Entries, Family, FlowRecord},
    refusal::Skip,
};
use crate::dataplane::{DataplaneError, Inserted, MainTable};

/// By how much this node's entry must be newer: entries note the time once a second, and idle times are rounded.
const NEWER: Tick = Tick::from_secs(2);

/// A main flow table.
pub trait Store<A> {
    /// An entry.
    fn get(&self, key: &FlowKey<A>) -> Result<Option<FlowEntry<A>>, DataplaneError>;
    /// Inserts unless the key is taken.
    fn insert(
        &mut self,
        key: &FlowKey<A>,
        entry: &FlowEntry<A>,
    ) -> Result<Inserted, DataplaneError>;
    /// Overwrites; false if it is gone.
    fn update(&mut self, key: &FlowKey<A>, entry: &FlowEntry<A>) -> Result<bool, DataplaneError>;
    /// Removes, if it is there.
    fn remove(&mut self, key: &FlowKey<A>) -> Result<(), DataplaneError>;
}

impl<A: Family> Store<A> for MainTable<A>
where
    FlowKey<A>: Pod,
    FlowEntry<A>: Pod,
{
    fn get(&self, key: &FlowKey<A>) -> Result<Option<FlowEntry<A>>, DataplaneError> {
        Self::get(self, key)
    }

    fn insert(
        &mut self,
        key: &FlowKey<A>,
        entry: &FlowEntry<A>,
    ) -> Result<Inserted, DataplaneError> {
        Self::insert(self, key, entry)
    }

    fn update(&mut self, key: &FlowKey<A>, entry: &FlowEntry<A>) -> Result<bool, DataplaneError> {
        Self::update(self, key, entry)
    }

    fn remove(&mut self, key: &FlowKey<A>) -> Result<(), DataplaneError> {
        Self::remove(self, key)
    }
}

/// What became of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It is new here.
    New,
    /// It was here.
    Known,
}

/// How an address stands in the tables of a family.
pub trait InTables {
    /// As an [`Addr16`], IPv4 v4-mapped.
    fn wide(self) -> Addr16;
}

impl InTables for Addr4 {
    fn wide(self) -> Addr16 {
        self.into()
    }
}

impl InTables for Addr6 {
    fn wide(self) -> Addr16 {
        Addr16(self.0)
    }
}

/// Whether the flow is one that this backend of ours could have.
pub fn fits<A: Family + InTables>(flow: &FlowRecord<A>, backend: &BackendFacts) -> bool {
    let service = &backend.name.service;
    let in_range = match service.ports() {
        Some((first, last)) => (first..=last).contains(&flow.client.dport.host()),
        None => service.port == flow.client.dport,
    };
    let mode = backend.service.mode;
    let ways = FlowFlags::DIRECT.with(FlowFlags::TUNNEL).0;
    let of_service = in_range
        && flow.protocol == service.protocol
        && flow.client.dst.wide() == service.vip
        && flow.flags.0 & ways == mode.flow_flags().0;
    if !of_service || flow.is_direct() {
        return of_service;
    }
    let port = if backend.name.port == Port([0, 0]) {
        flow.client.dport
    } else {
        backend.name.port
    };
    let crosses = flow.client.dst.wide().v4().is_some() != backend.name.address.v4().is_some();
    let to_backend = flow.server.src.wide() == backend.name.address
        && flow.server.sport == port
        && flow.flags.contains(FlowFlags::CROSSES) == crosses;
    let from = flow.server.dst.wide();
    to_backend
        && if mode == ForwardingMode::FULL_NAT {
            backend.service.snat.contains(&from)
        } else {
            from == flow.client.src.wide()
        }
}

/// Puts a flow, with the ids of this node, into its table.
///
/// # Errors
/// Why it is not there.
pub fn place<A: Family>(
    flow: &FlowRecord<A>,
    now: Tick,
    store: &mut impl Store<A>,
) -> Result<Placed, Skip> {
    let failed = |_error: DataplaneError| Skip::Failed;
    let entries = flow.entries(now);
    let seen = entries.forward.1.last_seen;
    let (key, forward) = &entries.forward;
    // Nearly every flow is new: no look before the try.
    match insert(&entries, store).map_err(failed)? {
        Inserted::Yes => return Ok(Placed::New),
        Inserted::Full => return Err(Skip::Full),
        Inserted::Exists => {}
    }
    if let Some(own) = store.get(key).map_err(failed)? {
        let same = own.other == forward.other && own.backend == forward.backend;
        if is_newer(key, &own, seen, store).map_err(failed)? {
            return Err(Skip::NewerHere);
        }
        if same && refresh(&entries, store).map_err(failed)? {
            return Ok(Placed::Known);
        }
        remove(key, &own, store).map_err(failed)?;
    }
    // The backend's side of it may be taken: by a flow that is over at the other node, if it gave the port away again.
    if let Some((reply_key, _)) = &entries.reply
        && let Some(own) = store.get(reply_key).map_err(failed)?
    {
        let is_reply = own.flags.contains(FlowFlags::REPLY);
        if !is_reply || is_newer(reply_key, &own, seen, store).map_err(failed)? {
            return Err(Skip::Conflict);
        }
        remove(reply_key, &own, store).map_err(failed)?;
    }
    match insert(&entries, store).map_err(failed)? {
        Inserted::Yes => Ok(Placed::New),
        Inserted::Exists => Err(Skip::Conflict),
        Inserted::Full => Err(Skip::Full),
    }
}

/// Both entries or none.
fn insert<A: Family>(
    entries: &Entries<A>,
    store: &mut impl Store<A>,
) -> Result<Inserted, DataplaneError> {
    if let Some((key, entry)) = &entries.reply {
        let done = store.insert(key, entry)?;
        if done != Inserted::Yes {
            return Ok(done);
        }
    }
    let (key, entry) = &entries.forward;
    let done = store.insert(key, entry)?;
    if done != Inserted::Yes
        && let Some((key, _)) = &entries.reply
    {
        store.remove(key)?;
    }
    Ok(done)
}

/// Whether a packet of the flow came by here after `seen`.
fn is_newer<A: Family>(
    key: &FlowKey<A>,
    own: &FlowEntry<A>,
    seen: Tick,
    store: &impl Store<A>,
) -> Result<bool, DataplaneError> {
    let later = |entry: &FlowEntry<A>| entry.last_seen.since(seen).0 > NEWER.0;
    if later(own) || own.flags.contains(FlowFlags::DIRECT) {
        return Ok(later(own));
    }
    let other = store.get(&FlowKey::new(own.other, key.protocol))?;
    Ok(other.is_some_and(|other| other.other == key.tuple && later(&other)))
}

/// Overwrites both entries of a flow that is here; false if one is gone.
fn refresh<A: Family>(
    entries: &Entries<A>,
    store: &mut impl Store<A>,
) -> Result<bool, DataplaneError> {
    if let Some((key, entry)) = &entries.reply {
        let own = store.get(key)?;
        let forward = entries.forward.0.tuple;
        if own.is_none_or(|own| own.other != forward) || !store.update(key, entry)? {
            return Ok(false);
        }
    }
    store.update(&entries.forward.0, &entries.forward.1)
}

/// Removes a flow by either entry: both, if they belong together.
fn remove<A: Family>(
    key: &FlowKey<A>,
    own: &FlowEntry<A>,
    store: &mut impl Store<A>,
) -> Result<(), DataplaneError> {
    store.remove(key)?;
    if own.flags.contains(FlowFlags::DIRECT) {
        return Ok(());
    }
    let other_key = FlowKey::new(own.other, key.protocol);
    if store
        .get(&other_key)?
        .is_some_and(|other| other.other == key.tuple)
    {
        store.remove(&other_key)?;
    }
    Ok(())
}

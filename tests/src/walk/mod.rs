//! The packet walk, on the host or in the kernel, behind one trait: so that one table of cases, and one
//! stream of random packets, runs through both.

mod association;
mod case;
pub mod cases;
mod contents;
mod counters;
mod direct;
mod groups;
mod host;
pub mod snat;
pub mod stories;
mod talk;
pub mod traffic;

use std::{
    collections::HashMap,
    fmt::{self, Debug},
};

use adc_common::abi::{Addr4, Addr6, FlowEntry, FlowKey, HalfOpenEntry, InterfaceId};

pub use case::{Case, Cuts};
pub use contents::{Contents, Link, TIMEOUTS};
pub use counters::{Counters, zip};
pub use direct::{ALL_ERRORS, Way};
pub use groups::Lease;
pub use host::HostWalk;
pub(crate) use host::{half_without_time, without_time};
pub use talk::{BACK, Crossing, FRONT, Family, LOCAL4, LOCAL6, PROTOCOLS, Talk, World};

/// How a frame left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// To the kernel's own stack.
    Pass,
    /// Nowhere.
    Drop,
    /// By the interface it came in by.
    Transmit,
    /// By another interface.
    Redirect,
}

/// What became of one frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Arrival {
    /// How it left.
    pub exit: Exit,
    /// Its bytes then.
    pub frame: Vec<u8>,
}

/// One place where the walk runs, with its tables.
pub trait Walk {
    /// For messages.
    fn name(&self) -> &'static str;

    /// Makes the tables hold exactly `contents`, and no flow. Counters go on.
    fn pour(&mut self, contents: &Contents);

    /// Makes the tables hold `contents`; flows stay. This is what a reload does.
    fn reload(&mut self, contents: &Contents);

    /// One frame in by `interface` (unset = one that adc is not attached to). `None` if the frame is shorter than this
    /// place can take.
    fn arrive(&mut self, frame: &[u8], interface: InterfaceId) -> Option<Arrival>;

    /// All counters so far.
    fn counters(&mut self) -> Counters;

    /// All flows, without their times.
    fn flows(&mut self) -> Flows;

    /// Lets `seconds` pass for every flow.
    fn age(&mut self, seconds: u32);

    /// Fills the main flow tables with flows of nobody, but for room for `spare` entries.
    fn fill(&mut self, spare: usize);

    /// Removes one half of every half-open flow, as the LRU may: the one that matches answers, or the other.
    fn evict(&mut self, answers: bool);
}

/// Flow tables of both families, by key, with every time set to zero.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Flows {
    /// `FLOWS4`.
    pub main4: HashMap<FlowKey<Addr4>, FlowEntry<Addr4>>,
    /// `FLOWS6`.
    pub main6: HashMap<FlowKey<Addr6>, FlowEntry<Addr6>>,
    /// `HALF_OPEN4`.
    pub half4: HashMap<FlowKey<Addr4>, HalfOpenEntry<Addr4>>,
    /// `HALF_OPEN6`.
    pub half6: HashMap<FlowKey<Addr6>, HalfOpenEntry<Addr6>>,
}

impl Flows {
    /// What stands in one of the two only, for messages.
    pub fn difference(&self, other: &Self) -> String {
        [
            one_sided(&self.main4, &other.main4),
            one_sided(&self.main6, &other.main6),
            one_sided(&self.half4, &other.half4),
            one_sided(&self.half6, &other.half6),
        ]
        .concat()
    }
}

fn one_sided<K, V>(left: &HashMap<K, V>, right: &HashMap<K, V>) -> String
where
    K: Eq + std::hash::Hash + Debug,
    V: PartialEq + Debug,
{
    let line = |key: &K| {
        let (one, other) = (left.get(key), right.get(key));
        (one != other).then(|| format!("{key:?}:\n  {one:?}\n  {other:?}\n"))
    };
    let only_right = right.keys().filter(|key| !left.contains_key(key));
    left.keys().chain(only_right).filter_map(line).collect()
}

impl Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} bytes", self.exit, self.frame.len())?;
        for line in self.frame.chunks(16) {
            write!(f, "\n   ")?;
            for byte in line {
                write!(f, " {byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl Debug for Flows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.difference(&Self::default()))
    }
}

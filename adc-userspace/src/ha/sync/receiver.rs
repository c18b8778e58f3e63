//! Fetching the other node's flows, and putting them into this node's tables.

use std::{
    collections::HashMap,
    net::TcpStream,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use adc_common::abi::{Addr4, Addr6, BackendId, InterfaceId, Tick};
use nix::poll::PollFlags;

use super::{
    Way,
    counts::{Counters, add, set},
    frame::{BATCH, Direction, Frame, Kind},
    greeting::{Greeting, HELLO, Hello, Keys},
    link::{Link, Lost, PATIENCE, stopped},
    names::{Directory, Names},
    place::{InTables, Placed, Store, fits, place},
    record::{Family, FlowRecord},
    refusal::{Refusal, Skip},
    shared::{MAX_LAG, Shared},
};
use crate::{
    dataplane::{self, MainTable},
    ha::heartbeat::packet::SyncState,
};

/// Between two tries to reach the other node.
const AGAIN: Duration = Duration::from_secs(1);

/// How long the other node may take to greet: it greets one after the other.
const WELCOME: Duration = Duration::from_secs(2);

/// Between two complaints about a node that can not be reached.
const COMPLAINT: Duration = Duration::from_mins(1);

/// The tables, and where the other node is.
pub(super) struct Receiver {
    pub(super) way: Way,
    pub(super) v4: MainTable<Addr4>,
    pub(super) v6: MainTable<Addr6>,
    pub(super) shared: Arc<Shared>,
}

impl Receiver {
    /// Until this node stops.
    pub(super) fn run(mut self) {
        let mut complained: Option<Instant> = None;
        while !self.shared.is_stopped() {
            let lost = match self.connect() {
                Ok((link, keys)) => {
                    complained = None;
                    tracing::info!(peer = %self.way.settings.peer, "sync: fetching the other node's flows");
                    self.shared
                        .counters
                        .following
                        .store(true, Ordering::Relaxed);
                    self.follow(link, keys)
                }
                Err(lost) => lost,
            };
            self.shared
                .counters
                .following
                .store(false, Ordering::Relaxed);
            self.shared.set_state(SyncState::Pulling);
            if let Lost::Refused(refusal) = lost {
                self.shared.counters.refuse(refusal);
            }
            if !matches!(lost, Lost::Stopped)
                && complained.is_none_or(|told| told.elapsed() >= COMPLAINT)
            {
                complained = Some(Instant::now());
                tracing::warn!(
                    peer = %self.way.settings.peer,
                    "sync: the other node's flows are not to be had: {lost}; trying again every second"
                );
            }
            self.pause();
        }
    }

    fn pause(&self) {
        let until = Instant::now() + AGAIN;
        while Instant::now() < until && !self.shared.is_stopped() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn connect(&self) -> Result<(Link, Keys), Lost> {
        let stop = &self.shared.stop;
        let stream: TcpStream = self.way.connect(AGAIN)?;
        let mut link = Link::new(stream)?;
        let until = Instant::now() + WELCOME;
        let hello = self.way.hello()?;
        link.send(&hello.write(), stop)?;
        let other: [u8; HELLO] = link.exactly(until, stop)?;
        let other = Hello::read(&other, self.way.life)?;
        let seal: [u8; 32] = link.exactly(until, stop)?;
        let greeting = Greeting::new(&self.way.key, &hello, &other);
        greeting.check_welcome(&seal)?;
        link.send(&greeting.proof(), stop)?;
        Ok((link, greeting.keys()))
    }

    /// Until the connection is over; why it is.
    fn follow(&mut self, link: Link, keys: Keys) -> Lost {
        let following = Following::new(link, keys, Arc::clone(&self.shared));
        following.run(&mut Tables {
            v4: &mut self.v4,
            v6: &mut self.v6,
        })
    }
}

/// What ids of the other node are here.
#[derive(Default)]
struct Ids {
    backends: HashMap<BackendId, Option<BackendId>>,
    interfaces: HashMap<InterfaceId, InterfaceId>,
}

/// Everything on its way.
struct Bulk {
    began: Instant,
    flows: u64,
}

/// Where flows go.
pub(super) struct Tables<'t, F, S> {
    pub(super) v4: &'t mut F,
    pub(super) v6: &'t mut S,
}

/// One connection.
pub(super) struct Following {
    link: Link,
    flows: Direction,
    answers: Direction,
    shared: Arc<Shared>,
    directory: Arc<Directory>,
    names: Names,
    ids: Ids,
    bulk: Option<Bulk>,
    /// Everything came once.
    whole: bool,
    /// A flow was left out that another configuration of this node might take.
    skipped: bool,
    /// Frames that the other node knows to be taken.
    answered: u64,
}

impl Following {
    /// Over a connection that both ends have agreed to.
    pub(super) fn new(link: Link, keys: Keys, shared: Arc<Shared>) -> Self {
        Self {
            link,
            flows: keys.flows,
            answers: keys.answers,
            directory: shared.directory(),
            shared,
            names: Names::default(),
            ids: Ids::default(),
            bulk: None,
            whole: false,
            skipped: false,
            answered: 0,
        }
    }

    /// Until the connection is over; why it is.
    pub(super) fn run(
        mut self,
        tables: &mut Tables<'_, impl Store<Addr4>, impl Store<Addr6>>,
    ) -> Lost {
        loop {
            match self.turn(tables) {
                Ok(()) => {}
                Err(lost) => return lost,
            }
        }
    }

    /// Takes what comes next.
    fn turn(
        &mut self,
        tables: &mut Tables<'_, impl Store<Addr4>, impl Store<Addr6>>,
    ) -> Result<(), Lost> {
        let since = Instant::now();
        loop {
            self.follow_directory()?;
            let before = self.flows.count();
            while self.one(tables)? {}
            if self.flows.count() > before {
                return self.answer();
            }
            stopped(&self.shared.stop)?;
            if since.elapsed() >= PATIENCE {
                return Err(Refusal::Silent.into());
            }
            if self.link.wait(PollFlags::POLLIN, 100)? {
                self.link.fill()?;
            }
        }
    }

    /// Takes a frame, if one has come.
    fn one(
        &mut self,
        tables: &mut Tables<'_, impl Store<Addr4>, impl Store<Addr6>>,
    ) -> Result<bool, Lost> {
        let Some(frame) = self.link.frame(&mut self.flows)? else {
            return Ok(false);
        };
        let Frame {
            kind,
            number,
            payload,
        } = frame;
        let counters = &self.shared.counters;
        let known = (&*self.directory, &self.names);
        match kind {
            Kind::Names => {
                if !self.names.read(payload) {
                    return Err(Refusal::Contents.into());
                }
                self.ids = Ids::default();
            }
            Kind::Flows4 => {
                let taken = take(payload, tables.v4, known, &mut self.ids, counters)?;
                self.note(taken);
            }
            Kind::Flows6 => {
                let taken = take(payload, tables.v6, known, &mut self.ids, counters)?;
                self.note(taken);
            }
            Kind::BulkBegins => {
                self.bulk = Some(Bulk {
                    began: Instant::now(),
                    flows: 0,
                });
                self.whole = false;
                self.shared.set_state(SyncState::Pulling);
            }
            Kind::BulkEnds => self.end_bulk()?,
            Kind::Idle => {}
            Kind::Taken | Kind::Again => return Err(Refusal::Contents.into()),
        }
        if self.whole {
            let late = Duration::from_millis(number) > MAX_LAG;
            self.shared.set_state(if late {
                SyncState::Pulling
            } else {
                SyncState::InSync
            });
        }
        Ok(true)
    }

    fn note(&mut self, taken: Taken) {
        self.skipped |= taken.unknown;
        if let Some(bulk) = &mut self.bulk {
            bulk.flows += taken.flows;
        }
    }

    fn end_bulk(&mut self) -> Result<(), Refusal> {
        let bulk = self.bulk.take().ok_or(Refusal::Contents)?;
        let counters = &self.shared.counters;
        let took = bulk.began.elapsed();
        set(&counters.pulled_flows, bulk.flows);
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        set(&counters.pulled_millis, millis);
        add(&counters.pulls, 1);
        self.whole = true;
        tracing::info!(
            flows = bulk.flows,
            ?took,
            "sync: this node has the other's flows"
        );
        Ok(())
    }

    /// Says how many frames were taken.
    fn answer(&mut self) -> Result<(), Lost> {
        let count = self.flows.count();
        if count == self.answered {
            return Ok(());
        }
        self.answered = count;
        self.say(Kind::Taken, count)
    }

    fn say(&mut self, kind: Kind, number: u64) -> Result<(), Lost> {
        let mut bytes = Vec::new();
        let payload = &[];
        self.answers.seal(
            &Frame {
                kind,
                number,
                payload,
            },
            &mut bytes,
        );
        self.link.send(&bytes, &self.shared.stop)
    }

    /// Takes note of services and backends that changed; asks for everything if flows of them were left out.
    fn follow_directory(&mut self) -> Result<(), Lost> {
        let now = self.shared.directory();
        if Arc::ptr_eq(&now, &self.directory) {
            return Ok(());
        }
        self.directory = now;
        self.ids = Ids::default();
        if std::mem::take(&mut self.skipped) {
            self.say(Kind::Again, 0)?;
        }
        Ok(())
    }
}

/// What became of a frame of flows.
#[derive(Clone, Copy)]
struct Taken {
    flows: u64,
    /// One was of a backend that this node does not have.
    unknown: bool,
}

/// Puts the flows of a frame into their table.
fn take<A: Family + InTables>(
    payload: &[u8],
    table: &mut impl Store<A>,
    (directory, names): (&Directory, &Names),
    ids: &mut Ids,
    counters: &Counters,
) -> Result<Taken, Refusal> {
    let records = payload.chunks_exact(A::RECORD);
    if !records.remainder().is_empty() || records.len() > BATCH {
        return Err(Refusal::Contents);
    }
    let now = dataplane::now();
    let mut taken = Taken {
        flows: records.len() as u64,
        unknown: false,
    };
    add(&counters.received, taken.flows);
    for record in records {
        let flow = FlowRecord::<A>::read(record).ok_or(Refusal::Contents)?;
        match take_one(flow, now, table, (directory, names), ids) {
            Ok(Placed::New) => add(&counters.inserted, 1),
            Ok(Placed::Known) => {}
            Err(skip) => {
                taken.unknown |= matches!(skip, Skip::UnknownBackend | Skip::Unfit);
                counters.skip(skip);
            }
        }
    }
    Ok(taken)
}

fn take_one<A: Family + InTables>(
    mut flow: FlowRecord<A>,
    now: Tick,
    table: &mut impl Store<A>,
    (directory, names): (&Directory, &Names),
    ids: &mut Ids,
) -> Result<Placed, Skip> {
    let own = ids.backends.entry(flow.backend).or_insert_with(|| {
        let name = names.backends.get(&flow.backend)?;
        directory.backend_named(name)
    });
    let own = own.ok_or(Skip::UnknownBackend)?;
    let backend = directory.backend(own).ok_or(Skip::UnknownBackend)?;
    if !fits(&flow, backend) {
        return Err(Skip::Unfit);
    }
    flow.backend = own;
    // Without an interface of that name the flow has no way back until its client is heard, whose packets bring it.
    let known = ids.interfaces.entry(flow.hop.interface);
    flow.hop.interface = *known.or_insert_with(|| {
        let name = names.interfaces.get(&flow.hop.interface);
        let own = name.and_then(|name| directory.interface_named(name));
        own.unwrap_or_default()
    });
    place(&flow, now, table)
}

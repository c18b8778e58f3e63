//! What goes out on a connection, and what the other node says of it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use adc_common::abi::{FlowEntry, FlowKey, Tick};
use nix::poll::PollFlags;

use super::{
    super::{
        counts::{add, set},
        frame::{Frame, Kind, MAX_PAYLOAD},
        link::{self, Lost, stopped},
        names::Names,
        record::{Family, FlowRecord},
        refusal::Refusal,
    },
    Fault, Telling, WINDOW,
};
use crate::dataplane;

/// Flows of one family on their way into a frame.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) flows: usize,
    /// When the oldest of them was news.
    pub(super) oldest: Option<Tick>,
}

/// A frame that was not taken yet.
pub(super) struct Outstanding {
    pub(super) count: u64,
    pub(super) flows: u64,
    pub(super) sent: Instant,
    pub(super) age: Duration,
}

impl Telling {
    /// Puts a flow into its batch, and the name of its backend before it.
    pub(super) fn put<A: Family>(
        &mut self,
        key: &FlowKey<A>,
        entry: &FlowEntry<A>,
        now: Tick,
        batch: &impl Fn(&mut Self) -> &mut Batch,
    ) -> Result<(), Fault> {
        if !self.told.contains_key(&entry.backend) {
            let Some(backend) = self.directory.backend(entry.backend) else {
                add(&self.shared.counters.unnamed, 1);
                return Ok(());
            };
            Names::write_backend(entry.backend, &backend.name, &mut self.names);
            self.told.insert(entry.backend, backend.name);
            if self.names.len() > MAX_PAYLOAD / 2 {
                self.flush()?;
            }
        }
        let batch = batch(self);
        FlowRecord::of(key, entry, now).write(&mut batch.bytes);
        batch.flows += 1;
        Ok(())
    }

    /// Sends what has gathered, names first.
    pub(super) fn flush(&mut self) -> Result<(), Fault> {
        if !self.names.is_empty() {
            self.send(Kind::Names, 0, Payload::Names)?;
        }
        for (kind, payload) in [
            (Kind::Flows4, Payload::Flows4),
            (Kind::Flows6, Payload::Flows6),
        ] {
            let batch = match payload {
                Payload::Flows6 => &self.v6,
                Payload::Flows4 | Payload::Names | Payload::Nothing => &self.v4,
            };
            if batch.flows > 0 {
                let age = batch.oldest.map_or(0, |oldest| {
                    dataplane::now().since(oldest).nanos() / 1_000_000
                });
                self.send(kind, age, payload)?;
            }
        }
        Ok(())
    }

    /// One frame.
    pub(super) fn send(&mut self, kind: Kind, number: u64, payload: Payload) -> Result<(), Fault> {
        while self.outstanding.len() >= WINDOW {
            self.wait_for_answer()?;
        }
        let (bytes, flows) = match payload {
            Payload::Nothing => (&[][..], 0),
            Payload::Names => (&self.names[..], 0),
            Payload::Flows4 => (&self.v4.bytes[..], self.v4.flows),
            Payload::Flows6 => (&self.v6.bytes[..], self.v6.flows),
        };
        let frame = Frame {
            kind,
            number,
            payload: bytes,
        };
        self.frame.clear();
        self.flows.seal(&frame, &mut self.frame);
        match payload {
            Payload::Nothing => {}
            Payload::Names => self.names.clear(),
            Payload::Flows4 => self.v4.clear(),
            Payload::Flows6 => self.v6.clear(),
        }
        let sent = Instant::now();
        self.link.send(&self.frame, &self.shared.stop)?;
        self.sent = sent;
        let flows = flows as u64;
        add(&self.shared.counters.sent, flows);
        add(&self.shared.counters.waiting, flows);
        self.outstanding.push_back(Outstanding {
            count: self.flows.count(),
            flows,
            sent,
            age: Duration::from_millis(number),
        });
        Ok(())
    }

    /// Waits until the other node has taken something.
    pub(super) fn wait_for_answer(&mut self) -> Result<(), Fault> {
        let since = Instant::now();
        let before = self.outstanding.len();
        while self.outstanding.len() >= before {
            if since.elapsed() >= link::PATIENCE {
                return Err(Lost::from(Refusal::Stalled).into());
            }
            stopped(&self.shared.stop).map_err(Fault::Lost)?;
            self.link.wait(PollFlags::POLLIN, 100)?;
            self.hear()?;
        }
        Ok(())
    }

    /// Takes in what the other node says.
    pub(super) fn hear(&mut self) -> Result<(), Fault> {
        self.link.fill()?;
        while let Some(frame) = self.link.frame(&mut self.answers).map_err(Lost::from)? {
            match frame.kind {
                Kind::Taken => {
                    let count = frame.number;
                    while self.outstanding.front().is_some_and(|o| o.count <= count) {
                        let Some(taken) = self.outstanding.pop_front() else {
                            break;
                        };
                        let counters = &self.shared.counters;
                        counters.waiting.fetch_sub(taken.flows, Ordering::Relaxed);
                        let lag = taken.sent.elapsed() + taken.age;
                        let millis = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
                        set(&counters.lag_millis, millis);
                    }
                }
                Kind::Again => self.again = true,
                Kind::Names
                | Kind::Flows4
                | Kind::Flows6
                | Kind::BulkBegins
                | Kind::BulkEnds
                | Kind::Idle => return Err(Lost::from(Refusal::Contents).into()),
            }
        }
        let silent = self.outstanding.front();
        if silent.is_some_and(|oldest| oldest.sent.elapsed() >= link::PATIENCE * 2) {
            return Err(Lost::from(Refusal::Silent).into());
        }
        Ok(())
    }

    /// Takes note of backends and interfaces that changed.
    pub(super) fn follow_directory(&mut self) -> Result<(), Fault> {
        let now = self.shared.directory();
        if Arc::ptr_eq(&now, &self.directory) {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.directory, now);
        // Flows of a VIP that this node has only now were left out so far.
        self.again |= self.directory.carries_more_than(&before);
        let directory = &self.directory;
        self.told.retain(|id, name| {
            let known = directory.backend(*id);
            known.is_some_and(|backend| backend.name == *name)
        });
        if before.interfaces().eq(directory.interfaces()) {
            return Ok(());
        }
        self.name_interfaces()
    }

    pub(super) fn name_interfaces(&mut self) -> Result<(), Fault> {
        let directory = Arc::clone(&self.directory);
        for (id, name) in directory.interfaces() {
            Names::write_interface(id, name, &mut self.names);
        }
        self.flush()
    }
}

/// What goes into a frame.
#[derive(Clone, Copy)]
pub(super) enum Payload {
    Nothing,
    Names,
    Flows4,
    Flows6,
}

impl Batch {
    fn clear(&mut self) {
        self.bytes.clear();
        self.flows = 0;
        self.oldest = None;
    }
}

/// Notes when news was made.
pub(super) fn note_age(batch: &mut Batch, seen: Tick, now: Tick) {
    let older = batch
        .oldest
        .is_none_or(|oldest| now.since(seen).0 > now.since(oldest).0);
    if older {
        batch.oldest = Some(seen);
    }
}

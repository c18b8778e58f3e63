//! Sessions as another program can go on with them: the keeper's process becomes a newer one and the peer does not notice.
//!
//! Times are nanoseconds from a base that both know.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    packet::{Diagnostic, State},
    refusal::Refusal,
    session::{Remote, Session},
    speaker::{Counts, Entry, Speaker},
    verdict::Verdict,
    wanted::Path,
};
use crate::{api::proto::Timestamp, model::BfdTiming};

/// A session, and what was told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSession {
    path: Path,
    name: String,
    port: u16,
    discriminator: NonZeroU32,
    timing: BfdTiming,
    passive: bool,
    state: State,
    diagnostic: Diagnostic,
    verdict: Verdict,
    remote: Remote,
    tx: Duration,
    rx: Duration,
    polling: bool,
    next: Option<i64>,
    expires: Option<i64>,
    first: Option<i64>,
    leaves: Option<i64>,
    since: Timestamp,
    why: String,
    local: Option<IpAddr>,
    sent: u64,
    not_sent: u64,
    received: u64,
    transitions: u64,
    refused: BTreeMap<String, u64>,
}

impl Speaker {
    /// Every session, with its times relative to `base`.
    pub fn save(&self, base: Instant) -> Vec<SavedSession> {
        let entries = self.entries.iter();
        entries
            .map(|(path, entry)| entry.save(path.clone(), base))
            .collect()
    }

    /// Goes on with what another program knew.
    pub fn restore(&mut self, now: Instant, base: Instant, saved: Vec<SavedSession>) {
        for saved in saved {
            let path = saved.path.clone();
            let mut entry = saved.restored(base, self.random.u64(..));
            // Nobody listened in between, so nothing is known of the peer for that time.
            let session = &mut entry.session;
            let listened = now + session.detection_time();
            session.expires = session.expires.map(|expires| expires.max(listened));
            self.entries.insert(path, entry);
        }
        self.changed = true;
    }
}

impl Entry {
    fn save(&self, path: Path, base: Instant) -> SavedSession {
        let session = &self.session;
        let at = |time: Option<Instant>| time.map(|time| nanos(base, time));
        let refused = self.counts.refused.iter();
        let refused = refused.map(|(refusal, count)| (refusal.name().to_owned(), *count));
        SavedSession {
            path,
            name: self.name.clone(),
            port: self.port,
            discriminator: session.local,
            timing: session.timing,
            passive: session.passive,
            state: session.state,
            diagnostic: session.diagnostic,
            verdict: session.verdict,
            remote: session.remote,
            tx: session.tx,
            rx: session.rx,
            polling: session.polling,
            next: at(session.next),
            expires: at(session.expires),
            first: at(session.first),
            leaves: at(session.leaves),
            since: Timestamp(self.since),
            why: self.why.clone(),
            local: self.local,
            sent: self.counts.sent,
            not_sent: self.counts.failed,
            received: self.counts.received,
            transitions: self.counts.transitions,
            refused: refused.collect(),
        }
    }
}

impl SavedSession {
    fn restored(self, base: Instant, seed: u64) -> Entry {
        let at = |nanos: Option<i64>| nanos.map(|nanos| instant(base, nanos));
        let began = Session::new(base, self.discriminator, self.timing, self.passive, seed);
        let session = Session {
            state: self.state,
            diagnostic: self.diagnostic,
            verdict: self.verdict,
            remote: self.remote,
            tx: self.tx,
            rx: self.rx,
            polling: self.polling,
            next: at(self.next),
            expires: at(self.expires),
            first: at(self.first),
            leaves: at(self.leaves),
            ..began
        };
        let refused = Refusal::ALL.into_iter();
        let refused =
            refused.filter_map(|refusal| Some((refusal, *self.refused.get(refusal.name())?)));
        let Timestamp(since) = self.since;
        Entry {
            name: self.name,
            session,
            port: self.port,
            since,
            why: self.why,
            local: self.local,
            trouble: None,
            counts: Counts {
                sent: self.sent,
                failed: self.not_sent,
                received: self.received,
                transitions: self.transitions,
                refused: refused.collect(),
            },
        }
    }
}

fn nanos(base: Instant, time: Instant) -> i64 {
    let count = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    match time.checked_duration_since(base) {
        Some(after) => count(after),
        None => -count(base.saturating_duration_since(time)),
    }
}

fn instant(base: Instant, nanos: i64) -> Instant {
    let distance = Duration::from_nanos(nanos.unsigned_abs());
    let time = if nanos < 0 {
        base.checked_sub(distance)
    } else {
        base.checked_add(distance)
    };
    time.unwrap_or(base)
}

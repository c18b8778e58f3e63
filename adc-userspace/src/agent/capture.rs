//! A capture: the program swapped in, its records on their way to whoever asked, the program swapped out.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use adc_common::abi::CaptureRecord;
use anyhow::{Context as _, Result};
use hyper::body::Bytes;
use nix::time::{ClockId, clock_gettime};
use tokio::{
    io::unix::AsyncFd,
    sync::{Mutex, mpsc, watch},
    time::{Instant, sleep_until},
};

use super::state::Agent;
use crate::{
    api::proto::{ApiError, CaptureFilter, CaptureRequest, ErrorCode, FilterTerm, sentence},
    capture::{BackendLabel, CaptureFile, Choice, Labels, setup},
    dataplane::CaptureReader,
    plan::key_of,
};

/// Pieces of the file that wait for a slow reader. When they are full, the ring fills, and then records are lost.
const PIECES: usize = 16;

/// A piece is sent when it has this many bytes, or when there is nothing more to read.
const PIECE: usize = 64 << 10;

/// Records looked at before others get the thread.
const RECORDS_AT_ONCE: usize = 1024;

/// How long a reader may take for what was captured before the end.
const LAST_PIECES: Duration = Duration::from_secs(10);

/// Why most captures end that are ended by hand.
const GONE: &str = "whoever asked for it has gone";

/// What runs beside the agent for as long as a capture does.
struct Running {
    reader: AsyncFd<CaptureReader>,
    choice: Choice,
    labels: Labels,
    file: CaptureFile,
    /// From `CLOCK_MONOTONIC` to the time since 1970.
    epoch: Duration,
    frames: u64,
    bytes: u64,
    request: CaptureRequest,
}

/// Swaps the program in and begins to read. The file comes out of the channel; who drops it ends the capture.
pub(super) async fn begin(
    agent: Arc<Mutex<Agent>>,
    request: CaptureRequest,
    stopped: watch::Receiver<bool>,
) -> Result<mpsc::Receiver<Bytes>, ApiError> {
    let running = {
        let mut agent = agent.lock().await;
        tokio::task::block_in_place(|| agent.begin_capture(request))?
    };
    let (pieces, file) = mpsc::channel(PIECES);
    tokio::spawn(running.run(agent, pieces, stopped));
    Ok(file)
}

impl Agent {
    fn begin_capture(&mut self, request: CaptureRequest) -> Result<Running, ApiError> {
        self.check_capture(&request)?;
        let labels = self.labels();
        let names = labels.interfaces.iter().map(|(_, _, name)| name.as_str());
        let file = CaptureFile::begin(names, request.snaplen, &self.config.node.name);
        let failed = |error: &(dyn std::error::Error + 'static)| {
            ApiError::new(ErrorCode::Internal, sentence(error))
        };
        let file = file.map_err(|error| failed(&error))?;
        let epoch = since_boot().map_err(|error| failed(error.as_ref()))?;
        let limits = self.config.dataplane.limits;
        let reader = self.dataplane.begin_capture(setup(&request), &limits);
        let reader = reader.map_err(|error| failed(&error))?;
        // SAFETY: the descriptor is that of a map that the reader owns until it is dropped, and always the same one.
        let registered = unsafe { AsyncFd::register(reader) };
        let reader = match registered {
            Ok(reader) => reader,
            Err(error) => {
                self.end_capture();
                let (_reader, error) = error.into_parts();
                return Err(failed(&error));
            }
        };
        Ok(Running {
            reader,
            choice: Choice::new(request.filter.clone()),
            labels,
            file,
            epoch,
            frames: 0,
            bytes: 0,
            request,
        })
    }

    fn check_capture(&self, request: &CaptureRequest) -> Result<(), ApiError> {
        if self.stopping {
            let what = "the agent is stopping: nothing can be captured any more";
            return Err(ApiError::new(ErrorCode::Unavailable, what));
        }
        if self.dataplane.is_capturing() {
            let what = "somebody captures already: one capture runs at a time; wait until it ends";
            return Err(ApiError::new(ErrorCode::Conflict, what));
        }
        let within = |what: &str, value: u64, most: u64| {
            if value == 0 || value > most {
                let what = format!("{what} {value}: choose 1 to {most}");
                return Err(ApiError::new(ErrorCode::InvalidRequest, what));
            }
            Ok(())
        };
        within("count", request.count, CaptureRequest::MAX_COUNT)?;
        within("seconds", request.seconds, CaptureRequest::MAX_SECONDS)?;
        within("max_bytes", request.max_bytes, CaptureRequest::MAX_BYTES)?;
        let longest = u64::from(adc_common::abi::MAX_SNAPLEN);
        within("snaplen", u64::from(request.snaplen), longest)?;
        self.check_names(&request.filter)
    }

    /// A name that nothing has would match nothing, for ever.
    fn check_names(&self, CaptureFilter(terms): &CaptureFilter) -> Result<(), ApiError> {
        for term in terms {
            if let FilterTerm::Service(name) = term
                && !self.config.services.contains_key(name)
            {
                return Err(ApiError::not_found(format!(
                    "there is no service `{name}`; `adc service list` shows all"
                )));
            }
            if let FilterTerm::Backend(name) = term {
                let mut pools = self.config.pools.values();
                if !pools.any(|pool| pool.backends.contains_key(name)) {
                    return Err(ApiError::not_found(format!(
                        "no pool has a backend `{name}`; `adc backend list` shows all"
                    )));
                }
            }
        }
        Ok(())
    }

    fn labels(&self) -> Labels {
        let observed = self.dataplane.tables.observed();
        let services = self.config.services.iter();
        let named = services.clone().filter_map(|(name, service)| {
            let id = observed.index.get(&key_of(service))?;
            Some((*id, name.clone()))
        });
        let names = self.names();
        let backends = observed.backends.iter().map(|(id, entry)| {
            let known = names.get(id).cloned().unwrap_or_default();
            let label = BackendLabel {
                service: entry.service,
                pool: known.pool,
                name: known.backend,
            };
            (*id, label)
        });
        let interfaces = self.interfaces.iter().filter_map(|(name, interface)| {
            let index = interface.facts.as_ref()?.ifindex;
            Some((index, interface.id, name.clone()))
        });
        Labels {
            services: named.collect(),
            index: observed.index.iter().map(|(key, id)| (*key, *id)).collect(),
            vips: services
                .map(|(_, service)| service.vip)
                .collect::<BTreeSet<_>>(),
            backends: backends.collect(),
            interfaces: interfaces.collect(),
        }
    }

    /// Swaps the normal program in again.
    fn end_capture(&mut self) {
        if let Err(error) = self.dataplane.end_capture() {
            // The program that captures does all that the normal one does.
            tracing::error!(
                "ending a capture: {error}; the next start of the agent swaps the program"
            );
        }
    }
}

/// What to add to `CLOCK_MONOTONIC` to get the time since 1970.
fn since_boot() -> Result<Duration> {
    let boot = clock_gettime(ClockId::CLOCK_MONOTONIC).context("reading CLOCK_MONOTONIC")?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.context("this node's clock shows a time before 1970")?;
    Ok(now.saturating_sub(Duration::from(boot)))
}

impl Running {
    async fn run(
        mut self,
        agent: Arc<Mutex<Agent>>,
        pieces: mpsc::Sender<Bytes>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let deadline = Instant::now() + Duration::from_secs(self.request.seconds);
        let ended = async {
            tokio::select! {
                () = pieces.closed() => GONE,
                () = sleep_until(deadline) => "its time was up",
                _ = stopped.wait_for(|stop| *stop) => "the agent stops",
            }
        };
        let why = {
            let read = self.read(&pieces);
            tokio::select! {
                why = ended => why,
                why = read => why,
            }
        };
        {
            let mut agent = agent.lock().await;
            tokio::task::block_in_place(|| agent.end_capture());
        }
        tracing::info!(
            frames = self.frames,
            bytes = self.bytes,
            "a capture ended: {why}"
        );
        // A reader that does not read gets no more time: its connection ends, and the file with it.
        let finished = tokio::time::timeout(LAST_PIECES, self.finish(&pieces, why)).await;
        if finished.is_err() {
            tracing::warn!("a capture's reader did not take the end of the file");
        }
    }

    /// Reads until there is enough, and says what was enough.
    async fn read(&mut self, pieces: &mpsc::Sender<Bytes>) -> &'static str {
        loop {
            // The head of the file at once: a reader sees that the capture runs.
            if self.file.waiting() > 0 && pieces.send(self.file.take().into()).await.is_err() {
                return GONE;
            }
            if let Some(why) = self.enough() {
                return why;
            }
            if self.take_records() || self.file.waiting() > 0 {
                // Others want the thread too.
                tokio::task::yield_now().await;
                continue;
            }
            match self.reader.readable_mut().await {
                Ok(mut ready) => ready.clear_ready(),
                Err(error) => {
                    tracing::error!("reading captured packets: {error}");
                    return "its ring can not be read any more";
                }
            }
        }
    }

    fn enough(&self) -> Option<&'static str> {
        if self.frames >= self.request.count {
            return Some("it has as many frames as were asked for");
        }
        (self.bytes >= self.request.max_bytes).then_some("it is as large as was allowed")
    }

    /// Takes some records. Whether there may be more.
    fn take_records(&mut self) -> bool {
        for _ in 0..RECORDS_AT_ONCE {
            if self.enough().is_some() || self.file.waiting() >= PIECE {
                return true;
            }
            let Self {
                reader,
                choice,
                labels,
                file,
                epoch,
                frames,
                bytes,
                ..
            } = self;
            let visit = |record: &CaptureRecord, frame: &[u8]| {
                let frame = frame.get(..record.captured as usize).unwrap_or(frame);
                let seen = labels.sight(record, frame);
                if !choice.wants(&seen, &labels.vips) {
                    return;
                }
                let Some(place) = labels.place(record) else {
                    return;
                };
                let time = *epoch + Duration::from_nanos(record.time);
                let waiting = file.waiting();
                if file
                    .frame(place, time, record.length, frame, seen.comment())
                    .is_ok()
                {
                    *frames += 1;
                    *bytes += (file.waiting() - waiting) as u64;
                }
            };
            if reader.get_mut().next(visit).is_none() {
                return false;
            }
        }
        true
    }

    /// What is left in the ring, if it is still wanted, and the last block.
    async fn finish(mut self, pieces: &mpsc::Sender<Bytes>, why: &str) {
        while self.enough().is_none() && self.take_records() {
            if pieces.send(self.file.take().into()).await.is_err() {
                return;
            }
        }
        let counters = self.reader.get_ref().counters().unwrap_or_default();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let comment = format!("ended because {why}");
        let ended = (self.file).end(now.unwrap_or_default(), counters.lost, comment);
        if ended.is_ok() {
            // Nobody may be there any more.
            pieces.send(self.file.take().into()).await.ok();
        }
    }
}

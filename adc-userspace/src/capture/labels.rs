//! Names for what a record holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use adc_common::abi::{
    BackendId, CaptureBits, CaptureRecord, CaptureVerdict, InterfaceId, Port, Protocol, Reason,
    ServiceId, ServiceKey,
};

use crate::{
    explain,
    model::{BackendName, PoolName, ServiceName},
    plan,
};

/// What people call a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendLabel {
    /// The service it belongs to.
    pub service: ServiceId,
    /// Its pool, unless it was removed.
    pub pool: Option<PoolName>,
    /// Its name.
    pub name: Option<BackendName>,
}

/// Names as they were when the capture began.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// Services.
    pub services: BTreeMap<ServiceId, ServiceName>,
    /// Services by address, for packets that came to no backend.
    pub index: BTreeMap<ServiceKey, ServiceId>,
    /// Every VIP.
    pub vips: BTreeSet<IpAddr>,
    /// Backends, removed ones whose flows live on included.
    pub backends: BTreeMap<BackendId, BackendLabel>,
    /// Attached interfaces: kernel index, id, name. Their place here is their number in the file.
    pub interfaces: Vec<(u32, InterfaceId, String)>,
}

/// A record, and what it says.
#[derive(Clone, Debug)]
pub struct Sighting<'a> {
    /// The record.
    pub record: &'a CaptureRecord,
    /// The frame.
    pub frame: &'a [u8],
    /// Source, destination and IP protocol.
    pub tuple: Option<(SocketAddr, SocketAddr, u8)>,
    /// Its reason.
    pub reason: Option<Reason>,
    /// Its service.
    pub service: Option<&'a ServiceName>,
    /// Its backend.
    pub backend: Option<&'a BackendLabel>,
}

impl Labels {
    /// What a record says.
    pub fn sight<'a>(&'a self, record: &'a CaptureRecord, frame: &'a [u8]) -> Sighting<'a> {
        let tuple = explain::tuple_of(frame);
        let backend = self.backends.get(&record.backend);
        let service = match backend {
            Some(backend) => Some(backend.service),
            None => tuple.and_then(|(_, to, protocol)| self.service_at(to, Protocol(protocol))),
        };
        let index = usize::try_from(record.reason).unwrap_or(usize::MAX);
        Sighting {
            record,
            frame,
            tuple,
            reason: Reason::ALL.get(index).copied(),
            service: service.and_then(|id| self.services.get(&id)),
            backend,
        }
    }

    /// The service of an address and port, as the packet walk finds it.
    fn service_at(&self, to: SocketAddr, protocol: Protocol) -> Option<ServiceId> {
        let key = ServiceKey::new(to.ip().into(), Port::new(to.port()), protocol);
        if let Some(id) = self.index.get(&key) {
            return Some(*id);
        }
        let has_it = |range: &&ServiceKey| {
            let ports = range.ports();
            range.protocol == protocol
                && ports.is_some_and(|(first, last)| (first..=last).contains(&to.port()))
        };
        // Ranges of one VIP do not overlap; any port is behind them all.
        let ranges = plan::ranges_of(&self.index, key.vip).filter(has_it);
        let narrowest = ranges.min_by_key(|range| range.ports().map(|(first, last)| last - first));
        narrowest.and_then(|range| self.index.get(range)).copied()
    }

    /// Number in the file of the interface that a frame was on, and whether it was leaving.
    pub fn place(&self, record: &CaptureRecord) -> Option<(u32, bool)> {
        let leaving = record.shows.contains(CaptureBits::LEFT);
        let is_it = |(index, id, _): &(u32, InterfaceId, String)| {
            if leaving && record.egress != InterfaceId(0) {
                *id == record.egress
            } else {
                *index == record.ifindex
            }
        };
        let place = self.interfaces.iter().position(is_it)?;
        Some((u32::try_from(place).ok()?, leaving))
    }
}

impl Sighting<'_> {
    /// The packet comment: `verdict=transmit reason=scheduled_new_flow service=www backend=web/web1`.
    pub fn comment(&self) -> String {
        let stage = if self.record.shows.contains(CaptureBits::LEFT) {
            "stage=left "
        } else {
            ""
        };
        let reason = self.reason.map_or("unknown", Reason::name);
        let service = self.service.map_or("-", ServiceName::as_str);
        let backend = match self.backend {
            Some(BackendLabel {
                pool: Some(pool),
                name: Some(name),
                ..
            }) => format!("{pool}/{name}"),
            Some(_) => "removed".into(),
            None if self.record.backend != BackendId(0) => "unknown".into(),
            None => "-".into(),
        };
        let verdict = verdict(self.record.verdict);
        format!("{stage}verdict={verdict} reason={reason} service={service} backend={backend}")
    }
}

const fn verdict(verdict: CaptureVerdict) -> &'static str {
    match verdict {
        CaptureVerdict::DROP => "drop",
        CaptureVerdict::PASS => "pass",
        CaptureVerdict::TRANSMIT => "transmit",
        CaptureVerdict::REDIRECT => "redirect",
        CaptureVerdict(_) => "unknown",
    }
}

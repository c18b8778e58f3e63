//! What the tables already know of a described packet, so that what was left out can be filled in.

use std::net::{IpAddr, SocketAddr};

use adc_common::abi::{
    Addr4, Addr6, Addr16, FlowEntry, FlowKey, HalfOpenEntry, Port, Protocol, Tuple,
};

use super::{
    source::{FlowSource, Source},
    steps::FlowFacts,
};
use crate::dataplane::DataplaneError;

/// The flow that a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its entry for packets like this.
    pub flow: FlowFacts,
    /// Of a handshake: initial sequence numbers of this direction's sender and of the other's.
    pub initial: Option<[u32; 2]>,
}

/// The flow of packets from `source` to `destination`, in either table and either direction.
///
/// # Errors
/// A live table could not be read.
pub fn known(
    tables: &impl Source,
    protocol: Protocol,
    source: SocketAddr,
    destination: SocketAddr,
) -> Result<Option<Known>, DataplaneError> {
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let (from, to) = (Addr4(from.octets()), Addr4(to.octets()));
            let found = find(tables, key(from, to, source, destination, protocol))?;
            if found.is_some() {
                return Ok(found);
            }
            // The IPv4 side of a NAT64 flow is in the IPv6 table, mapped.
            let mapped = |address: Addr4| Addr6(Addr16::from(address).0);
            let (from, to) = (mapped(from), mapped(to));
            find(tables, key(from, to, source, destination, protocol))
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let (from, to) = (Addr6(from.octets()), Addr6(to.octets()));
            find(tables, key(from, to, source, destination, protocol))
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Ok(None),
    }
}

fn key<A>(
    from: A,
    to: A,
    source: SocketAddr,
    destination: SocketAddr,
    protocol: Protocol,
) -> FlowKey<A> {
    let tuple = Tuple {
        src: from,
        dst: to,
        sport: Port::new(source.port()),
        dport: Port::new(destination.port()),
    };
    FlowKey::new(tuple, protocol)
}

fn find<A: Copy + Into<Addr16>>(
    tables: &impl FlowSource<A>,
    key: FlowKey<A>,
) -> Result<Option<Known>, DataplaneError> {
    let entry: Option<FlowEntry<A>> = tables.flow(&key)?;
    if let Some(entry) = entry {
        let flow = FlowFacts::of(&entry);
        return Ok(Some(Known {
            flow,
            initial: None,
        }));
    }
    let own: Option<HalfOpenEntry<A>> = tables.half_open(&key)?;
    let Some(own) = own else {
        return Ok(None);
    };
    let other = tables.half_open(&FlowKey::new(own.flow.other, key.protocol))?;
    Ok(Some(Known {
        flow: FlowFacts::of_half_open(&own),
        initial: other.map(|other| [own.initial_seq, other.initial_seq]),
    }))
}

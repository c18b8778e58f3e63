//! The packet as it would come in: what was given, and what had to be assumed.

use adc_common::abi::{Addr16, BackendFlags, Hop, InterfaceId, Mac, Port, VlanId};

use super::{super::state::Agent, padded, refused};
use crate::{
    api::proto::{ApiError, PacketTuple, RecordedFrame, TcpFlags},
    explain::{Envelope, Known, Transport, frame},
    model::TransportProtocol,
};

/// Longest frame that is explained: what one XDP buffer can hold is less.
const MAX_FRAME: usize = 16 << 10;

/// Sender of a packet of which nothing is known.
const NOBODY: Mac = Mac([0x02, 0, 0, 0, 0, 1]);

/// TTL unless told otherwise.
const TTL: u8 = 64;

/// A frame about to come in.
pub(super) struct Arrival {
    pub(super) frame: Vec<u8>,
    pub(super) interface: String,
    pub(super) ifindex: u32,
    pub(super) assumed: Vec<String>,
    pub(super) notes: Vec<String>,
    /// False if the end of it is not what was on the wire.
    pub(super) whole: bool,
}

impl Agent {
    /// A packet of which somebody said the essentials.
    pub(super) fn described(
        &self,
        tuple: &PacketTuple,
        interface: Option<&str>,
        flow: Option<Known>,
    ) -> Result<Arrival, ApiError> {
        let mut assumed = Vec::new();
        let hop = self.likely_hop(tuple, flow.as_ref());
        let likely = hop.and_then(|hop| self.name_of(hop.interface));
        let (name, ifindex) = self.entrance(interface.or(likely))?;
        if interface.is_none() {
            assumed.push(format!("it comes in by {name} (--in)"));
        }
        // What is known of the sender holds only for the interface that it is known on.
        let hop = hop.filter(|_| likely == Some(name));
        let source_mac = match &tuple.source_mac {
            Some(text) => mac(text)?,
            None => hop.map_or(NOBODY, |hop| hop.mac),
        };
        if tuple.source_mac.is_none() && hop.is_none() {
            assumed.push("the sender's MAC, which adc has not seen yet (--src-mac)".into());
        }
        let vlans = if tuple.vlans.is_empty() {
            hop.map(tags).unwrap_or_default()
        } else {
            described_tags(&tuple.vlans)?
        };
        if vlans.len() > 2 {
            return Err(refused(format!(
                "{} VLAN tags: adc reads at most two, so what is behind the second is not IP to it",
                vlans.len()
            )));
        }
        let own = self
            .interfaces
            .get(name)
            .and_then(|i| i.facts.as_ref()?.mac);
        let envelope = Envelope {
            source_mac,
            destination_mac: own.unwrap_or_default(),
            vlans,
            source: tuple.source,
            destination: tuple.destination,
            hop_limit: tuple.ttl.unwrap_or(TTL),
            transport: transport(tuple, flow.as_ref(), &mut assumed)?,
        };
        Ok(Arrival {
            frame: frame(&envelope)?,
            interface: name.to_owned(),
            ifindex,
            assumed,
            notes: Vec::new(),
            whole: true,
        })
    }

    /// A packet that somebody recorded.
    pub(super) fn recorded(
        &self,
        recorded: &RecordedFrame,
        interface: Option<&str>,
    ) -> Result<Arrival, ApiError> {
        if recorded.length > MAX_FRAME {
            return Err(refused(format!(
                "a frame of {} bytes: adc takes at most one XDP buffer, about 3 500 bytes; segmentation offload (`ethtool -K DEV gro off lro off`) makes such frames where they are recorded",
                recorded.length
            )));
        }
        let (frame, bytes) = padded(&recorded.bytes, recorded.length)?;
        let (name, ifindex) = self.entrance(interface)?;
        let mut assumed = Vec::new();
        if interface.is_none() {
            assumed.push(format!("it comes in by {name} (--in)"));
        }
        let mut notes = Vec::new();
        let whole = bytes == frame.len();
        if !whole {
            notes.push(format!(
                "the recording has {bytes} of {} bytes: the rest is taken to be zero",
                frame.len()
            ));
        }
        Ok(Arrival {
            frame,
            interface: name.to_owned(),
            ifindex,
            assumed,
            notes,
            whole,
        })
    }

    /// Where packets of this sender come from, as far as the tables know.
    fn likely_hop(&self, tuple: &PacketTuple, flow: Option<&Known>) -> Option<Hop> {
        let backends = &self.dataplane.tables.observed().backends;
        if let Some(Known { flow, .. }) = flow {
            if !flow.reply {
                return Some(flow.client_hop);
            }
            return backends.get(&flow.backend).map(|backend| backend.hop);
        }
        let address = Addr16::from(tuple.source.ip());
        let port = Port::new(tuple.source.port());
        let of_source = |own_port: bool| {
            backends.values().find(|backend| {
                backend.address == address
                    && backend.flags.contains(BackendFlags::HOP_RESOLVED)
                    && (!own_port || backend.port == port || backend.port == Port::default())
            })
        };
        of_source(true)
            .or_else(|| of_source(false))
            .map(|backend| backend.hop)
    }

    /// What people call an interface.
    pub(super) fn name_of(&self, id: InterfaceId) -> Option<&str> {
        let mut interfaces = self.interfaces.iter();
        let found = interfaces.find(|(_, interface)| interface.id == id);
        found.map(|(name, _)| name.as_str())
    }
}

fn tags(hop: Hop) -> Vec<VlanId> {
    let tags = [hop.vlan, hop.inner_vlan];
    tags.into_iter()
        .filter(|tag| *tag != VlanId::NONE)
        .collect()
}

/// Tags of which only the ids are told: the outer of two is a service tag (802.1ad), as IEEE 802.1Q §9.5 has it.
fn described_tags(ids: &[u16]) -> Result<Vec<VlanId>, ApiError> {
    let tag = |(at, id): (usize, &u16)| match *id {
        1..=4094 if at == 0 && ids.len() > 1 => Ok(VlanId::service(*id)),
        1..=4094 => Ok(VlanId(*id)),
        _ => Err(refused(format!("VLAN {id}: use 1 to 4094"))),
    };
    ids.iter().enumerate().map(tag).collect()
}

/// The transport header. A segment of a handshake acknowledges what was really said, which nobody types.
fn transport(
    tuple: &PacketTuple,
    flow: Option<&Known>,
    assumed: &mut Vec<String>,
) -> Result<Transport, ApiError> {
    match (tuple.protocol, tuple.flags) {
        (TransportProtocol::Udp, None) => Ok(Transport::Udp),
        (TransportProtocol::Udp, Some(_)) => {
            Err(refused("UDP has no flags: leave --flags out".into()))
        }
        (TransportProtocol::Sctp, Some(_)) => {
            Err(refused("SCTP has no flags: leave --flags out".into()))
        }
        (TransportProtocol::Sctp, None) => {
            // A tag of zero: the other end has not said its own yet.
            let tag = flow.map_or(0, |flow| flow.initial.map_or(1, |[_, other]| other));
            assumed.push(if tag == 0 {
                "it is an INIT".into()
            } else {
                "it is a HEARTBEAT of the association".into()
            });
            Ok(Transport::Sctp { tag })
        }
        (TransportProtocol::Tcp, flags) => {
            let flags = flags.unwrap_or_else(|| {
                assumed.push("it is a SYN (--flags)".into());
                TcpFlags::SYN
            });
            let [own, other] = flow.and_then(|flow| flow.initial).unwrap_or_default();
            if flow.is_some_and(|flow| flow.initial.is_some()) {
                assumed.push("it has the sequence numbers that the handshake expects".into());
            }
            let after_syn = u32::from(!flags.contains(TcpFlags::SYN));
            let acknowledgement = if flags.acknowledges() {
                other.wrapping_add(1)
            } else {
                0
            };
            Ok(Transport::Tcp {
                flags,
                sequence: own.wrapping_add(after_syn),
                acknowledgement,
            })
        }
    }
}

fn mac(text: &str) -> Result<Mac, ApiError> {
    let bytes: Result<Vec<u8>, _> = text
        .split([':', '-'])
        .map(|byte| u8::from_str_radix(byte, 16))
        .collect();
    let bytes = bytes.ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(Mac).ok_or_else(|| {
        refused(format!(
            "`{text}` is no MAC address: write 02:00:00:00:00:01"
        ))
    })
}

/// Bytes from hexadecimal digits.
pub(super) fn ready(digits: &str) -> Result<Vec<u8>, ApiError> {
    let wrong = || refused("the frame's bytes are not pairs of hexadecimal digits".into());
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return Err(wrong());
    }
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| {
            let text = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(text, 16).ok()
        })
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(wrong)
}

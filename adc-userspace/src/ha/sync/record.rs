//! One flow, as nodes tell each other of it, and its way into the entries of a table. Pure.
//!
//! Numbers are big endian. Ids are those of the sender; what they stand for is in [`super::names`]. A record of an IPv4
//! flow has 46 bytes, one of an IPv6 flow, or of one between the families, 94:
//!
//! ```text
//! client's tuple 12 or 36, backend's tuple 12 or 36, protocol 1, phase 1, flags 1, FINs 1,
//! last hop: MAC 6, VLAN 2, inner VLAN 2, interface 2;  backend 2,  idle 4 (ticks of 2^20 ns)
//! ```

use adc_common::abi::{
    Addr4, Addr6, BackendId, FlowEntry, FlowFlags, FlowKey, Hop, InterfaceId, Mac, Phase, Protocol,
    Tick, Tuple, VlanId,
};

/// What of [`FlowFlags`] both entries have in common, and travels.
const SHARED: u8 = FlowFlags::CROSSES.0 | FlowFlags::DIRECT.0 | FlowFlags::TUNNEL.0;

const FORWARD_FIN: u8 = 1;
const REPLY_FIN: u8 = 2;

/// Bytes behind the tuples.
const REST: usize = 22;

/// Longest idle time that is believed, in ticks: spans are told apart up to 2^31 of them.
const MAX_IDLE: u32 = u32::MAX / 2;

/// A family of flow tables.
pub trait Family: Copy + Eq + std::hash::Hash + std::fmt::Debug + Default + 'static {
    /// Bytes of one record.
    const RECORD: usize;

    /// A tuple from its bytes.
    fn tuple(bytes: &[u8]) -> Option<Tuple<Self>>;

    /// The bytes of a tuple.
    fn bytes(tuple: &Tuple<Self>) -> &[u8];
}

macro_rules! family {
    ($address:ty) => {
        impl Family for $address {
            const RECORD: usize = 2 * size_of::<Tuple<Self>>() + REST;

            fn tuple(bytes: &[u8]) -> Option<Tuple<Self>> {
                bytemuck::try_pod_read_unaligned(bytes).ok()
            }

            fn bytes(tuple: &Tuple<Self>) -> &[u8] {
                bytemuck::bytes_of(tuple)
            }
        }
    };
}

family!(Addr4);
family!(Addr6);

/// A validated flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRecord<A> {
    /// The client's packets, as they arrive.
    pub client: Tuple<A>,
    /// The backend's packets, as they arrive; of a flow whose backend answers directly the client's, reversed.
    pub server: Tuple<A>,
    /// Its protocol.
    pub protocol: Protocol,
    /// Where it is in its life.
    pub phase: Phase,
    /// [`FlowFlags::CROSSES`], [`FlowFlags::DIRECT`] and [`FlowFlags::TUNNEL`].
    pub flags: FlowFlags,
    /// Whether the client's FIN was seen.
    pub forward_fin: bool,
    /// Whether the backend's FIN was seen.
    pub reply_fin: bool,
    /// The client's last hop.
    pub hop: Hop,
    /// Its backend.
    pub backend: BackendId,
    /// Time since its last packet.
    pub idle: Tick,
}

/// The entries of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entries<A> {
    /// Under which the client's packets find it.
    pub forward: (FlowKey<A>, FlowEntry<A>),
    /// Under which the backend's do; `None` if the backend answers directly.
    pub reply: Option<(FlowKey<A>, FlowEntry<A>)>,
}

impl<A: Family> FlowRecord<A> {
    /// From either entry of the flow. What the other knows of FINs follows from the phase, but for a flow that was reset.
    pub fn of(key: &FlowKey<A>, entry: &FlowEntry<A>, now: Tick) -> Self {
        let reply = entry.flags.contains(FlowFlags::REPLY);
        let (client, server) = if reply {
            (entry.other, key.tuple)
        } else {
            (key.tuple, entry.other)
        };
        let own = entry.flags.contains(FlowFlags::FIN_SEEN);
        let other = match entry.phase {
            Phase::CLOSED => true,
            Phase::HALF_CLOSED => !own,
            _ => false,
        };
        Self {
            client,
            server,
            protocol: key.protocol,
            phase: entry.phase,
            flags: FlowFlags(entry.flags.0 & SHARED),
            forward_fin: if reply { other } else { own },
            reply_fin: if reply { own } else { other },
            hop: entry.hop,
            backend: entry.backend,
            idle: now.since(entry.last_seen),
        }
    }

    /// The entries that make it a flow here; ids as they are in the record.
    pub fn entries(&self, now: Tick) -> Entries<A> {
        let entry = |other, flags: FlowFlags, fin: bool| FlowEntry {
            other,
            hop: self.hop,
            last_seen: Tick(now.0.wrapping_sub(self.idle.0)),
            backend: self.backend,
            phase: self.phase,
            flags: if fin {
                flags.with(FlowFlags::FIN_SEEN)
            } else {
                flags
            },
        };
        let key = |tuple| FlowKey::new(tuple, self.protocol);
        let forward = entry(self.server, self.flags, self.forward_fin);
        let back = self.flags.with(FlowFlags::REPLY);
        Entries {
            forward: (key(self.client), forward),
            reply: (!self.is_direct())
                .then(|| (key(self.server), entry(self.client, back, self.reply_fin))),
        }
    }

    /// Whether the backend answers its client directly.
    pub fn is_direct(&self) -> bool {
        self.flags.contains(FlowFlags::DIRECT)
    }

    /// Appends its bytes.
    pub fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(A::bytes(&self.client));
        to.extend_from_slice(A::bytes(&self.server));
        let fins = if self.forward_fin { FORWARD_FIN } else { 0 }
            | if self.reply_fin { REPLY_FIN } else { 0 };
        to.extend_from_slice(&[self.protocol.0, self.phase.0, self.flags.0, fins]);
        to.extend_from_slice(&self.hop.mac.0);
        for number in [
            self.hop.vlan.0,
            self.hop.inner_vlan.0,
            self.hop.interface.0,
            self.backend.0,
        ] {
            to.extend_from_slice(&number.to_be_bytes());
        }
        to.extend_from_slice(&self.idle.0.to_be_bytes());
    }

    /// From [`Family::RECORD`] bytes; `None` if they are no validated flow.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (client, rest) = bytes.split_at_checked(size_of::<Tuple<A>>())?;
        let (server, rest) = rest.split_at_checked(size_of::<Tuple<A>>())?;
        let rest: &[u8; REST] = rest.try_into().ok()?;
        let ([protocol, phase, flags, fins], rest) = rest.split_first_chunk()?;
        let (mac, rest) = rest.split_first_chunk()?;
        let numbers: &[u8; 12] = rest.try_into().ok()?;
        let (protocol, phase, flags, fins) = (*protocol, *phase, *flags, *fins);
        let [v0, v1, w0, w1, i0, i1, b0, b1, idle @ ..] = *numbers;
        let idle = u32::from_be_bytes(idle);
        let record = Self {
            client: A::tuple(client)?,
            server: A::tuple(server)?,
            protocol: Protocol(protocol),
            phase: Phase(phase),
            flags: FlowFlags(flags),
            forward_fin: fins & FORWARD_FIN != 0,
            reply_fin: fins & REPLY_FIN != 0,
            hop: Hop {
                mac: Mac(*mac),
                vlan: VlanId(u16::from_be_bytes([v0, v1])),
                inner_vlan: VlanId(u16::from_be_bytes([w0, w1])),
                interface: InterfaceId(u16::from_be_bytes([i0, i1])),
            },
            backend: BackendId(u16::from_be_bytes([b0, b1])),
            idle: Tick(idle),
        };
        let sound = record.is_of_a_main_table()
            && flags & !SHARED == 0
            && fins & !(FORWARD_FIN | REPLY_FIN) == 0
            && idle <= MAX_IDLE
            && (!record.is_direct() || record.server == record.client.reversed());
        sound.then_some(record)
    }

    /// Whether a flow of this protocol has this phase once it is validated.
    fn is_of_a_main_table(&self) -> bool {
        match self.protocol {
            Protocol::TCP | Protocol::SCTP => matches!(
                self.phase,
                Phase::ESTABLISHED | Phase::HALF_CLOSED | Phase::CLOSED | Phase::RESET
            ),
            Protocol::UDP => self.phase == Phase::REPLIED,
            _ => false,
        }
    }
}

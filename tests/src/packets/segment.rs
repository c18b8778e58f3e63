//! What a sender says, wherever the packet is.

use etherparse::TcpHeader;

/// IP fields, transport header and payload.
#[derive(Clone, Debug)]
pub struct Segment {
    /// TTL or hop limit.
    pub ttl: u8,
    /// Type of service or traffic class; `None` = what the builder takes for the family.
    pub class: Option<u8>,
    /// IPv6 flow label.
    pub flow_label: u32,
    /// IPv4 "don't fragment".
    pub dont_fragment: bool,
    /// IPv4 identification.
    pub id: u16,
    /// IPv4 options; a multiple of four bytes.
    pub options: Vec<u8>,
    /// IPv6 extension headers, in order.
    pub extensions: Vec<Extension>,
    /// IPv4 fragmentation fields. (In IPv6 they are an extension header.)
    pub fragment: Option<Fragment>,
    /// The header above IP.
    pub transport: Transport,
    /// What it carries.
    pub payload: Vec<u8>,
    /// Bytes after the IP packet, as Ethernet pads short frames.
    pub padding: usize,
}

/// TCP, UDP or SCTP.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Ports and checksum are set when the frame is built.
    Tcp(Box<TcpHeader>),
    /// UDP.
    Udp(UdpChecksum),
    /// SCTP, whose chunks are the payload.
    Sctp {
        /// Verification tag.
        tag: u32,
        /// Bits of the checksum that are wrong.
        flaw: u32,
    },
}

/// What a UDP sender does about its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpChecksum {
    /// Computes it.
    Computed,
    /// Sends 0 (RFC 768: none).
    None,
}

/// Fragmentation fields of an IPv4 header.
#[derive(Clone, Copy, Debug)]
pub struct Fragment {
    /// In units of eight bytes.
    pub offset: u16,
    /// More fragments follow.
    pub more: bool,
}

/// One IPv6 extension header.
#[derive(Clone, Debug)]
pub struct Extension {
    /// Its protocol number.
    pub kind: u8,
    /// All of it; the first byte is replaced by what follows.
    pub bytes: Vec<u8>,
}

impl Segment {
    fn new(transport: Transport) -> Self {
        Self {
            ttl: 64,
            class: None,
            flow_label: 0x000a_bcde,
            dont_fragment: true,
            id: 0x1234,
            options: Vec::new(),
            extensions: Vec::new(),
            fragment: None,
            transport,
            payload: Vec::new(),
            padding: 0,
        }
    }

    /// A TCP segment; `flags` is any of `S`, `A`, `F`, `R`, `P`, `U`, `E`, `C`.
    ///
    /// # Panics
    /// On another letter.
    pub fn tcp(flags: &str, seq: u32, ack: u32) -> Self {
        let mut header = TcpHeader::new(0, 0, seq, 64_240);
        header.acknowledgment_number = ack;
        for flag in flags.chars() {
            match flag {
                'S' => header.syn = true,
                'A' => header.ack = true,
                'F' => header.fin = true,
                'R' => header.rst = true,
                'P' => header.psh = true,
                'U' => header.urg = true,
                'E' => header.ece = true,
                'C' => header.cwr = true,
                other => panic!("no TCP flag is called {other}"),
            }
        }
        Self::new(Transport::Tcp(Box::new(header)))
    }

    /// A UDP datagram.
    pub fn udp(payload: &[u8]) -> Self {
        Self::new(Transport::Udp(UdpChecksum::Computed)).data(payload)
    }

    /// With a payload.
    #[must_use]
    pub fn data(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// With a TTL or hop limit.
    #[must_use]
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// With a type of service or traffic class.
    #[must_use]
    pub fn class(mut self, class: u8) -> Self {
        self.class = Some(class);
        self
    }

    /// With IPv4 options.
    #[must_use]
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// With TCP options, which are padded to four bytes.
    ///
    /// # Panics
    /// If this is UDP, or they are longer than 40 bytes.
    #[must_use]
    pub fn tcp_options(mut self, options: &[u8]) -> Self {
        let Transport::Tcp(header) = &mut self.transport else {
            panic!("UDP has no options");
        };
        header.set_options_raw(options).expect("at most 40 bytes");
        self
    }

    /// With IPv6 extension headers.
    #[must_use]
    pub fn extensions(mut self, extensions: &[Extension]) -> Self {
        self.extensions = extensions.to_vec();
        self
    }

    /// With IPv4 fragmentation fields.
    #[must_use]
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        self.fragment = Some(Fragment { offset, more });
        self
    }

    /// Without a UDP checksum.
    #[must_use]
    pub fn without_checksum(mut self) -> Self {
        self.transport = Transport::Udp(UdpChecksum::None);
        self
    }

    /// With padding after the IP packet.
    #[must_use]
    pub fn padded(mut self, bytes: usize) -> Self {
        self.padding = bytes;
        self
    }
}

impl Extension {
    /// Hop-by-hop options (RFC 8200 §4.3).
    pub const HOP_BY_HOP: u8 = 0;
    /// Routing (§4.4).
    pub const ROUTING: u8 = 43;
    /// Fragment (§4.5).
    pub const FRAGMENT: u8 = 44;
    /// Encapsulating security payload (RFC 4303).
    pub const ENCRYPTED: u8 = 50;
    /// Authentication (RFC 4302).
    pub const AUTHENTICATION: u8 = 51;
    /// No next header (RFC 8200 §4.7).
    pub const NONE: u8 = 59;
    /// Destination options (§4.6).
    pub const DESTINATION: u8 = 60;
    /// Mobility (RFC 6275).
    pub const MOBILITY: u8 = 135;

    /// A header of `length` bytes, filled with `PadN` as options are; its length field is the one of its kind.
    ///
    /// # Panics
    /// If the length is not possible for the kind.
    pub fn new(kind: u8, length: usize) -> Self {
        let units = if kind == Self::AUTHENTICATION {
            assert!(length.is_multiple_of(4));
            length / 4 - 2
        } else {
            assert!(length.is_multiple_of(8));
            length / 8 - 1
        };
        let mut bytes = vec![0; length];
        bytes[1] = u8::try_from(units).expect("length fits its field");
        if kind == Self::HOP_BY_HOP || kind == Self::DESTINATION {
            // One PadN over all of it, as far as its own length byte reaches.
            bytes[2] = 1;
            bytes[3] = u8::try_from((length - 4).min(255)).expect("at most 255");
        }
        Self { kind, bytes }
    }

    /// A fragment header.
    pub fn fragment(offset: u16, more: bool) -> Self {
        let mut fragment = Self::new(Self::FRAGMENT, 8);
        let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
        fragment.bytes[2] = high;
        fragment.bytes[3] = low;
        fragment
    }

    /// A routing header that has `left` addresses still to visit.
    pub fn routing(left: u8) -> Self {
        let mut routing = Self::new(Self::ROUTING, 24);
        routing.bytes[3] = left;
        routing
    }
}

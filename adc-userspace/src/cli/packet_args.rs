//! What can be typed to look at single packets.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;

use super::args::ProtocolArg;
use crate::api::proto::{CaptureRequest, TcpFlags};

/// Longest way to `--help`, as an example.
const EXAMPLES: &str = "\
Examples:
  adc explain tcp 192.0.2.1:40000 10.1.0.100:80
  adc explain tcp [2001:db8::7]:40000 [2001:db8::100]:443 --flags ack
  adc explain udp 192.0.2.1:5353 10.1.0.100:53 --in eth0
  adc explain sctp 192.0.2.1:2905 10.1.0.100:2905
  adc explain --pcap dump.pcapng --packet 3 -o json";

/// One packet.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExplainArgs {
    /// Transport protocol
    #[arg(
        value_enum,
        value_name = "PROTOCOL",
        required_unless_present = "pcap",
        requires = "source",
        conflicts_with = "pcap"
    )]
    pub(super) protocol: Option<ProtocolArg>,
    /// Source: 192.0.2.1:40000 or [2001:db8::7]:40000
    #[arg(value_name = "SOURCE:PORT", requires = "destination")]
    pub(super) source: Option<SocketAddr>,
    /// Destination
    #[arg(value_name = "DESTINATION:PORT")]
    pub(super) destination: Option<SocketAddr>,
    /// TCP flags, joined with |; `syn` without it
    #[arg(long, value_name = "FLAGS", conflicts_with = "pcap")]
    pub(super) flags: Option<TcpFlags>,
    /// Interface it comes in by; without it the one it is likeliest to come in by
    #[arg(long = "in", value_name = "INTERFACE")]
    pub(super) interface: Option<String>,
    /// MAC address of the frame's sender
    #[arg(long, value_name = "MAC", conflicts_with = "pcap")]
    pub(super) src_mac: Option<String>,
    /// VLAN tag; twice for QinQ, outer first
    #[arg(long = "vlan", value_name = "ID", conflicts_with = "pcap", value_parser = clap::value_parser!(u16).range(1..=4094))]
    pub(super) vlans: Vec<u16>,
    /// TTL or hop limit
    #[arg(long, value_name = "N", conflicts_with = "pcap")]
    pub(super) ttl: Option<u8>,
    /// A recorded packet instead: pcap or pcapng; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(super) pcap: Option<PathBuf>,
    /// Which packet of the file, from 1
    #[arg(long, value_name = "N", default_value = "1", conflicts_with = "protocol", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) packet: u64,
}

/// The filter, with examples.
const FILTER: &str = "\
Filter terms, joined by `and`:
  host ADDRESS            from or to this address
  net ADDRESS/LENGTH      from or to an address in this prefix
  port N                  from or to this TCP, UDP or SCTP port
  proto NAME|NUMBER       tcp, udp, sctp, icmp, icmp6, or a protocol number
  vip                     from or to the VIP of any service
  service NAME            of a flow of this service, or addressed to it
  backend NAME            to or from a backend of this name
  reason NAME             with this reason (`adc drops --all`)
  class NAME              forwarded, passed or dropped
The first host, port and proto are matched in the kernel, the rest in the agent.

Examples:
  adc capture class dropped -w drops.pcapng
  adc capture host 192.0.2.7 and port 443 --duration 5m -w client.pcapng
  adc capture service www --after --count 100 -w - | tshark -r - -T fields -e frame.comment";

/// What to record, and for how long.
#[derive(Args, Debug)]
#[command(after_help = FILTER)]
pub(super) struct CaptureArgs {
    /// Which packets; all without it
    #[arg(value_name = "FILTER")]
    pub(super) filter: Vec<String>,
    /// Where to: a file that is made or overwritten, `-` for standard output
    #[arg(short, long, value_name = "FILE")]
    pub(super) write: PathBuf,
    /// Stop after this many frames
    #[arg(long, value_name = "N", default_value_t = CaptureRequest::default_count(), value_parser = clap::value_parser!(u64).range(1..=CaptureRequest::MAX_COUNT))]
    pub(super) count: u64,
    /// Stop after this time, at most an hour
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    pub(super) duration: Duration,
    /// Stop when the file is about this large, in MiB
    #[arg(long, value_name = "MIB", default_value_t = CaptureRequest::default_bytes() >> 20, value_parser = clap::value_parser!(u64).range(1..=CaptureRequest::MAX_BYTES >> 20))]
    pub(super) max_size: u64,
    /// Keep this many bytes of each frame
    #[arg(long, value_name = "BYTES", default_value_t = CaptureRequest::default_snaplen(), value_parser = clap::value_parser!(u32).range(14..=i64::from(CaptureRequest::default_snaplen())))]
    pub(super) snaplen: u32,
    /// Record packets that are forwarded twice: as they came, and as they left
    #[arg(long)]
    pub(super) after: bool,
}

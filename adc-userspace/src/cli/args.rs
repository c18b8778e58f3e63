//! What can be typed.

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::{
    decap_args::DecapArgs,
    exit,
    ha_args::HaCommand,
    keeper_args::KeeperArgs,
    packet_args::{CaptureArgs, ExplainArgs},
};
use crate::{
    api::{DEFAULT_SOCKET, proto::AddressRange},
    model::{
        AdminState, AttachMode, BackendAddress, BackendName, Hash, Mode, MonitorName, OnDown,
        PoolName, Ports, ServiceName, TransportProtocol,
    },
    telemetry::LogFormat,
};

/// Where the configuration lives unless told otherwise.
const DEFAULT_CONFIG: &str = "/etc/adc/adc.toml";

/// adc, an XDP layer-4 load balancer: runs the agent, and shows and changes what it does
#[derive(Debug, Parser)]
#[command(name = "adc", version, after_help = exit::HELP, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Understood by every verb.
#[derive(Args, Debug)]
pub(super) struct Global {
    /// How results are shown
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value = "table",
        value_name = "FORMAT"
    )]
    pub(super) output: Format,
    /// Control socket of the agent
    #[arg(long, global = true, env = "ADC_SOCKET", default_value = DEFAULT_SOCKET, value_name = "PATH")]
    pub(super) socket: PathBuf,
}

/// How results are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// For programs; stable
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the agent in the foreground
    Run(RunArgs),
    /// Stop cleanly: give up roles, take addresses off, detach from the interfaces. Flows end. (SIGTERM only ends the agent)
    Stop,
    /// Run the keeper, which has this node's HA groups; the agent starts it
    #[command(hide = true)]
    Keeper(KeeperArgs),
    /// The node at a glance, what is wrong first; exit code 7 if anything is
    Status,
    /// Services: what clients connect to
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Pools: sets of backends
    #[command(subcommand)]
    Pool(PoolCommand),
    /// Backends: where flows go
    #[command(subcommand)]
    Backend(BackendCommand),
    /// Flows: tracked connections
    #[command(subcommand)]
    Flow(FlowCommand),
    /// Dropped packets, by reason
    Drops {
        /// Every reason: zero ones, and those of packets forwarded and passed to the kernel
        #[arg(long)]
        all: bool,
    },
    /// Where a packet would go, and why; sends and changes nothing
    Explain(ExplainArgs),
    /// Record what XDP saw, and what became of each packet, as pcapng
    Capture(CaptureArgs),
    /// HA groups: which node has which VIPs
    #[command(subcommand)]
    Ha(HaCommand),
    /// BFD sessions with routers and backends
    #[command(subcommand)]
    Bfd(super::bfd_args::BfdCommand),
    /// VIPs that a routing daemon announces
    #[command(subcommand)]
    Announce(super::announce_args::AnnounceCommand),
    /// The configuration: the file, and what people changed since
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look for what keeps adc from working on this node; exit code 7 if anything does
    Doctor {
        /// Look at this interface too, not only at the host; may be repeated
        #[arg(short, long = "interface", value_name = "NAME")]
        interfaces: Vec<String>,
        /// bpffs directory that the agent pins to
        #[arg(long, default_value = "/sys/fs/bpf/adc", value_name = "DIRECTORY")]
        pin_path: PathBuf,
    },
    /// On a backend: take packets out of dsr-ipip and dsr-gue tunnels, in the foreground, until stopped
    Decap(DecapArgs),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// The version of this program
    Version,
}

#[derive(Args, Debug)]
pub(super) struct RunArgs {
    /// Configuration file
    #[arg(short, long, default_value = DEFAULT_CONFIG, value_name = "FILE")]
    pub(super) config: PathBuf,
    /// How to attach, instead of what the file says; never changed silently
    #[arg(long, value_enum)]
    pub(super) mode: Option<ModeArg>,
    /// How log records are written to standard error
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub(super) log_format: LogFormatArg,
}

#[derive(Debug, Subcommand)]
pub(super) enum ServiceCommand {
    /// Add a service on an existing pool
    Add {
        /// Its name
        name: ServiceName,
        /// Address clients connect to
        #[arg(long)]
        vip: IpAddr,
        /// Ports clients connect to: 443, 5000-5100 or any
        #[arg(long)]
        port: Ports,
        /// Transport protocol
        #[arg(long, value_enum, default_value = "tcp")]
        protocol: ProtocolArg,
        /// Where flows go
        #[arg(long)]
        pool: PoolName,
        /// How packets reach the backend
        #[arg(long, value_enum, default_value = "nat")]
        mode: ForwardingModeArg,
        /// A local address to send from in mode full-nat; may be repeated
        #[arg(long, value_name = "ADDRESS")]
        snat: Vec<IpAddr>,
        /// What the scheduler hashes: every connection on its own, or one client one backend
        #[arg(long, value_enum, default_value = "five-tuple")]
        hash: HashArg,
        /// Echo requests (ping) to the VIP get no answer, whatever its other services say
        #[arg(long)]
        no_ping: bool,
        #[command(flatten)]
        change: Change,
    },
    /// All services
    List,
    /// One service with its backends
    Show {
        /// Which
        name: ServiceName,
    },
    /// Remove a service; its pool stays
    Remove {
        /// Which
        name: ServiceName,
        #[command(flatten)]
        change: Change,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum PoolCommand {
    /// Add an empty pool
    Add {
        /// Its name
        name: PoolName,
        /// A monitor of the configuration that checks its backends; may be repeated
        #[arg(long = "monitor", value_name = "NAME")]
        monitors: Vec<MonitorName>,
        /// What becomes of the flows of a backend that goes down
        #[arg(long, value_enum, default_value = "keep", value_name = "POLICY")]
        on_down: OnDownArg,
        #[command(flatten)]
        change: Change,
    },
    /// All pools
    List,
    /// Remove a pool that no service uses
    Remove {
        /// Which
        name: PoolName,
        #[command(flatten)]
        change: Change,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum BackendCommand {
    /// Add a backend to a pool
    Add {
        /// Its pool
        pool: PoolName,
        /// Where it listens: 10.0.0.5:80 or [2001:db8::5]:80; without port it keeps those of services with many
        address: BackendAddress,
        /// Its name; default ADDRESS
        #[arg(long)]
        name: Option<BackendName>,
        /// Share of new flows
        #[arg(long, default_value = "100", value_parser = clap::value_parser!(u16).range(0..=1000))]
        weight: u16,
        /// Admin state to begin in
        #[arg(long, value_enum, default_value = "enabled", value_name = "STATE")]
        admin: AdminArg,
        #[command(flatten)]
        change: Change,
    },
    /// All backends, or those of one pool or service
    List {
        /// In this pool
        #[arg(long)]
        pool: Option<PoolName>,
        /// Of this service, with its counters only
        #[arg(long)]
        service: Option<ServiceName>,
    },
    /// One backend: why it has the weight it has, what checks say, what it carries
    Show(BackendArg),
    /// Set a backend's weight
    Weight {
        #[command(flatten)]
        backend: BackendArg,
        /// Share of new flows, 0 to 1000; 0 = none
        #[arg(value_parser = clap::value_parser!(u16).range(0..=1000))]
        weight: u16,
        #[command(flatten)]
        change: Change,
    },
    /// Give it no new flows; those it has go on
    Drain(BackendChange),
    /// Put it back into use
    Enable(BackendChange),
    /// Take it out for maintenance: no new flows; those it has go on
    Maintenance(BackendChange),
    /// Remove it from its pool
    Remove(BackendChange),
}

/// One backend.
#[derive(Args, Debug)]
pub(super) struct BackendArg {
    /// Its pool
    pub(super) pool: PoolName,
    /// Its name
    pub(super) name: BackendName,
}

#[derive(Args, Debug)]
pub(super) struct BackendChange {
    #[command(flatten)]
    pub(super) backend: BackendArg,
    #[command(flatten)]
    pub(super) change: Change,
}

/// Understood by every verb that changes something.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Change {
    /// Print the plan and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum FlowCommand {
    /// Flows that match
    List {
        #[command(flatten)]
        filter: FlowArgs,
        /// Show at most this many
        #[arg(long, default_value = "100", value_parser = clap::value_parser!(u32).range(0..=100_000))]
        limit: u32,
    },
    /// How many flows there are, or how many match
    Count {
        #[command(flatten)]
        filter: FlowArgs,
    },
}

#[derive(Args, Debug)]
pub(super) struct FlowArgs {
    /// Only this protocol
    #[arg(long, value_enum)]
    pub(super) protocol: Option<ProtocolArg>,
    /// Only clients with this address, or in this prefix
    #[arg(long, value_name = "ADDRESS[/LENGTH]")]
    pub(super) client: Option<AddressRange>,
    /// Only of this service
    #[arg(long)]
    pub(super) service: Option<ServiceName>,
    /// Only to backends of this name
    #[arg(long)]
    pub(super) backend: Option<BackendName>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check a file: every error at once; needs no agent
    Check {
        /// Which
        #[arg(default_value = DEFAULT_CONFIG)]
        file: PathBuf,
    },
    /// What runs against what the agent's file says now
    Diff,
    /// Make a file the running configuration
    Apply {
        /// Which; default: the agent's own, read again
        file: Option<PathBuf>,
        #[command(flatten)]
        change: Change,
        /// Forget what people changed at run time
        #[arg(long)]
        reset_edits: bool,
    },
    /// What runs, file and runtime edits together, as TOML
    Show,
}

macro_rules! value_enum {
    ($(#[$meta:meta])* $arg:ident => $model:ident { $($variant:ident),* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
        pub(super) enum $arg { $($variant),* }

        impl From<$arg> for $model {
            fn from(arg: $arg) -> Self {
                match arg { $($arg::$variant => Self::$variant),* }
            }
        }
    };
}

value_enum!(
    /// Attach mode as typed.
    ModeArg => AttachMode { Native, Skb }
);
value_enum!(
    /// Forwarding mode as typed.
    ForwardingModeArg => Mode { Nat, FullNat, DsrL2, DsrIpip, DsrGue }
);
value_enum!(
    /// Protocol as typed.
    ProtocolArg => TransportProtocol { Tcp, Udp, Sctp }
);
value_enum!(
    /// Hash as typed.
    HashArg => Hash { FiveTuple, Source }
);
value_enum!(
    /// Policy for flows of a backend that goes down, as typed.
    OnDownArg => OnDown { Reset, Reselect, Keep }
);
value_enum!(
    /// Admin state as typed.
    AdminArg => AdminState { Enabled, Draining, Maintenance }
);
value_enum!(
    /// Log format as typed.
    LogFormatArg => LogFormat { Text, Json }
);

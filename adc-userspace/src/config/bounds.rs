//! What each value may be. The readers, the rules and `docs/configuration.md` speak of these numbers.

use std::{ops::RangeInclusive, time::Duration};

use crate::model::Weight;

/// TCP and UDP ports.
pub(super) const PORT: RangeInclusive<u16> = 1..=u16::MAX;
/// Largest TCP segment that a SYN may announce, in bytes: RFC 9293's default to what fits an IPv4 packet.
pub(super) const MSS: RangeInclusive<u16> = 536..=65_495;
/// Weight of a backend; 0 = no new flows.
pub(super) const WEIGHT: RangeInclusive<u16> = 0..=Weight::MAX.0;
/// Idle timeout of a flow, in seconds. A week is far below the 26 days after which a `Tick` wraps.
pub(super) const FLOW_TIMEOUT_SECS: RangeInclusive<u32> = 1..=604_800;
/// Time between two probes of one backend.
pub(super) const INTERVAL: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_hours(1);
/// Time a probe may take.
pub(super) const PROBE_TIMEOUT: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_hours(1);
/// Probes in a row that change a backend's health.
pub(super) const RISE_FALL: RangeInclusive<u32> = 1..=100;
/// Spread of a probe interval, in percent.
pub(super) const JITTER_PERCENT: RangeInclusive<u8> = 0..=50;
/// HTTP status codes (RFC 9110 §15).
pub(super) const STATUS: RangeInclusive<u16> = 100..=599;
/// Capacity of a flow table, in flows.
pub(super) const FLOWS: RangeInclusive<u32> = 1_024..=16_777_216;
/// Capacity of a table indexed by a 16-bit id whose 0 means "unset".
pub(super) const IDS: RangeInclusive<u32> = 1..=65_535;
/// One packet of so many is checked; 0 = none.
pub(super) const SELF_CHECK: RangeInclusive<u32> = 0..=1_000_000;
/// Interfaces that one agent may attach to.
pub(super) const MAX_INTERFACES: usize = 63;
/// Longest interface name in bytes: `IFNAMSIZ` less the terminating zero.
pub(super) const MAX_INTERFACE_NAME: usize = 15;
/// Ways to the other node of a pair, as many as a heartbeat can tell of.
pub(super) const MAX_HEARTBEAT_PATHS: usize = 16;
/// How long a node without the other's flows does not preempt; 0 = it does at once.
pub(super) const WAIT_AT_MOST: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);
/// Time between two VRRP adverts: twelve bits of hundredths of a second (RFC 9568 §5.2.7).
pub(super) const ADVERT_INTERVAL: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_millis(40_950);
/// Virtual router ids (RFC 9568 §5.2.3).
pub(super) const VRID: RangeInclusive<u8> = 1..=255;
/// VRRP priorities; 0 is the word for resigning (RFC 9568 §5.2.4).
pub(super) const PRIORITY: RangeInclusive<u8> = 1..=255;
/// How long a node is as good as others without an agent.
pub(super) const AGENT_GRACE: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(24);
/// Most addresses of one family in a group: the advert counts them in a byte.
pub(super) const MAX_GROUP_VIPS: usize = 255;
/// Announcements of an address in one burst.
pub(super) const ANNOUNCEMENTS: RangeInclusive<u8> = 0..=100;
/// What a tracked thing adds to or takes from a priority.
pub(super) const TRACK_WEIGHT: RangeInclusive<i16> = -253..=253;
/// Routing tables that the kernel's own rules name: default, main and local (linux/rtnetlink.h).
pub(super) const KERNEL_TABLES: RangeInclusive<u32> = 253..=255;
/// Backends of a service that must take new flows for its VIP to be announced.
pub(super) const MIN_UP: RangeInclusive<u32> = 1..=65_535;
/// How long a VIP must be served, or not, before its route follows.
pub(super) const HOLD: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);
/// How long a node that stops goes on without its routes: less than `TimeoutStopSec` of `dist/adc.service`.
pub(super) const DRAIN: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(20);
/// Largest configuration file that is read, in bytes: room for 65 535 backends several times over.
pub(super) const MAX_FILE: u64 = 32 << 20;

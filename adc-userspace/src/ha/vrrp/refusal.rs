//! Why an advert that came in was not listened to.

macro_rules! refusals {
    ($($(#[$meta:meta])* $variant:ident = $name:literal: $meaning:literal,)*) => {
        /// Why an advert was refused. One reason = one counter = one metric label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
        pub enum Refusal {
            $($(#[$meta])* #[error($meaning)] $variant,)*
        }

        impl Refusal {
            /// Every reason, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Label of the metric and key in `adc ha status`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

refusals! {
    /// Shorter or longer than its address count says.
    Length = "length": "its length is not the one that its address count asks for",
    /// Neither version 2 nor 3, or not the one that the group speaks, or version 2 over IPv6.
    Version = "version": "its version is not the one that the group speaks",
    /// Not an advertisement (type 1).
    Type = "type": "it is not an advertisement",
    /// TTL or hop limit other than 255: it crossed a router, so it may come from anywhere.
    HopLimit = "hop_limit": "its TTL or hop limit is not 255: it does not come from this link",
    /// The checksum is wrong in both dialects.
    Checksum = "checksum": "its checksum is wrong",
    /// VRID 0, or of no group on this interface.
    Vrid = "vrid": "no group on this interface has its VRID",
    /// An interval of zero (RFC 9568 erratum 8301).
    Interval = "interval": "it advertises every 0 seconds",
    /// Version 2 demands that all routers of a VRID have one interval (RFC 3768 §7.1).
    IntervalMismatch = "interval_mismatch": "its interval is not ours, and version 2 allows no other",
    /// No address (RFC 9568 erratum 8299).
    Count = "count": "it names no address",
    /// Version 2 with an authentication type (RFC 2338); RFC 3768 has none.
    Authentication = "authentication": "it carries authentication, which is not supported",
    /// A unicast group hears its configured peers only.
    Peer = "peer": "it does not come from a configured unicast peer",
    /// It is our own, come back.
    Own = "own": "it is our own, sent back to us",
}

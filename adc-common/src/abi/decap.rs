//! The maps of the decapsulator for backends, a program of its own (`adc decap`).

use super::{Mac, OTHER_MACS, Port, abi_struct, hop::is_one_of};

/// VIPs that one decapsulator may be told.
pub const MAX_DECAP_VIPS: u32 = 1024;

abi_struct! {
    /// The one value of `DECAP_SETTINGS`.
    pub struct DecapSettings [28] {
        /// UDP port that GUE arrives on.
        pub port: Port,
        /// 1 if only packets to the addresses in `DECAP_VIPS` are taken out.
        pub known_vips_only: u8,
        /// Zero.
        pub _pad: [u8; 1],
        /// The interface's own MAC.
        pub mac: Mac,
        /// As [`super::InterfaceEntry::other_macs`].
        pub other_macs: [Mac; OTHER_MACS],
    }
}

impl DecapSettings {
    /// Whether a frame to this MAC is for this machine.
    #[inline(always)]
    pub fn is_own(&self, destination: Mac) -> bool {
        is_one_of(destination, self.mac, &self.other_macs)
    }
}

macro_rules! decap_outcomes {
    ($($variant:ident = $number:literal, $name:literal, $meaning:literal;)*) => {
        /// What the decapsulator did with a packet: index into `DECAP_COUNTERS`.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum DecapOutcome {
            $(#[doc = $meaning] $variant = $number,)*
        }

        impl DecapOutcome {
            /// Every outcome, in numeric order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Number of outcomes.
            pub const COUNT: usize = Self::ALL.len();

            /// Name in output: snake_case, stable.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// One line for people.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

decap_outcomes! {
    Decapsulated = 0, "decapsulated", "Taken out of its tunnel and handed to the stack.";
    NotTunnelled = 1, "not_tunnelled", "Not in a tunnel; handed to the stack as it came.";
    OtherVip = 2, "other_vip", "In a tunnel, but to none of the VIPs given; handed to the stack as it came.";
    OuterFragment = 3, "outer_fragment", "A fragment of a tunnel packet; handed to the stack as it came. Raise the MTU towards this host.";
    Malformed = 4, "malformed", "A tunnel packet whose inside makes no sense; dropped.";
    Congestion = 5, "congestion", "Marked by a congested router, with an inside that can not be marked (RFC 6040); dropped.";
    HeadroomError = 6, "headroom_error", "The driver refused to move the packet head; dropped.";
    OtherHost = 7, "other_host", "A frame to another machine's MAC, or to a group's; handed to the stack as it came.";
}

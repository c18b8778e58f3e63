//! Why something of the other node was not taken.

use std::fmt;

macro_rules! named {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant,)* }

        impl $name {
            /// All of them, in their order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As in metrics and `adc ha status`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

named! {
    /// Why a connection was refused or ended.
    pub enum Refusal {
        /// It came from another address than the peer's.
        Address = "address",
        /// It began with something else than a greeting.
        Greeting = "greeting",
        /// The other end speaks another version.
        Version = "version",
        /// The other end is this node.
        OwnNode = "own_node",
        /// The other end does not have the key.
        Key = "key",
        /// A frame was changed on its way, sent twice, left out, or not sealed for this connection.
        Hmac = "hmac",
        /// A frame is longer than any may be.
        Length = "length",
        /// A frame is of a kind that is not expected, or its contents are none.
        Contents = "contents",
        /// Nothing came in time.
        Silent = "silent",
        /// Nothing could be sent for too long.
        Stalled = "stalled",
    }
}

named! {
    /// Why a flow of the other node was not taken.
    pub enum Skip {
        /// This node has no such service, or the service has no such backend.
        UnknownBackend = "unknown_backend",
        /// Service and flow do not fit together: another mode, other addresses, or a local address that is not ours.
        Unfit = "unfit",
        /// This node forwarded the flow after the other did.
        NewerHere = "newer_here",
        /// Another flow of this node has the backend's side of it.
        Conflict = "conflict",
        /// The flow table is full.
        Full = "full",
        /// The kernel refused.
        Failed = "failed",
    }
}

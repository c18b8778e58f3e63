//! Names that people give to things.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A name was not `[A-Za-z0-9][A-Za-z0-9._:\[\]-]{0,62}`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a valid name: use 1 to 63 letters, digits, `.`, `_`, `-`, `:`, `[` or `]`, starting with a letter, digit or `[`"
)]
pub struct InvalidName(pub String);

macro_rules! name {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                let allowed = |c: char| c.is_ascii_alphanumeric() || "._-:[]".contains(c);
                let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[');
                if starts_well && text.len() <= 63 && text.chars().all(allowed) {
                    Ok(Self(text))
                } else {
                    Err(InvalidName(text))
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                text.to_owned().try_into()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// Name of a service.
    ServiceName
);
name!(
    /// Name of a pool.
    PoolName
);
name!(
    /// Name of a backend, unique in its pool; `address:port` where the file gives none.
    BackendName
);
name!(
    /// Name of a monitor.
    MonitorName
);
name!(
    /// Name of an HA group.
    GroupName
);
name!(
    /// Name of a BFD session.
    BfdName
);

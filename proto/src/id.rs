//! Identifiers: fixed numbers of bytes, each a type of its own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// Why a text or a slice is not an identifier.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IdError {
    /// The length does not fit.
    #[error("expected {expected} bytes, found {found}")]
    Length {
        /// Bytes that the identifier has.
        expected: usize,
        /// Bytes that were given.
        found: usize,
    },
    /// The text is not base58.
    #[error("not base58: {0}")]
    Base58(String),
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Length in bytes.
            pub const BYTES: usize = $bytes;

            /// The identifier with these bytes.
            #[must_use]
            pub const fn new(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// The first bytes in base58: enough to tell a few apart in a table, not a name.
            #[must_use]
            pub fn short(&self) -> String {
                bs58::encode(&self.0[..8]).into_string()
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = IdError;
            fn try_from(bytes: &[u8]) -> Result<Self, IdError> {
                let bytes = bytes.try_into().map_err(|_| IdError::Length {
                    expected: $bytes,
                    found: bytes.len(),
                })?;
                Ok(Self(bytes))
            }
        }

        /// The whole identifier in base58.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&bs58::encode(&self.0).into_string())
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let bytes = bs58::decode(text)
                    .into_vec()
                    .map_err(|error| IdError::Base58(error.to_string()))?;
                Self::try_from(bytes.as_slice())
            }
        }
    };
}

macro_rules! redacted {
    ($($name:ident),*) => {$(
        /// Redacted: logs must not tell who talks to whom.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}

id!(
    /// A node: its Ed25519 public key, which is its libp2p identity too.
    NodeId,
    32
);
id!(
    /// Nodes of one operator: the Ed25519 public key that has signed for each of them.
    FamilyId,
    32
);
id!(
    /// Where deposits for one contact go; names no mailbox to who does not own it.
    DropId,
    32
);
id!(
    /// A mailbox: the Ed25519 public key of its owner, made for this purpose only.
    MailboxId,
    32
);
id!(
    /// A client at the provider it enters by, for one connection.
    ClientHandle,
    32
);
id!(
    /// A message; a put is idempotent by drop id and message id.
    MessageId,
    16
);
id!(
    /// Finds the keys to a reply; never all zeros.
    SurbId,
    16
);
id!(
    /// Hash of the network parameters.
    NetworkHash,
    32
);

id!(
    /// Hash of a document: what the seats of a term agree on.
    DocumentHash,
    32
);

redacted!(
    NodeId,
    FamilyId,
    DropId,
    MailboxId,
    ClientHandle,
    MessageId,
    SurbId
);

/// As its text in base58. Only what stands in files for people.
macro_rules! written {
    ($($name:ident: $what:literal),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(|error| {
                    de::Error::custom(format_args!(concat!("`{}` is not ", $what, " in base58: {}"), text, error))
                })
            }
        }
    )*};
}

written!(NodeId: "a node id", FamilyId: "a family's public key");

impl fmt::Debug for DocumentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DocumentHash({})", self.short())
    }
}

impl fmt::Debug for NetworkHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetworkHash({})", self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        let id = NodeId::new([7; 32]);
        assert_eq!(id.to_string().parse::<NodeId>(), Ok(id));
    }

    #[test]
    fn a_wrong_text_says_what_is_wrong() {
        assert!(matches!("0OIl".parse::<NodeId>(), Err(IdError::Base58(_))));
        assert_eq!(
            "abc".parse::<MessageId>(),
            Err(IdError::Length {
                expected: 16,
                found: 3
            })
        );
    }

    #[test]
    fn debug_tells_nothing() {
        assert_eq!(format!("{:?}", DropId::new([9; 32])), "DropId(..)");
    }
}

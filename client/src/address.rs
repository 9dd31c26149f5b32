//! Where and how to write to somebody, as a text to hand out.

use std::fmt;
use std::str::FromStr;

use blake2::{Blake2b256, Digest};
use shoal_packet::Sites;
use shoal_proto::NetworkHash;
use thiserror::Error;

use crate::keys::PeerKey;

const PREFIX: &str = "shoal1";
const VERSION: u8 = 3;
const NETWORK_BYTES: usize = 8;
const CHECK_BYTES: usize = 4;
const BODY_BYTES: usize = 1 + NETWORK_BYTES + 32 + 32 + Sites::BYTES;
const ALL_BYTES: usize = BODY_BYTES + CHECK_BYTES;
/// Addresses of versions 1 and 2.
const OLD_BYTES: [usize; 2] = [209, 173];
/// In the place of a prekey, where there is none: no key is that.
const NO_PREKEY: [u8; 32] = [0; 32];

fn other_version(version: u8) -> String {
    if version < VERSION {
        "the address is of a version before, which no client of this one has: ask its owner for a new one"
            .to_owned()
    } else {
        format!("the address is of version {version}, which this program does not know; update it")
    }
}

/// Where and how to write to somebody.
///
/// As text: `shoal1` and the base58 of version 3, network 8, static X25519 key 32, prekey 32 (zeros for none), twice
/// provider 32 and drop id 32 (zeros for no second), check value 4: about 280 characters. Whoever has it can write to
/// its owner, until the owner revokes the drop ids or the mailboxes end. The drop ids are the same for all who
/// have the address; those of a contact's own take their place with the first answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// First bytes of the network's hash.
    pub network: [u8; NETWORK_BYTES],
    /// Whom to seal to.
    pub key: PeerKey,
    /// What a session with its owner is begun with. An address that goes with an answer has none: there is a session.
    pub prekey: Option<PeerKey>,
    /// Where to deposit.
    pub sites: Sites,
}

/// Why a text is not an address, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It does not start as addresses do.
    #[error("an address starts with \"{PREFIX}\"; copy the whole text")]
    Prefix,
    /// A part is missing.
    #[error("the address is too short ({found} of {ALL_BYTES} bytes); copy the whole text")]
    TooShort {
        /// Bytes found.
        found: usize,
    },
    /// Something is appended.
    #[error("the address is too long; copy nothing before or after it")]
    TooLong,
    /// A character that no address has.
    #[error("the character {character:?} at place {place} is in no address; look for a typo there")]
    Character {
        /// The character.
        character: char,
        /// Its place, from 1.
        place: usize,
    },
    /// The check value does not fit.
    #[error("the address has a typo or is damaged; copy it anew instead of typing it")]
    Checksum,
    /// Made by another program.
    #[error("{}", other_version(*.0))]
    Version(u8),
    /// Its key could not protect anything.
    #[error("the address holds a key that protects nothing; do not use it, ask for another")]
    Key,
    /// It is good, but not here.
    #[error("the address belongs to another network; ask for one of the network this client is on")]
    OtherNetwork,
}

impl Address {
    /// The first bytes of a network's hash.
    #[must_use]
    pub fn short_network(network: &NetworkHash) -> [u8; NETWORK_BYTES] {
        let mut short = [0; NETWORK_BYTES];
        short.copy_from_slice(&network.as_bytes()[..NETWORK_BYTES]);
        short
    }

    /// Whether it is an address of this network.
    ///
    /// # Errors
    /// [`AddressError::OtherNetwork`] if not.
    pub fn check_network(&self, network: &NetworkHash) -> Result<(), AddressError> {
        if self.network == Self::short_network(network) {
            Ok(())
        } else {
            Err(AddressError::OtherNetwork)
        }
    }
}

fn check_of(body: &[u8]) -> [u8; CHECK_BYTES] {
    let hash = Blake2b256::new_with_prefix(b"shoal address")
        .chain_update(body)
        .finalize();
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&hash[..CHECK_BYTES]);
    check
}

/// Redacted: who has it can write to its owner.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(..)")
    }
}

/// The text form.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sites = self.sites.to_bytes();
        let prekey = self.prekey.as_ref().map_or(&NO_PREKEY, PeerKey::as_bytes);
        let key = self.key.as_bytes();
        let parts: [&[u8]; 5] = [&[VERSION], &self.network, key, prekey, &sites];
        let mut bytes = parts.concat();
        let check = check_of(&bytes);
        bytes.extend_from_slice(&check);
        write!(f, "{PREFIX}{}", bs58::encode(bytes).into_string())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let encoded = text.strip_prefix(PREFIX).ok_or(AddressError::Prefix)?;
        // Decoding takes quadratic time.
        if encoded.len() > 2 * ALL_BYTES {
            return Err(AddressError::TooLong);
        }
        let bytes = bs58::decode(encoded)
            .into_vec()
            .map_err(|_| wrong_character(text))?;
        let (version, _) = bytes
            .split_first()
            .ok_or(AddressError::TooShort { found: 0 })?;
        match bytes.len() {
            // Its mailboxes are no more, or it has no prekey.
            found if *version < VERSION && OLD_BYTES.contains(&found) => {
                return Err(AddressError::Version(*version));
            }
            found if found < ALL_BYTES => return Err(AddressError::TooShort { found }),
            found if found > ALL_BYTES => return Err(AddressError::TooLong),
            _ => {}
        }
        let (body, check) = bytes.split_at(BODY_BYTES);
        if check != check_of(body) {
            return Err(AddressError::Checksum);
        }
        if *version != VERSION {
            return Err(AddressError::Version(*version));
        }
        Self::from_body(body).ok_or(AddressError::Key)
    }
}

impl Address {
    fn from_body(body: &[u8]) -> Option<Self> {
        let (_, rest) = body.split_first()?;
        let (network, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk()?;
        let (prekey, rest) = rest.split_first_chunk()?;
        let prekey = Some(*prekey).filter(|prekey| *prekey != NO_PREKEY);
        Some(Self {
            network: *network,
            key: PeerKey::parse(*key).ok()?,
            prekey: prekey.map(PeerKey::parse).transpose().ok()?,
            sites: Sites::from_bytes(rest.try_into().ok()?),
        })
    }
}

fn wrong_character(text: &str) -> AddressError {
    let odd = |character: &char| !character.is_ascii_alphanumeric() || "0OIl".contains(*character);
    let found = text
        .chars()
        .enumerate()
        .skip(PREFIX.len())
        .find(|(_, character)| odd(character));
    match found {
        Some((place, character)) => AddressError::Character {
            character,
            place: place + 1,
        },
        None => AddressError::Checksum,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha20Rng;
    use shoal_packet::DropSite;
    use shoal_proto::{DropId, NodeId};

    use super::*;
    use crate::keys::ClientKeys;

    fn address(seed: u64) -> Address {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let keys = ClientKeys::generate(&mut rng);
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        let site = |fill| DropSite {
            provider: NodeId::new([fill; 32]),
            drop: DropId::new(bytes),
        };
        Address {
            network: Address::short_network(&NetworkHash::new(bytes)),
            key: keys.public(),
            prekey: (!seed.is_multiple_of(3)).then(|| ClientKeys::generate(&mut rng).public()),
            sites: Sites {
                first: site(3),
                second: seed.is_multiple_of(2).then(|| site(4)),
            },
        }
    }

    #[test]
    fn errors_say_what_to_do() {
        let text = address(1).to_string();
        let parse = |text: &str| text.parse::<Address>().err();
        assert_eq!(parse("hello"), Some(AddressError::Prefix));
        assert_eq!(parse("shoal1"), Some(AddressError::TooShort { found: 0 }));
        assert!(matches!(
            parse(&text[..100]),
            Some(AddressError::TooShort { .. })
        ));
        assert_eq!(parse(&format!("{text}abc")), Some(AddressError::TooLong));
        assert_eq!(
            parse(&format!("{text}{text}{text}")),
            Some(AddressError::TooLong)
        );
        let wrong = format!("{}0{}", &text[..40], &text[41..]);
        assert_eq!(
            parse(&wrong),
            Some(AddressError::Character {
                character: '0',
                place: 41
            })
        );
        let other = AddressError::OtherNetwork;
        assert_eq!(
            address(1).check_network(&NetworkHash::new([0; 32])),
            Err(other)
        );
    }

    #[test]
    fn space_around_is_no_harm() {
        let text = format!("  {}\n", address(2));
        assert_eq!(text.parse(), Ok(address(2)));
    }

    #[test]
    fn a_newer_version_is_named() {
        let text = address(1).to_string();
        let mut bytes = bs58::decode(&text[PREFIX.len()..]).into_vec().unwrap();
        bytes[0] = 9;
        let check = check_of(&bytes[..BODY_BYTES]);
        bytes[BODY_BYTES..].copy_from_slice(&check);
        let text = format!("{PREFIX}{}", bs58::encode(bytes).into_string());
        assert_eq!(text.parse::<Address>(), Err(AddressError::Version(9)));
    }

    #[test]
    fn one_of_the_version_before_is_refused_with_what_to_do() {
        for (length, version) in OLD_BYTES.into_iter().zip(1..) {
            let mut bytes = vec![7; length];
            bytes[0] = version;
            let text = format!("{PREFIX}{}", bs58::encode(bytes).into_string());
            let error = text.parse::<Address>().unwrap_err();
            assert_eq!(error, AddressError::Version(version));
            assert!(error.to_string().contains("ask its owner"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn texts_round_trip(seed in 0u64..1000) {
            prop_assert_eq!(address(seed).to_string().parse(), Ok(address(seed)));
        }

        #[test]
        fn a_typo_is_noticed(seed in 0u64..10, at in 6usize..270, to in "[1-9A-Za-z]") {
            let text = address(seed).to_string();
            prop_assume!(text[at..=at] != to);
            let typo = format!("{}{to}{}", &text[..at], &text[at + 1..]);
            prop_assert!(typo.parse::<Address>().is_err());
        }

        #[test]
        fn no_text_panics(text in "(shoal1)?\\PC{0,300}") {
            let _ = text.parse::<Address>();
        }
    }
}

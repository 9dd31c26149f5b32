//! What a client is: the key by which it is known. What its mailboxes go by is of another making.

use std::fmt;

use blake2::{Blake2b256, Digest};
use rand::CryptoRng;
use shoal_packet::SphinxPublic;
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::error::{ClientError, SealError};

/// The key by which people know each other: X25519, canonical and of prime order. Redacted in
/// debug output, because logs must not tell who talks to whom.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey([u8; 32]);

impl PeerKey {
    /// Takes the key if messages to it and from it mean something.
    ///
    /// # Errors
    /// [`SealError::BadKey`] for a key of low order, with torsion, on the twist, or not canonical:
    /// anybody could speak in the name of some of them.
    pub fn parse(bytes: [u8; 32]) -> Result<Self, SealError> {
        SphinxPublic::parse(bytes).map_err(|_| SealError::BadKey)?;
        Ok(Self(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first bytes in base58: enough to tell a few apart in a table, not a name.
    #[must_use]
    pub fn short(&self) -> String {
        bs58::encode(&self.0[..8]).into_string()
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerKey(..)")
    }
}

/// The whole key in base58.
impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(&self.0).into_string())
    }
}

/// The secret of a client: the static X25519 key that seals and opens messages. Wiped when dropped. The keys of
/// its mailboxes are drawn anew for each, and are in its rows.
pub struct ClientKeys {
    sealing: StaticSecret,
    public: PeerKey,
}

const MAGIC: &[u8; 8] = b"shoalck2";
const BEFORE: &[u8; 8] = b"shoalck1";
const CHECK_BYTES: usize = 8;

impl ClientKeys {
    /// Bytes of [`ClientKeys::to_bytes`]: magic 8, key 32, check 8.
    pub const BYTES: usize = 8 + 32 + CHECK_BYTES;

    /// A fresh key.
    #[must_use]
    pub fn generate<R: CryptoRng>(rng: &mut R) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(secret.as_mut_slice());
        Self::from_secret(&secret)
    }

    /// From the bytes of [`ClientKeys::secret`].
    #[must_use]
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        let sealing = StaticSecret::from(*secret);
        let public = PeerKey(PublicKey::from(&sealing).to_bytes());
        Self { sealing, public }
    }

    /// The secret itself, for words on paper. All 32 bytes of it were drawn: which bits X25519 passes over is its own
    /// business, each time that it is used.
    #[must_use]
    pub fn secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.sealing.to_bytes())
    }

    /// From what [`ClientKeys::to_bytes`] gave.
    ///
    /// # Errors
    /// [`ClientError::Keys`] for another length, another kind of file, one of the version before, or a
    /// damaged one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ClientError> {
        if bytes.starts_with(BEFORE) {
            return Err(ClientError::Keys(
                "it is of the version before, whose mailboxes are no more: make a client anew with \
                 `shoal client init`, and give its address to your contacts",
            ));
        }
        let bytes: &[u8; Self::BYTES] = bytes
            .try_into()
            .map_err(|_| ClientError::Keys("it has not the length of one"))?;
        let (body, check) = bytes.split_at(Self::BYTES - CHECK_BYTES);
        if !bool::from(check_of(body)[..].ct_eq(check)) {
            return Err(ClientError::Keys(
                "it is damaged: its check value does not fit",
            ));
        }
        let Some(body) = body.strip_prefix(MAGIC) else {
            return Err(ClientError::Keys(
                "it is of another kind or a newer version",
            ));
        };
        let mut secret = Zeroizing::new([0; 32]);
        secret.copy_from_slice(body);
        Ok(Self::from_secret(&secret))
    }

    /// For a file that only the owner can read. Layout: magic, sealing key, check value over all
    /// before it.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(Self::BYTES));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(self.sealing.as_bytes());
        let check = check_of(&bytes);
        bytes.extend_from_slice(&check);
        bytes
    }

    /// The key by which others know this client.
    #[must_use]
    pub const fn public(&self) -> PeerKey {
        self.public
    }

    pub(crate) fn sealing(&self) -> &StaticSecret {
        &self.sealing
    }
}

fn check_of(body: &[u8]) -> [u8; CHECK_BYTES] {
    let digest = Blake2b256::new_with_prefix(b"shoal client keys 1")
        .chain_update(body)
        .finalize();
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&digest[..CHECK_BYTES]);
    check
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    fn keys(seed: u64) -> ClientKeys {
        ClientKeys::generate(&mut ChaCha20Rng::seed_from_u64(seed))
    }

    #[test]
    fn a_key_file_round_trips() {
        let keys = keys(1);
        let bytes = keys.to_bytes();
        let again = ClientKeys::from_bytes(&bytes).unwrap();
        assert_eq!(again.public(), keys.public());
        let again = ClientKeys::from_secret(&keys.secret());
        assert!(again.public() == keys.public() && again.to_bytes() == bytes);
    }

    #[test]
    fn a_file_of_the_version_before_is_refused_with_what_to_do() {
        let old = [&b"shoalck1"[..], &[7; 104]].concat();
        let error = ClientKeys::from_bytes(&old).err().unwrap();
        assert!(error.to_string().contains("client init"), "{error}");
    }

    #[test]
    fn low_order_keys_are_refused() {
        assert_eq!(PeerKey::parse([0; 32]), Err(SealError::BadKey));
        let mut one = [0; 32];
        one[0] = 1;
        assert_eq!(PeerKey::parse(one), Err(SealError::BadKey));
    }

    proptest! {
        #[test]
        fn damage_is_noticed(at in 0..ClientKeys::BYTES, flip in 1u8..) {
            let mut bytes = keys(1).to_bytes();
            bytes[at] ^= flip;
            prop_assert!(ClientKeys::from_bytes(&bytes).is_err());
            prop_assert!(ClientKeys::from_bytes(&bytes[..at]).is_err());
        }
    }
}

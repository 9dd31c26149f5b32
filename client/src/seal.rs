//! End to end: what only the receiver can read, and only the sender can have written.
//!
//! Noise X (one way, one message): an ephemeral key 32, the sender's static key sealed 48, the
//! fragment and its tag, together one blob. The prologue binds a blob to network, drop id and
//! message id. Whoever steals the *receiver's* static key can read what was recorded before: the
//! ratchet mends that later.

use rand::CryptoRng;
use shoal_packet::command::Blob;
use shoal_proto::size::BLOB_BYTES;
use shoal_proto::{DropId, MessageId, NetworkHash};
use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver, FallbackResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::Zeroizing;

use crate::error::SealError;
use crate::keys::{ClientKeys, PeerKey};

/// Bytes sealed in one blob.
pub(crate) const SEALED_BYTES: usize = BLOB_BYTES - 32 - 48 - 16;

const PATTERN: &str = "Noise_X_25519_ChaChaPoly_BLAKE2b";

/// What a blob is bound to beside its receiver: moved elsewhere, it does not open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding {
    /// The network.
    pub(crate) network: NetworkHash,
    /// The drop id it is deposited under.
    pub(crate) drop: DropId,
    /// The id it is deposited under.
    pub(crate) message: MessageId,
}

impl Binding {
    fn prologue(&self) -> Vec<u8> {
        let parts: [&[u8]; 4] = [
            b"shoal blob 1",
            self.network.as_bytes(),
            self.drop.as_bytes(),
            self.message.as_bytes(),
        ];
        parts.concat()
    }
}

/// Seals one fragment to `to`.
///
/// # Errors
/// [`SealError::Size`] if `plaintext` has not [`SEALED_BYTES`].
pub(crate) fn seal<R: CryptoRng>(
    rng: &mut R,
    keys: &ClientKeys,
    to: &PeerKey,
    binding: &Binding,
    plaintext: &[u8],
) -> Result<Box<Blob>, SealError> {
    if plaintext.len() != SEALED_BYTES {
        return Err(SealError::Size(SEALED_BYTES));
    }
    let mut entropy = Zeroizing::new([0; 32]);
    rng.fill_bytes(entropy.as_mut_slice());
    let prologue = binding.prologue();
    let mut state = builder(Some(entropy))?
        .local_private_key(keys.sealing().as_bytes())
        .and_then(|builder| builder.remote_public_key(to.as_bytes()))
        .and_then(|builder| builder.prologue(&prologue))
        .and_then(snow::Builder::build_initiator)
        .map_err(|_| SealError::Internal)?;
    let mut bytes = [0; BLOB_BYTES];
    let length = state
        .write_message(plaintext, &mut bytes)
        .map_err(|_| SealError::Internal)?;
    bytes
        .get(..length)
        .and_then(|bytes| Blob::from_bytes(bytes).ok())
        .map(Box::new)
        .ok_or(SealError::Internal)
}

/// Opens a blob: the sender's key and the fragment.
///
/// # Errors
/// [`SealError::Open`] if it is not for us, bound to something else, or damaged;
/// [`SealError::BadKey`] if the sender's key is one that anybody could use.
pub(crate) fn open(
    keys: &ClientKeys,
    binding: &Binding,
    blob: &Blob,
) -> Result<(PeerKey, Zeroizing<Vec<u8>>), SealError> {
    let prologue = binding.prologue();
    let mut state = builder(None)?
        .local_private_key(keys.sealing().as_bytes())
        .and_then(|builder| builder.prologue(&prologue))
        .and_then(snow::Builder::build_responder)
        .map_err(|_| SealError::Internal)?;
    let mut plaintext = Zeroizing::new(vec![0; BLOB_BYTES]);
    let length = state
        .read_message(blob.as_bytes(), &mut plaintext)
        .map_err(|_| SealError::Open)?;
    plaintext.truncate(length);
    let sender = state
        .get_remote_static()
        .and_then(|key| key.try_into().ok());
    let sender = PeerKey::parse(sender.ok_or(SealError::Internal)?)?;
    Ok((sender, plaintext))
}

fn builder<'a>(entropy: Option<Zeroizing<[u8; 32]>>) -> Result<snow::Builder<'a>, SealError> {
    let params: NoiseParams = PATTERN.parse().map_err(|_| SealError::Internal)?;
    let resolver = FallbackResolver::new(Box::new(Drawn(entropy)), Box::new(DefaultResolver));
    Ok(snow::Builder::with_resolver(params, Box::new(resolver)))
}

/// Gives the library randomness that the caller drew: 32 bytes for the ephemeral key, once.
struct Drawn(Option<Zeroizing<[u8; 32]>>);

impl CryptoResolver for Drawn {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(self.0.clone())))
    }

    fn resolve_dh(&self, _: &DHChoice) -> Option<Box<dyn Dh>> {
        None
    }

    fn resolve_hash(&self, _: &HashChoice) -> Option<Box<dyn Hash>> {
        None
    }

    fn resolve_cipher(&self, _: &CipherChoice) -> Option<Box<dyn Cipher>> {
        None
    }
}

struct Once(Option<Zeroizing<[u8; 32]>>);

impl Random for Once {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        let entropy = self.0.take().ok_or(snow::Error::Rng)?;
        if dest.len() != entropy.len() {
            return Err(snow::Error::Rng);
        }
        dest.copy_from_slice(entropy.as_slice());
        Ok(())
    }
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

    fn binding() -> Binding {
        Binding {
            network: NetworkHash::new([1; 32]),
            drop: DropId::new([2; 32]),
            message: MessageId::new([3; 16]),
        }
    }

    fn sealed(from: &ClientKeys, to: &PeerKey) -> Box<Blob> {
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        seal(&mut rng, from, to, &binding(), &[7; SEALED_BYTES]).unwrap()
    }

    #[test]
    fn the_receiver_reads_it_and_knows_the_sender() {
        let (alice, bob) = (keys(1), keys(2));
        let (sender, text) = open(&bob, &binding(), &sealed(&alice, &bob.public())).unwrap();
        assert_eq!(sender, alice.public());
        assert_eq!(*text, vec![7; SEALED_BYTES]);
    }

    #[test]
    fn nobody_else_reads_it() {
        let (alice, bob, eve) = (keys(1), keys(2), keys(3));
        let blob = sealed(&alice, &bob.public());
        assert_eq!(open(&eve, &binding(), &blob).err(), Some(SealError::Open));
        assert_eq!(open(&alice, &binding(), &blob).err(), Some(SealError::Open));
    }

    #[test]
    fn it_opens_only_where_it_was_put() {
        let (alice, bob) = (keys(1), keys(2));
        let blob = sealed(&alice, &bob.public());
        let moved = [
            Binding {
                network: NetworkHash::new([9; 32]),
                ..binding()
            },
            Binding {
                drop: DropId::new([9; 32]),
                ..binding()
            },
            Binding {
                message: MessageId::new([9; 16]),
                ..binding()
            },
        ];
        for binding in moved {
            assert_eq!(open(&bob, &binding, &blob).err(), Some(SealError::Open));
        }
    }

    /// Eve knows everybody's public key and nothing more. She writes Alice's key as the sender's
    /// with her own secret behind it: the second half of the handshake does not fit.
    #[test]
    fn a_sender_cannot_be_forged() {
        let (alice, bob, eve) = (keys(1), keys(2), keys(3));
        struct Liar {
            secret: [u8; 32],
            claimed: [u8; 32],
        }
        impl CryptoResolver for Liar {
            fn resolve_rng(&self) -> Option<Box<dyn Random>> {
                Some(Box::new(Once(Some(Zeroizing::new([5; 32])))))
            }
            fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
                let inner = DefaultResolver.resolve_dh(choice)?;
                Some(Box::new(LyingDh {
                    inner,
                    secret: self.secret,
                    claimed: self.claimed,
                }))
            }
            fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
                DefaultResolver.resolve_hash(choice)
            }
            fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
                DefaultResolver.resolve_cipher(choice)
            }
        }
        struct LyingDh {
            inner: Box<dyn Dh>,
            secret: [u8; 32],
            claimed: [u8; 32],
        }
        impl Dh for LyingDh {
            fn name(&self) -> &'static str {
                self.inner.name()
            }
            fn pub_len(&self) -> usize {
                32
            }
            fn priv_len(&self) -> usize {
                32
            }
            fn set(&mut self, privkey: &[u8]) {
                self.inner.set(privkey);
            }
            fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
                self.inner.generate(rng)
            }
            fn pubkey(&self) -> &[u8] {
                if self.inner.privkey() == self.secret {
                    &self.claimed
                } else {
                    self.inner.pubkey()
                }
            }
            fn privkey(&self) -> &[u8] {
                self.inner.privkey()
            }
            fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
                self.inner.dh(pubkey, out)
            }
        }
        let write = |claimed: [u8; 32]| {
            let liar = Liar {
                secret: *eve.sealing().as_bytes(),
                claimed,
            };
            let prologue = binding().prologue();
            let bob = bob.public();
            let mut state = snow::Builder::with_resolver(PATTERN.parse().unwrap(), Box::new(liar))
                .local_private_key(eve.sealing().as_bytes())
                .unwrap()
                .remote_public_key(bob.as_bytes())
                .unwrap()
                .prologue(&prologue)
                .unwrap()
                .build_initiator()
                .unwrap();
            let mut bytes = [0; BLOB_BYTES];
            state.write_message(&[7; SEALED_BYTES], &mut bytes).unwrap();
            Blob::from_bytes(&bytes).unwrap()
        };
        let honest = write(*eve.public().as_bytes());
        assert_eq!(open(&bob, &binding(), &honest).unwrap().0, eve.public());
        let forged = write(*alice.public().as_bytes());
        assert_eq!(open(&bob, &binding(), &forged).err(), Some(SealError::Open));
        // With a key of low order the proof is empty: anybody can speak for it.
        let nobody = write([0; 32]);
        assert!(open(&bob, &binding(), &nobody).is_err());
    }

    #[test]
    fn two_seals_of_one_text_share_nothing() {
        let (alice, bob) = (keys(1), keys(2));
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        let mut seal = || {
            seal(
                &mut rng,
                &alice,
                &bob.public(),
                &binding(),
                &[7; SEALED_BYTES],
            )
            .unwrap()
        };
        let (one, two) = (seal(), seal());
        let same = one
            .as_bytes()
            .iter()
            .zip(two.as_bytes())
            .filter(|(a, b)| a == b)
            .count();
        assert!(same < 30, "{same}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_tampered_blob_fails(at in 0..BLOB_BYTES, flip in 1u8..) {
            // The highest bit of a key is ignored by X25519 but bound by the handshake hash.
            let (alice, bob) = (keys(1), keys(2));
            let mut bytes = *sealed(&alice, &bob.public()).as_bytes();
            bytes[at] ^= flip;
            prop_assert!(open(&bob, &binding(), &Blob::from_bytes(&bytes).unwrap()).is_err());
        }
    }
}

//! The seal around a message of a session: nobody but the receiver sees which session that is, or any key of it.
//!
//! Noise N (one way, one message): an ephemeral key 32, what is inside and its tag 16, together one blob. The
//! prologue binds a blob to network, drop id and message id. Who wrote it, the session inside proves. Whoever steals
//! the receiver's static key sees the sessions of what was recorded before, and no text.

use rand::CryptoRng;
use shoal_packet::command::Blob;
use shoal_packet::fragment::CONTENT_BYTES;
use shoal_proto::size::BLOB_BYTES;
use shoal_proto::{DropId, MessageId, NetworkHash};
use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver, FallbackResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::Zeroizing;

use crate::error::SealError;
use crate::keys::{ClientKeys, PeerKey};

const PATTERN: &str = "Noise_N_25519_ChaChaPoly_BLAKE2b";

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
            b"shoal blob 2",
            self.network.as_bytes(),
            self.drop.as_bytes(),
            self.message.as_bytes(),
        ];
        parts.concat()
    }
}

/// Seals a message of a session to `to`.
///
/// # Errors
/// [`SealError::Size`] if `content` has not [`CONTENT_BYTES`].
pub(crate) fn seal<R: CryptoRng>(
    rng: &mut R,
    to: &PeerKey,
    binding: &Binding,
    content: &[u8],
) -> Result<Box<Blob>, SealError> {
    if content.len() != CONTENT_BYTES {
        return Err(SealError::Size(CONTENT_BYTES));
    }
    let mut entropy = Zeroizing::new([0; 32]);
    rng.fill_bytes(entropy.as_mut_slice());
    let prologue = binding.prologue();
    let mut state = builder(Some(entropy))?
        .remote_public_key(to.as_bytes())
        .and_then(|builder| builder.prologue(&prologue))
        .and_then(snow::Builder::build_initiator)
        .map_err(|_| SealError::Internal)?;
    let mut bytes = [0; BLOB_BYTES];
    let length = state
        .write_message(content, &mut bytes)
        .map_err(|_| SealError::Internal)?;
    bytes
        .get(..length)
        .and_then(|bytes| Blob::from_bytes(bytes).ok())
        .map(Box::new)
        .ok_or(SealError::Internal)
}

/// Opens a blob: the message of a session in it.
///
/// # Errors
/// [`SealError::Open`] if it is not for us, bound to something else, or damaged.
pub(crate) fn open(
    keys: &ClientKeys,
    binding: &Binding,
    blob: &Blob,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let prologue = binding.prologue();
    let mut state = builder(None)?
        .local_private_key(keys.sealing().as_bytes())
        .and_then(|builder| builder.prologue(&prologue))
        .and_then(snow::Builder::build_responder)
        .map_err(|_| SealError::Internal)?;
    let mut content = Zeroizing::new(vec![0; BLOB_BYTES]);
    let length = state
        .read_message(blob.as_bytes(), &mut content)
        .map_err(|_| SealError::Open)?;
    content.truncate(length);
    Ok(content)
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

    fn sealed(to: &PeerKey) -> Box<Blob> {
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        seal(&mut rng, to, &binding(), &[7; CONTENT_BYTES]).unwrap()
    }

    #[test]
    fn the_receiver_opens_it_and_nobody_else() {
        let (bob, eve) = (keys(2), keys(3));
        let blob = sealed(&bob.public());
        assert_eq!(
            *open(&bob, &binding(), &blob).unwrap(),
            vec![7; CONTENT_BYTES]
        );
        assert_eq!(open(&eve, &binding(), &blob).err(), Some(SealError::Open));
    }

    #[test]
    fn it_opens_only_where_it_was_put() {
        let bob = keys(2);
        let blob = sealed(&bob.public());
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

    #[test]
    fn two_seals_of_one_message_share_nothing() {
        let bob = keys(2);
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        let mut seal = || seal(&mut rng, &bob.public(), &binding(), &[7; CONTENT_BYTES]).unwrap();
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
            let bob = keys(2);
            let mut bytes = *sealed(&bob.public()).as_bytes();
            bytes[at] ^= flip;
            prop_assert!(open(&bob, &binding(), &Blob::from_bytes(&bytes).unwrap()).is_err());
        }
    }
}

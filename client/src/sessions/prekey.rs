//! Prekeys: what a session with us is begun with, by who has an invitation of ours.

use rand::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::keys::PeerKey;

/// A prekey of ours. Its public half stands in the invitation that it was made with, and it is wiped with
/// that: what was sent to it can't be read from then on, whatever else is stolen.
pub(crate) struct Prekey {
    secret: Zeroizing<[u8; 32]>,
    public: PeerKey,
}

impl Prekey {
    /// A fresh one.
    pub(crate) fn generate<R: CryptoRng>(rng: &mut R) -> Self {
        loop {
            let mut secret = Zeroizing::new([0; 32]);
            rng.fill_bytes(secret.as_mut_slice());
            // All but none of them are sound.
            if let Some(prekey) = Self::from_secret(secret) {
                return prekey;
            }
        }
    }

    /// From what was kept of one; none if it is unsound.
    pub(crate) fn from_secret(secret: Zeroizing<[u8; 32]>) -> Option<Self> {
        let public = PublicKey::from(&StaticSecret::from(*secret));
        let public = PeerKey::parse(public.to_bytes()).ok()?;
        Some(Self { secret, public })
    }

    pub(crate) const fn secret(&self) -> &Zeroizing<[u8; 32]> {
        &self.secret
    }

    pub(crate) const fn public(&self) -> PeerKey {
        self.public
    }
}

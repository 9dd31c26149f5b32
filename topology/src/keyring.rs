//! A node's Sphinx keys, one for each epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::CryptoRng;
use shoal_packet::{SphinxPublic, SphinxSecret};
use shoal_proto::Epoch;
use zeroize::Zeroizing;

/// A node's own Sphinx secrets, one per epoch. Cloning is cheap; a secret is wiped when its last
/// holder lets go of it. No `Debug`.
#[derive(Clone, Default)]
pub struct KeyRing(BTreeMap<Epoch, Arc<SphinxSecret>>);

impl KeyRing {
    /// An empty ring.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From rows as [`rows`](Self::rows) gives them.
    #[must_use]
    pub fn from_rows(rows: impl IntoIterator<Item = (Epoch, Zeroizing<[u8; 32]>)>) -> Self {
        let secret = |bytes: Zeroizing<[u8; 32]>| Arc::new(SphinxSecret::from_bytes(*bytes));
        Self(
            rows.into_iter()
                .map(|(epoch, bytes)| (epoch, secret(bytes)))
                .collect(),
        )
    }

    /// The secrets for keeping on disk, in the order of their epochs.
    pub fn rows(&self) -> impl Iterator<Item = (Epoch, Zeroizing<[u8; 32]>)> + '_ {
        self.0
            .iter()
            .map(|(epoch, secret)| (*epoch, secret.to_bytes()))
    }

    /// Makes a key for the epoch unless there is one. True if it was made now.
    pub fn ensure<R: CryptoRng + ?Sized>(&mut self, rng: &mut R, epoch: Epoch) -> bool {
        let missing = !self.0.contains_key(&epoch);
        if missing {
            self.0.insert(epoch, Arc::new(SphinxSecret::generate(rng)));
        }
        missing
    }

    /// A ring without the keys of these epochs.
    #[must_use]
    pub fn without(&self, leave_out: impl Fn(Epoch) -> bool) -> Self {
        let kept = self.0.iter().filter(|(epoch, _)| !leave_out(**epoch));
        Self(
            kept.map(|(epoch, secret)| (*epoch, Arc::clone(secret)))
                .collect(),
        )
    }

    /// Forgets the keys of all epochs before this one, and says which they were.
    pub fn expire(&mut self, before: Epoch) -> Vec<Epoch> {
        let kept = self.0.split_off(&before);
        std::mem::replace(&mut self.0, kept).into_keys().collect()
    }

    /// The secret of the epoch.
    #[must_use]
    pub fn secret(&self, epoch: Epoch) -> Option<&SphinxSecret> {
        self.0.get(&epoch).map(Arc::as_ref)
    }

    /// The secret of the epoch, shared.
    #[must_use]
    pub fn shared(&self, epoch: Epoch) -> Option<Arc<SphinxSecret>> {
        self.0.get(&epoch).cloned()
    }

    /// The public key of the epoch.
    #[must_use]
    pub fn public(&self, epoch: Epoch) -> Option<SphinxPublic> {
        self.secret(epoch).map(SphinxSecret::public)
    }

    /// The epochs that have a key, ascending, with it.
    pub fn iter(&self) -> impl Iterator<Item = (Epoch, &SphinxSecret)> {
        self.0
            .iter()
            .map(|(epoch, secret)| (*epoch, secret.as_ref()))
    }
}

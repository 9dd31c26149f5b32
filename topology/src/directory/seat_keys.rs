//! The keys that this node votes with where it has a seat: one for each term, and nobody who takes the
//! machine later can vote with those of terms that are over.

use shoal_proto::NodeId;
use zeroize::Zeroizing;

use crate::Identity;
use crate::canonical::Canonical;

/// Keys by number. Each follows from the secret before it by a hash, so that what is kept tells those
/// from then on and none before.
pub(super) struct SeatKeys {
    /// The number of the oldest key that is still needed.
    first: u64,
    /// What that follows from.
    secret: Zeroizing<[u8; 32]>,
    /// The number of the key that the own descriptors name.
    named: u64,
}

/// Bytes of what is kept on disk: two numbers, and a secret.
pub(super) const KEPT: usize = 48;

impl SeatKeys {
    pub(super) const fn new(secret: Zeroizing<[u8; 32]>) -> Self {
        Self {
            first: 0,
            secret,
            named: 0,
        }
    }

    /// From what was kept. None if it is none.
    pub(super) fn restore(kept: &[u8]) -> Option<Self> {
        let (first, rest) = kept.split_first_chunk()?;
        let (named, secret) = rest.split_first_chunk()?;
        let keys = Self {
            first: u64::from_be_bytes(*first),
            secret: Zeroizing::new(secret.try_into().ok()?),
            named: u64::from_be_bytes(*named),
        };
        (keys.first <= keys.named && keys.named - keys.first <= MOST).then_some(keys)
    }

    pub(super) fn keep(&self) -> Zeroizing<Vec<u8>> {
        let mut kept = Zeroizing::new(Vec::with_capacity(KEPT));
        kept.extend_from_slice(&self.first.to_be_bytes());
        kept.extend_from_slice(&self.named.to_be_bytes());
        kept.extend_from_slice(self.secret.as_slice());
        kept
    }

    /// The key that a descriptor is to name.
    pub(super) fn named(&self) -> NodeId {
        self.key(self.named).id()
    }

    /// The secret of a key, if it is still there.
    pub(super) fn find(&self, key: &NodeId) -> Option<Identity> {
        let keys = (self.first..=self.named).map(|number| self.key(number));
        keys.into_iter().find(|known| known.id() == *key)
    }

    /// A term has begun: descriptors name another key from now on, and all before the first that is
    /// still needed are forgotten.
    pub(super) fn next_term(&mut self, needed: impl Fn(&NodeId) -> bool) {
        self.named += 1;
        while self.first < self.named
            && (!needed(&self.key(self.first).id()) || self.named - self.first > MOST)
        {
            self.secret = next(&self.secret);
            self.first += 1;
        }
    }

    fn key(&self, number: u64) -> Identity {
        let mut secret = self.secret.clone();
        for _ in self.first..number {
            secret = next(&secret);
        }
        let key = Canonical::new("shoal seat key 1").bytes(secret.as_slice());
        Identity::from_bytes(&Zeroizing::new(key.finish()))
    }
}

/// Most keys at a time. A key is needed for a term or two.
const MOST: u64 = 8;

fn next(secret: &Zeroizing<[u8; 32]>) -> Zeroizing<[u8; 32]> {
    let next = Canonical::new("shoal seat secret 1").bytes(secret.as_slice());
    Zeroizing::new(next.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_can_not_be_found_again() {
        let mut keys = SeatKeys::new(Zeroizing::new([7; 32]));
        let first = keys.named();
        keys.next_term(|key| *key == first);
        let second = keys.named();
        assert!(first != second && keys.find(&first).is_some());
        let kept = keys.keep();
        let restored = SeatKeys::restore(&kept).expect("whole");
        assert!(restored.named() == second && restored.find(&first).is_some());
        keys.next_term(|key| *key == second);
        assert!(keys.find(&first).is_none() && keys.find(&second).is_some());
        // One key, and two numbers: what is kept grows with nothing.
        assert_eq!((keys.keep().len(), kept.len()), (KEPT, KEPT));
        for _ in 0..100 {
            keys.next_term(|_| true);
        }
        assert!(keys.find(&second).is_none(), "nothing is needed for ever");
        assert!(SeatKeys::restore(&kept[1..]).is_none());
    }
}

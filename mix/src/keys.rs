//! The keys of the epochs that are accepted, each with its replay filter.

use std::collections::BTreeMap;
use std::sync::Arc;

use shoal_packet::SphinxSecret;
use shoal_proto::Epoch;
use shoal_topology::KeyRing;

use crate::replay::ReplayFilter;

/// Keys and filters by epoch. A filter may be there before its key, never a key without a filter.
pub(crate) struct EpochKeys {
    secrets: BTreeMap<Epoch, Arc<SphinxSecret>>,
    filters: BTreeMap<Epoch, Arc<ReplayFilter>>,
    /// Keys of epochs before this one were forgotten with their filters: they never come back.
    floor: Epoch,
}

/// What opens the packets of one epoch, and remembers them.
pub(crate) struct EpochKey {
    pub(crate) secret: Arc<SphinxSecret>,
    pub(crate) filter: Arc<ReplayFilter>,
}

impl EpochKeys {
    pub(crate) const fn new() -> Self {
        Self {
            secrets: BTreeMap::new(),
            filters: BTreeMap::new(),
            floor: Epoch::new(0),
        }
    }

    /// Takes the keys to accept from now on, and forgets the others with their filters.
    pub(crate) fn set(&mut self, keys: &KeyRing) {
        let forgotten = self
            .secrets
            .keys()
            .rev()
            .find(|epoch| keys.secret(**epoch).is_none());
        if let Some(last) = forgotten {
            self.floor = self.floor.max(last.next());
        }
        let mut taken = BTreeMap::new();
        for (epoch, _) in keys.iter() {
            if self.may_hold(epoch) {
                self.filters.entry(epoch).or_default();
                taken.extend(keys.shared(epoch).map(|secret| (epoch, secret)));
            }
        }
        self.secrets = taken;
        let (secrets, floor) = (&self.secrets, self.floor);
        self.filters
            .retain(|epoch, _| *epoch >= floor || secrets.contains_key(epoch));
    }

    /// The filter of an epoch, to be filled with tags from before a restart; none for an epoch
    /// that is over.
    pub(crate) fn filter(&mut self, epoch: Epoch) -> Option<Arc<ReplayFilter>> {
        self.may_hold(epoch)
            .then(|| Arc::clone(self.filters.entry(epoch).or_default()))
    }

    /// Key and filter of an epoch that is accepted.
    pub(crate) fn of(&self, epoch: Epoch) -> Option<EpochKey> {
        Some(EpochKey {
            secret: Arc::clone(self.secrets.get(&epoch)?),
            filter: Arc::clone(self.filters.get(&epoch)?),
        })
    }

    fn may_hold(&self, epoch: Epoch) -> bool {
        epoch >= self.floor || self.secrets.contains_key(&epoch)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    #[test]
    fn a_filter_that_was_filled_before_its_key_is_there_outlives_other_keys() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let mut keys = EpochKeys::new();
        let filled = keys.filter(Epoch::new(5)).expect("no epoch is over");
        let mut ring = KeyRing::new();
        ring.ensure(rng, Epoch::new(4));
        keys.set(&ring);
        ring.ensure(rng, Epoch::new(5));
        keys.set(&ring);
        let key = keys.of(Epoch::new(5)).expect("its key is there");
        assert!(
            Arc::ptr_eq(&key.filter, &filled),
            "what it remembers is remembered"
        );
        // With its key it is forgotten for good.
        keys.set(&KeyRing::new());
        assert!(keys.filter(Epoch::new(5)).is_none());
    }
}

//! The documents that are known, and which of several is believed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shoal_proto::{Epoch, NodeId, Time};

use super::MAX_PEERS;
use super::header::Header;
use super::pool::{covers, eligible};
use crate::rules::Rules;
use crate::{Descriptor, Document, DocumentError, MAX_STALE_EPOCHS, NetworkParameters, View};

/// The documents that are known, at most one for each epoch, and why they are believed.
///
/// Documents of one epoch that differ are put in an order that is the same everywhere: more
/// genesis members, then following another document, then more members, then the smaller hash.
/// The first in that order wins wherever both are known, so that nodes that were apart agree
/// again. A document only takes part if its layers follow from the document before and its
/// descriptors were issued in time, so that it can't be bent by who made it.
#[derive(Default)]
pub(super) struct Archive {
    view: View,
    /// Epochs whose document was taken on a neighbour's word, for want of the one before.
    adopted: BTreeMap<Epoch, BTreeMap<NodeId, [u8; 32]>>,
    /// Documents that were fetched and not taken, as long as nothing has changed that could make them
    /// worth another look.
    declined: BTreeSet<(Epoch, [u8; 32])>,
}

/// Most documents that were not taken and are remembered.
const MAX_DECLINED: usize = 256;

/// What became of a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Considered {
    /// It is known already.
    Known,
    /// It is the first of its epoch.
    Added,
    /// It was preferred to the one that was known; later ones that followed from that are gone.
    Replaced,
    /// The one that is known was kept.
    Kept,
}

impl Archive {
    pub(super) const fn view(&self) -> &View {
        &self.view
    }

    pub(super) fn get(&self, epoch: Epoch) -> Option<&Arc<Document>> {
        self.view.documents.get(&epoch)
    }

    pub(super) fn documents(&self) -> impl Iterator<Item = &Arc<Document>> {
        self.view.documents.values()
    }

    /// Whether a document with this header would rank better than what is known, if it is what it says:
    /// only then it is worth fetching.
    pub(super) fn wants(&self, rules: &Rules, now: Time, header: &Header) -> bool {
        let (epoch, hash) = (header.epoch, header.hash);
        if check_epoch(&rules.params, now, epoch).is_err()
            || self.declined.contains(&(epoch, hash))
            || header.genesis > rules.genesis().len()
            || self.get(epoch).is_some_and(|ours| *ours.hash() == hash)
        {
            return false;
        }
        let follows = match header.is_first() {
            true => enough_genesis(rules, header.genesis),
            false => self.before(epoch, &header.previous).is_some(),
        };
        let Some(ours) = self.get(epoch).map(|ours| Header::of(rules, ours)) else {
            return follows || self.may_adopt(rules, epoch, header.genesis);
        };
        follows && header.rank() > ours.rank()
            || header.genesis > ours.genesis
            || self.outvoted(epoch, &hash)
    }

    /// Remembers a document that was fetched and not taken.
    pub(super) fn decline(&mut self, epoch: Epoch, hash: [u8; 32]) {
        if self.declined.len() >= MAX_DECLINED {
            self.declined.pop_first();
        }
        self.declined.insert((epoch, hash));
    }

    /// The document before one of this epoch that has this hash.
    fn before(&self, epoch: Epoch, hash: &[u8; 32]) -> Option<&Arc<Document>> {
        let mut before = self.view.documents.range(..epoch);
        let found = before.find(|(_, document)| document.hash() == hash);
        found.map(|(_, document)| document)
    }

    /// Weighs a verified document. `from` is the neighbour that sent it; none if it was formed
    /// here or comes from disk. `derived` says whether it was found to be what anybody would form
    /// from its descriptors and its [`base`](Self::base).
    ///
    /// # Errors
    /// When it has no place now, or does not follow from what is known.
    pub(super) fn consider(
        &mut self,
        rules: &Rules,
        now: Time,
        document: Arc<Document>,
        from: Option<NodeId>,
        derived: bool,
    ) -> Result<Considered, DocumentError> {
        let epoch = document.epoch();
        check_epoch(&rules.params, now, epoch)?;
        let Some(ours) = self.get(epoch) else {
            let genesis = Header::of(rules, &document).genesis;
            if !derived && !self.may_adopt(rules, epoch, genesis) {
                return Err(DocumentError::NotDerived);
            }
            if !derived {
                self.adopted.insert(epoch, BTreeMap::new());
                self.vote(epoch, from, *document.hash());
            }
            self.view.documents.insert(epoch, document);
            self.declined.clear();
            return Ok(Considered::Added);
        };
        if ours.hash() == document.hash() {
            if derived {
                self.adopted.remove(&epoch);
            }
            return Ok(Considered::Known);
        }
        let ours = Arc::clone(ours);
        self.vote(epoch, from, *document.hash());
        let (theirs, ours) = (Header::of(rules, &document), Header::of(rules, &ours));
        let better = if derived {
            theirs.rank() > ours.rank()
        } else {
            theirs.genesis > ours.genesis || self.outvoted(epoch, document.hash())
        };
        if !better {
            return Ok(Considered::Kept);
        }
        self.replace(document, derived);
        Ok(Considered::Replaced)
    }

    fn replace(&mut self, document: Arc<Document>, derived: bool) {
        let epoch = document.epoch();
        if derived {
            self.adopted.remove(&epoch);
        } else {
            self.adopted.entry(epoch).or_default();
        }
        // What was formed on top of the other one is formed anew.
        self.view.documents.split_off(&epoch.next());
        self.adopted.split_off(&epoch.next());
        self.view.documents.insert(epoch, document);
        self.declined.clear();
    }

    /// Notes that a neighbour goes by this document, where ours is taken on others' word.
    pub(super) fn vote(&mut self, epoch: Epoch, from: Option<NodeId>, hash: [u8; 32]) {
        let (Some(votes), Some(from)) = (self.adopted.get_mut(&epoch), from) else {
            return;
        };
        if (votes.len() < MAX_PEERS || votes.contains_key(&from))
            && votes.insert(from, hash) != Some(hash)
        {
            // It may have a majority now.
            self.declined.remove(&(epoch, hash));
        }
    }

    /// Notes that a neighbour that answered had nothing against our document of this epoch.
    pub(super) fn vote_for_ours(&mut self, epoch: Epoch, from: NodeId) {
        if let Some(hash) = self.get(epoch).map(|document| *document.hash()) {
            self.vote(epoch, Some(from), hash);
        }
    }

    /// Epochs whose document was taken on a neighbour's word.
    pub(super) fn adopted(&self) -> impl Iterator<Item = Epoch> + '_ {
        self.adopted.keys().copied()
    }

    /// Whether most neighbours that have said anything go by another document than ours, where
    /// ours is only taken on others' word.
    fn outvoted(&self, epoch: Epoch, hash: &[u8; 32]) -> bool {
        self.adopted.get(&epoch).is_some_and(|votes| {
            let theirs = votes.values().filter(|vote| *vote == hash).count();
            theirs * 2 > votes.len()
        })
    }

    /// Forgets documents that can't be in force any more. Gives their epochs.
    pub(super) fn prune(&mut self, params: &NetworkParameters, now: Time) -> Vec<Epoch> {
        let oldest = oldest(params, now);
        let kept = self.view.documents.split_off(&oldest);
        self.adopted = self.adopted.split_off(&oldest);
        self.declined.retain(|(epoch, _)| *epoch >= oldest);
        std::mem::replace(&mut self.view.documents, kept)
            .into_keys()
            .collect()
    }

    /// What the document can be derived from: the document before, or nothing for one without a
    /// predecessor that has two thirds of the genesis members. None if it can't be derived from
    /// what is known, or its descriptors don't count. Where there is a base, the document is derived
    /// if it is exactly what anybody would form from that and its descriptors.
    #[expect(clippy::option_option, reason = "no base is needed, or there is none")]
    pub(super) fn base(
        &self,
        rules: &Rules,
        now: Time,
        document: &Document,
    ) -> Option<Option<Arc<Document>>> {
        let (params, epoch) = (&rules.params, document.epoch());
        check_epoch(params, now, epoch).ok()?;
        let base = if *document.previous() == [0; 32] {
            if !enough_genesis(rules, Header::of(rules, document).genesis) {
                return None;
            }
            None
        } else {
            Some(self.before(epoch, document.previous())?)
        };
        // The first document lists genesis members only, who need not wait for a deadline.
        let first = base.is_none() && document.members().all(|m| rules.is_genesis(&m.id));
        let counts = |signed| {
            (first && covers(params, epoch, signed))
                || eligible(params, epoch, base.map(Arc::as_ref), signed)
        };
        let all = document.descriptors().all(counts);
        all.then(|| base.cloned())
    }

    /// Whether a document that can't be derived may be believed: we have nothing that it should
    /// follow from, or what we have is believed on others' word too, or by fewer genesis members.
    fn may_adopt(&self, rules: &Rules, epoch: Epoch, genesis: usize) -> bool {
        let Some(epoch_before) = epoch.previous() else {
            return true;
        };
        let Some(before) = self.get(epoch_before) else {
            return true;
        };
        self.adopted.contains_key(&epoch_before) || genesis > Header::of(rules, before).genesis
    }
}

/// Whether a document without a predecessor has enough of the genesis members: two thirds.
pub(super) fn enough_genesis(rules: &Rules, count: usize) -> bool {
    count * 3 >= rules.genesis().len() * 2
}

/// The oldest epoch whose document can still be in force, here or at a neighbour.
fn oldest(params: &NetworkParameters, now: Time) -> Epoch {
    Epoch::new(
        params
            .epoch_at(now)
            .number()
            .saturating_sub(MAX_STALE_EPOCHS + 1),
    )
}

fn check_epoch(params: &NetworkParameters, now: Time, epoch: Epoch) -> Result<(), DocumentError> {
    let soon = now + Descriptor::clock_tolerance(params);
    let early = epoch > params.epoch_at(now) && soon < params.freeze_time(epoch);
    if epoch < oldest(params, now) || epoch > params.epoch_at(soon).next() || early {
        return Err(DocumentError::Epoch(epoch));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;
    use shoal_proto::wire;

    use super::*;
    use crate::sample::Network;

    const FIRST: Epoch = Epoch::new(3);

    fn network() -> (ChaCha20Rng, Network, Arc<Document>) {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let mut net = Network::new(&mut rng, NetworkParameters::example(), 2, 2);
        let first = net.document(&mut rng, FIRST, None).unwrap();
        (rng, net, first)
    }

    /// Weighs a document after finding out whether it is derived.
    fn consider(
        archive: &mut Archive,
        rules: &Rules,
        now: Time,
        document: &Arc<Document>,
        from: Option<u8>,
    ) -> Result<Considered, DocumentError> {
        let base = archive.base(rules, now, document);
        let derived = base.is_some_and(|base| document.follows_from(base.as_deref(), rules));
        let from = from.map(|from| NodeId::new([from; 32]));
        archive.consider(rules, now, Arc::clone(document), from, derived)
    }

    /// The same members in layers that do not follow from anything.
    fn bent(params: &NetworkParameters, document: &Document) -> Arc<Document> {
        use prost::Message;
        let mut wire = wire::Document::decode(document.encode()).unwrap();
        let mixes = wire.members.iter_mut().filter(|member| member.layer > 0);
        mixes.for_each(|member| member.layer = member.layer % 3 + 1);
        Arc::new(Document::decode_verified(&wire.encode_to_vec(), params).unwrap())
    }

    #[test]
    fn bent_layers_are_taken_from_nobody_who_can_check() {
        let (mut rng, mut net, first) = network();
        let (params, now) = (Arc::clone(&net.params), net.params.start_of(FIRST));
        let rules = Rules::new(Arc::clone(&params));
        let mut archive = Archive::default();
        let at_first = |archive: &mut Archive, document: &Arc<Document>, from: u8| {
            consider(archive, &rules, now, document, Some(from))
        };
        assert_eq!(at_first(&mut archive, &first, 1), Ok(Considered::Added));
        assert_eq!(at_first(&mut archive, &first, 2), Ok(Considered::Known));
        let rival = bent(&params, &first);
        for from in 1..9 {
            assert_eq!(at_first(&mut archive, &rival, from), Ok(Considered::Kept));
        }
        let second = net.document(&mut rng, FIRST.next(), Some(&first)).unwrap();
        let early = at_first(&mut archive, &second, 1);
        assert_eq!(early, Err(DocumentError::Epoch(FIRST.next())));
        let now = params.start_of(FIRST.next());
        let rival = bent(&params, &second);
        assert_eq!(
            consider(&mut archive, &rules, now, &rival, None),
            Err(DocumentError::NotDerived)
        );
        // Its descriptors were issued after the deadline, so it does not follow either.
        let late = consider(&mut archive, &rules, now, &second, None);
        assert_eq!(late, Err(DocumentError::NotDerived));
    }

    #[test]
    fn who_cannot_check_goes_by_the_majority() {
        let (mut rng, mut net, first) = network();
        let params = Arc::clone(&net.params);
        let second = net.document(&mut rng, FIRST.next(), Some(&first)).unwrap();
        let rival = bent(&params, &second);
        let now = params.start_of(FIRST.next());
        let rules = Rules::new(params);
        let mut archive = Archive::default();
        let mut consider = |document: &Arc<Document>, from: u8| {
            consider(&mut archive, &rules, now, document, Some(from))
        };
        assert_eq!(consider(&rival, 1), Ok(Considered::Added));
        assert_eq!(
            consider(&second, 2),
            Ok(Considered::Kept),
            "one against one"
        );
        assert_eq!(
            consider(&second, 2),
            Ok(Considered::Kept),
            "who repeats itself counts once"
        );
        assert_eq!(consider(&second, 3), Ok(Considered::Replaced));
        assert_eq!(consider(&rival, 4), Ok(Considered::Kept));
    }

    #[test]
    fn a_document_is_wanted_only_if_it_would_be_taken() {
        let (_, net, first) = network();
        let params = Arc::clone(&net.params);
        let (rules, now) = (Rules::new(Arc::clone(&params)), params.start_of(FIRST));
        let mut archive = Archive::default();
        let header = Header::of(&rules, &first);
        assert!(archive.wants(&rules, now, &header));
        let odd = |change: &dyn Fn(&mut Header)| {
            let mut odd = header;
            change(&mut odd);
            odd
        };
        // Not of this time, or of a network that there can't be.
        let far = odd(&|header| header.epoch = Epoch::new(FIRST.number() + 2));
        let grand = odd(&|header| header.genesis += 1);
        assert!(!archive.wants(&rules, now, &far) && !archive.wants(&rules, now, &grand));
        consider(&mut archive, &rules, now, &first, None).unwrap();
        assert!(!archive.wants(&rules, now, &header), "it is known");
        let worse = [
            odd(&|header| (header.genesis, header.hash) = (header.genesis - 1, [0; 32])),
            odd(&|header| (header.members, header.hash) = (header.members - 1, [0; 32])),
            odd(&|header| header.hash = [255; 32]),
        ];
        for header in &worse {
            assert!(!archive.wants(&rules, now, header), "{header:?}");
        }
        let better = odd(&|header| header.hash = [0; 32]);
        assert!(archive.wants(&rules, now, &better));
        archive.decline(better.epoch, better.hash);
        assert!(!archive.wants(&rules, now, &better), "it was looked at");
    }

    #[test]
    fn old_documents_are_forgotten() {
        let (_, net, first) = network();
        let params = &net.params;
        let mut archive = Archive::default();
        let rules = Rules::new(Arc::clone(params));
        consider(&mut archive, &rules, params.start_of(FIRST), &first, None).unwrap();
        let at = |epoch| params.start_of(Epoch::new(epoch));
        assert!(archive.prune(params, at(7)).is_empty());
        assert_eq!(archive.prune(params, at(8)), [FIRST]);
        assert!(archive.documents().next().is_none());
    }
}

//! What a client takes from the answers of several nodes, and what it does not believe.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shoal_proto::{DocumentHash, Epoch, NodeId, Time};

use crate::agreement::{CertifiedAmendment, Height};
use crate::canonical::Canonical;
use crate::chain::{Followed, Link, Mark, Trust, follow};
use crate::directory::Chain;
use crate::rules::Rules;
use crate::{
    AdoptError, Document, DocumentError, MAX_STALE_EPOCHS, NetworkParameters, Successor, View,
};

/// What a client takes from the answers of several nodes.
#[derive(Clone, Debug)]
pub struct ClientDirectory {
    /// The documents of the answers: the one in force, and perhaps its neighbours.
    pub documents: BTreeMap<Epoch, Arc<Document>>,
    /// The epoch of the one in force.
    pub in_force: Epoch,
    /// Who named the one in force. None of all who answered has a newer one that counts now.
    pub named_by: BTreeSet<NodeId>,
    /// Whose signatures count from now on. Keep it: who asks again needs only what comes after.
    pub trust: Trust,
    /// What to add to the own clock, in microseconds: the median of what the nodes' clocks say.
    pub clock_offset_us: i64,
    /// The amendments of the answers whose signatures are right, each once.
    pub amendments: Vec<CertifiedAmendment>,
}

impl ClientDirectory {
    /// The documents as a view.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::new(View {
            documents: self.documents.clone(),
        })
    }
}

/// A node's answer as it came.
#[derive(Clone, Debug)]
pub struct Response {
    /// Whose.
    pub from: NodeId,
    /// When it came.
    pub came: Time,
    /// What it says.
    pub bytes: Vec<u8>,
}

/// The answers of several nodes to the question for the chain (see
/// [`chain_request`](crate::chain_request)), read but not verified. Every answer has to come from
/// another node. Answers that can't be read are passed over.
pub struct Answers {
    answers: Vec<(NodeId, Time, Chain)>,
}

/// What came of following the answers, in their order. Copies share their memory.
#[derive(Clone)]
pub struct Looked {
    each: Vec<Arc<(Followed, Option<DocumentError>)>>,
    amendments: Vec<CertifiedAmendment>,
    /// And how many of the answers have it.
    successor: Option<Box<(Successor, usize)>>,
}

impl Looked {
    /// What came of each, and what was wrong with the first thing in it that was.
    pub fn each(&self) -> impl Iterator<Item = (&Followed, Option<&DocumentError>)> {
        self.each
            .iter()
            .map(|looked| (&looked.0, looked.1.as_ref()))
    }

    /// Whose signatures count after the answer that leads furthest; none if they contradict each other, or
    /// nothing was answered. Who was away for long has to ask again from there.
    #[must_use]
    pub fn furthest(&self) -> Option<&Trust> {
        let trusts = self.each.iter().map(|looked| &looked.0.trust);
        let furthest = trusts.clone().max_by_key(|trust| trust.since())?;
        let mut equals = trusts.filter(|trust| trust.since() == furthest.since());
        equals.all(|trust| trust == furthest).then_some(furthest)
    }

    /// A file that follows on the network's, which more than two thirds of those who sit have signed, and how many of
    /// the answers have it.
    #[must_use]
    pub fn successor(&self) -> Option<(&Successor, usize)> {
        let found = self.successor.as_ref();
        found.map(|found| (&found.0, found.1))
    }

    /// The newest document that is seen to be signed now, or was known to be before.
    #[must_use]
    pub fn newest(&self, known: Option<Mark>) -> Option<Mark> {
        let seen = self.links().map(|link| link.mark);
        seen.chain(known).max_by_key(|mark| mark.height)
    }

    fn links(&self) -> impl Iterator<Item = &Link> {
        self.each.iter().flat_map(|looked| &looked.0.links)
    }

    /// Whether all that is signed is of one history, with the documents that are known and the newest that was
    /// seen before.
    fn check(&self, known: &View, newest: Option<Mark>) -> Result<(), AdoptError> {
        let known = known.documents.values().map(|it| Mark::of(it));
        let links = self.links().map(|link| link.mark);
        let mut seen: BTreeMap<Height, Mark> = BTreeMap::new();
        for mark in known.chain(newest).chain(links) {
            let there = seen.entry(mark.height).or_insert(mark);
            same(there, mark.hash)?;
        }
        for link in self.links() {
            let before = link.mark.height.number().saturating_sub(1);
            if let Some(before) = seen.get(&Height::new(before)) {
                same(before, link.previous)?;
            }
        }
        Ok(())
    }

    /// Documents of terms that are over, whose signatures can't be verified any more: those that follow, by
    /// the hashes in them, from what is known or was verified.
    fn recognised(&self, newest: Option<Mark>) -> Vec<&Arc<Document>> {
        let links = self.links().flat_map(|it| [it.mark.hash, it.previous]);
        let mut hashes = BTreeSet::from_iter(links.chain(newest.map(|it| it.hash)));
        let unsigned = self.each.iter().flat_map(|looked| &looked.0.unsigned);
        let mut unsigned = Vec::from_iter(unsigned);
        // Each names the one before it.
        unsigned.sort_by_key(|document| std::cmp::Reverse(document.height()));
        unsigned.retain(|document| {
            let recognised = hashes.contains(document.hash());
            if recognised {
                hashes.insert(*document.previous());
            }
            recognised
        });
        unsigned
    }
}

fn same(seen: &Mark, hash: DocumentHash) -> Result<(), AdoptError> {
    if seen.hash == hash {
        return Ok(());
    }
    Err(AdoptError::Contradiction {
        epoch: seen.epoch,
        seen: [seen.hash, hash],
    })
}

impl Answers {
    /// Of how many families nodes have to say so, before an old document is gone on with.
    pub const NEEDED: usize = 3;

    /// Reads answers.
    ///
    /// # Errors
    /// When there is nothing to go by.
    pub fn read(responses: &[Response]) -> Result<Self, AdoptError> {
        if responses.is_empty() {
            return Err(AdoptError::NoAnswers);
        }
        let read = |response: &Response| {
            let chain = Chain::of(&response.bytes)?;
            Some((response.from, response.came, chain))
        };
        let answers: Vec<_> = responses.iter().filter_map(read).collect();
        if answers.is_empty() {
            return Err(AdoptError::Unreadable(responses.len()));
        }
        Ok(Self { answers })
    }

    /// Follows each answer from what is trusted, and verifies its documents: an answer that is the same as
    /// another once. `known` are the documents that were taken before. Takes about 50 µs for each signature.
    #[must_use]
    pub fn look(&self, params: &NetworkParameters, trust: &Trust, known: &View) -> Looked {
        self.look_by(&Rules::of(params), trust, known)
    }

    /// As [`look`](Self::look), with the file that is to follow, by whose values documents are formed from its epoch
    /// on.
    #[must_use]
    pub fn look_before(
        &self,
        next: &Successor,
        params: &NetworkParameters,
        trust: &Trust,
        known: &View,
    ) -> Looked {
        let rules = Rules::of(params).followed_by(next.clone());
        self.look_by(&rules, trust, known)
    }

    fn look_by(&self, rules: &Rules, trust: &Trust, known: &View) -> Looked {
        let documents: Vec<_> = known.documents.values().cloned().collect();
        let mut known: BTreeMap<[u8; 32], Arc<_>> = BTreeMap::new();
        let looked = self.answers.iter().map(|(.., chain)| {
            let found = known.entry(name(chain)).or_insert_with(|| {
                let trust = trust.clone();
                let (handovers, given) = (&chain.handovers, &chain.documents);
                Arc::new(follow(rules, trust, handovers, given, &documents))
            });
            Arc::clone(found)
        });
        let each: Vec<_> = looked.collect();
        let mut amendments: Vec<CertifiedAmendment> = Vec::new();
        for ((.., chain), looked) in self.answers.iter().zip(&each) {
            for shown in &chain.amendments {
                let seats = looked.0.trust.seats_named(shown.seats());
                let known = amendments
                    .iter()
                    .any(|it| it.amendment() == shown.amendment());
                if !known && seats.is_some_and(|seats| shown.verify(seats).is_ok()) {
                    amendments.push(shown.clone());
                }
            }
        }
        let mut looked_at = BTreeSet::new();
        let shown = self.answers.iter().zip(&each);
        let successor = shown
            .filter(|((.., chain), _)| looked_at.insert(&chain.successor))
            .find_map(|((.., chain), looked)| {
                let before = trust.before().cloned();
                let read = looked.0.successor(rules, before, &chain.successor);
                let found = read.ok().flatten()?;
                let same =
                    |(.., other): &&(NodeId, Time, Chain)| other.successor == chain.successor;
                Some(Box::new((found, self.answers.iter().filter(same).count())))
            });
        Looked {
            each,
            amendments,
            successor,
        }
    }

    /// What the answers are, without whose they are and when they came.
    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        let key = Canonical::new("shoal answers 1");
        let names = self.answers.iter().map(|(.., chain)| name(chain));
        names.fold(key, |key, name| key.bytes(&name)).finish()
    }

    /// Whether somebody has more than fitted.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.answers.iter().any(|(.., chain)| chain.more)
    }

    /// Takes what the answers have. `known` are the documents that were taken before, and `newest` is the
    /// newest that was seen to be signed, in an earlier run too.
    ///
    /// More than two thirds of the seats have signed each document, so one answer is enough to know that
    /// it is right, and several to know that none is newer.
    ///
    /// # Errors
    /// When there is nothing to go by, when the newest that was seen is newer than what there is, or when two
    /// documents of one place or epoch, or two successions of seats, are both signed: then a third of the seats
    /// is dishonest, and nothing should be sent.
    pub fn adopt(
        &self,
        params: &NetworkParameters,
        looked: &Looked,
        known: &View,
        newest: Option<Mark>,
        now: Time,
    ) -> Result<ClientDirectory, AdoptError> {
        let clock_offset_us = self.clock_offset();
        let epoch = params.epoch_at(now.shifted(clock_offset_us));
        looked.check(known, newest)?;
        let trust = looked.furthest().ok_or(AdoptError::Seats)?;
        let (variants, last) = self.tally(looked, known, newest, epoch)?;
        let here = variants.values().map(|(document, _)| document.height());
        self.check_age(looked, here.max(), newest)?;
        let in_force = variants.keys().copied().rfind(|known| *known <= epoch);
        let found = in_force.and_then(|in_force| variants.get(&in_force));
        let (Some(in_force), Some((_, named_by))) = (in_force, found) else {
            return Err(AdoptError::NoDocument {
                answers: self.answers.len(),
                epoch,
                last,
            });
        };
        let (trust, named_by) = (trust.clone(), named_by.clone());
        let documents = variants.into_iter();
        Ok(ClientDirectory {
            documents: documents
                .map(|(epoch, (document, _))| (epoch, document))
                .collect(),
            in_force,
            named_by,
            trust,
            clock_offset_us,
            amendments: looked.amendments.clone(),
        })
    }

    /// Whether what there is now is not older than what was seen. Of answers that lead nowhere yet, or only to
    /// what does not count any more, something else is to be said.
    fn check_age(
        &self,
        looked: &Looked,
        here: Option<Height>,
        newest: Option<Mark>,
    ) -> Result<(), AdoptError> {
        let Some(Mark { height: seen, .. }) = newest else {
            return Ok(());
        };
        let signed = looked.links().map(|link| link.mark.height);
        let tips = self.answers.iter().filter_map(|(.., chain)| chain.tip);
        let shown = here.or_else(|| match self.has_more() {
            true => None,
            false => signed.chain(tips.map(|tip| tip.height())).max(),
        });
        match shown.filter(|shown| *shown < seen) {
            Some(shown) => Err(AdoptError::Older { seen, shown }),
            None => Ok(()),
        }
    }

    /// Every document that is signed and can matter now, and why the last one that can't was refused.
    fn tally(
        &self,
        looked: &Looked,
        known: &View,
        newest: Option<Mark>,
        epoch: Epoch,
    ) -> Result<(BTreeMap<Epoch, Named>, Option<DocumentError>), AdoptError> {
        let oldest = Epoch::new(epoch.number().saturating_sub(MAX_STALE_EPOCHS));
        let mut found: BTreeMap<Epoch, Named> = BTreeMap::new();
        let mut last = None;
        let matters = |document: &Document| (oldest..=epoch.next()).contains(&document.epoch());
        let known = known.documents.values();
        let known = known.chain(looked.recognised(newest));
        for document in known.filter(|it| matters(it)) {
            add(&mut found, document)?;
        }
        for ((from, _, chain), looked) in self.answers.iter().zip(&looked.each) {
            let (followed, error) = &**looked;
            if let Some(DocumentError::Contradiction { epoch, seen }) = error {
                let (epoch, seen) = (*epoch, *seen);
                return Err(AdoptError::Contradiction { epoch, seen });
            }
            last = error.clone().or(last);
            for (document, by) in found.values_mut() {
                let newest = chain.tip.is_some_and(|tip| tip.hash == *document.hash());
                if newest || followed.passed.contains(document.hash()) {
                    by.insert(*from);
                }
            }
            for certified in &followed.documents {
                let document = &certified.document;
                if !matters(document) {
                    last = Some(DocumentError::Epoch(document.epoch()));
                    continue;
                }
                add(&mut found, document)?.insert(*from);
            }
        }
        // Who names a document names those that it follows.
        let mut named: Option<(DocumentHash, BTreeSet<NodeId>)> = None;
        for (document, by) in found.values_mut().rev() {
            if let Some((previous, names)) = named.take()
                && previous == *document.hash()
            {
                by.extend(names);
            }
            named = Some((*document.previous(), by.clone()));
        }
        Ok((found, last))
    }

    /// The [`middle`] of how far the nodes' clocks are ahead of ours, so that a minority of wrong
    /// clocks moves it no further than a right one.
    fn clock_offset(&self) -> i64 {
        let ahead = |(_, came, chain): &(NodeId, Time, Chain)| {
            let offset = i128::from(chain.now.as_micros()) - i128::from(came.as_micros());
            i64::try_from(offset).unwrap_or(if offset < 0 { i64::MIN } else { i64::MAX })
        };
        middle(self.answers.iter().map(ahead).collect())
    }
}

/// A document, and who names it.
type Named = (Arc<Document>, BTreeSet<NodeId>);

/// Adds a document, of which there is one for each epoch. Gives who names it.
fn add<'a>(
    found: &'a mut BTreeMap<Epoch, Named>,
    document: &Arc<Document>,
) -> Result<&'a mut BTreeSet<NodeId>, AdoptError> {
    let entry = found.entry(document.epoch());
    let (there, by) = entry.or_insert_with(|| (Arc::clone(document), BTreeSet::new()));
    same(&Mark::of(there), *document.hash())?;
    Ok(by)
}

fn name(chain: &Chain) -> [u8; 32] {
    let add = |key: Canonical, all: &[Vec<u8>]| {
        let key = key.number(u64::try_from(all.len()).unwrap_or(u64::MAX));
        all.iter().fold(key, |key, bytes| key.bytes(bytes))
    };
    let key = add(Canonical::new("shoal chain answer 4"), &chain.handovers);
    let tip = chain.tip.map_or([0; 32], |tip| *tip.hash.as_bytes());
    let shown: Vec<_> = chain
        .amendments
        .iter()
        .map(CertifiedAmendment::encode)
        .collect();
    let key = key.bytes(&tip).bytes(&chain.successor);
    add(add(key, &chain.documents), &shown).finish()
}

/// The middle of how far others' clocks are ahead of ours. Of an even number neither of the two in the
/// middle can be told from a wrong one: then our own clock counts as well, so that both have to agree on
/// which way ours is off, and the nearer one counts.
#[must_use]
pub fn middle(mut ahead: Vec<i64>) -> i64 {
    if ahead.len().is_multiple_of(2) {
        ahead.push(0);
    }
    ahead.sort_unstable();
    ahead.get(ahead.len() / 2).copied().unwrap_or(0)
}

/// Reads and verifies the answers of several nodes, and takes what they have: all of [`Answers`] at once,
/// for who knows nothing yet and has nothing else to do meanwhile.
///
/// # Errors
/// Those of [`Answers::read`] and [`Answers::adopt`], and [`AdoptError::Seats`] for a network that can't
/// have any.
pub fn adopt_documents(
    params: &NetworkParameters,
    responses: &[Response],
    now: Time,
) -> Result<ClientDirectory, AdoptError> {
    let answers = Answers::read(responses)?;
    let trust = Trust::first(params).map_err(|_| AdoptError::Seats)?;
    let looked = answers.look(params, &trust, &View::default());
    answers.adopt(params, &looked, &View::default(), None, now)
}

/// Used in errors: the first bytes of a hash.
pub(crate) fn short(hash: &DocumentHash) -> String {
    let [a, b, c, d, ..] = hash.as_bytes();
    format!("{a:02x}{b:02x}{c:02x}{d:02x}")
}

//! Documents as they travel: whole, or as what makes them of the one before. Of most members nothing
//! changes from epoch to epoch but the key and the descriptor's number, which is a ninth of what a whole
//! document takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use shoal_packet::SphinxPublic;
use shoal_proto::{DocumentHash, NodeId, wire};

use crate::bounded::has_at_most;
use crate::document::{MAX_DOCUMENT_BYTES, MAX_MEMBERS, header_of};
use crate::expelled::{Expelled, MAX_EXPELLED};
use crate::header::DocumentHeader;
use crate::member::Member;
use crate::rules::Rules;
use crate::{Document, DocumentError};

/// An encoded document, or what makes it of the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Whole(Arc<[u8]>),
    Delta(Arc<[u8]>),
}

impl Body {
    /// Of two fields of a message, of which one is empty.
    pub(crate) fn of(whole: Vec<u8>, delta: Vec<u8>) -> Option<Self> {
        match (whole.is_empty(), delta.is_empty()) {
            (false, true) => Some(Self::Whole(whole.into())),
            (true, false) => Some(Self::Delta(delta.into())),
            _ => None,
        }
    }

    /// What the document says of itself. Of a delta nothing shows yet that it is that of its members.
    pub(crate) fn header(&self) -> Result<DocumentHeader, DocumentError> {
        match self {
            Self::Whole(bytes) => header_of(bytes),
            Self::Delta(bytes) => DocumentHeader::decode(&read(bytes)?.header),
        }
    }

    /// The document. `base` finds the one before.
    ///
    /// # Errors
    /// [`DocumentError`]; [`Base`](DocumentError::Base) if the one before is not known.
    pub(crate) fn open<'a>(
        &self,
        rules: &Rules,
        base: impl Fn(&DocumentHash) -> Option<&'a Document>,
    ) -> Result<Document, DocumentError> {
        match self {
            Self::Whole(bytes) => Document::decode(bytes, rules),
            Self::Delta(bytes) => {
                let delta = read(bytes)?;
                let header = DocumentHeader::decode(&delta.header)?;
                let base = base(&header.previous).ok_or(DocumentError::Base(header.height))?;
                // What can't be applied is not what was signed.
                let members = apply(rules, base, &delta);
                let members = members.map_err(|_| DocumentError::NotAsNamed)?;
                let rest = wire::Document {
                    expelled: delta.expelled,
                    evidence: delta.evidence,
                    ..Default::default()
                };
                let expelled = Expelled::read(rules, (header.epoch, header.height), &rest);
                let expelled = expelled.map_err(|_| DocumentError::NotAsNamed)?;
                Document::of_contents(rules, header, members, expelled)
            }
        }
    }

    pub(crate) fn bytes(&self) -> &Arc<[u8]> {
        match self {
            Self::Whole(bytes) | Self::Delta(bytes) => bytes,
        }
    }
}

fn read(bytes: &[u8]) -> Result<wire::Delta, DocumentError> {
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(DocumentError::Size(bytes.len()));
    }
    if !has_at_most(MAX_MEMBERS + 2 * MAX_EXPELLED + 6, bytes) {
        return Err(DocumentError::Malformed);
    }
    let delta = wire::Delta::decode(bytes).map_err(|_| DocumentError::Malformed)?;
    let lists = [delta.gone.len(), delta.later.len(), delta.reseated.len()];
    let fits = lists.into_iter().all(|count| count <= MAX_MEMBERS);
    let fits = fits && delta.come.len() <= MAX_MEMBERS;
    let same = fits && delta.encode_to_vec() == bytes;
    same.then_some(delta).ok_or(DocumentError::Malformed)
}

/// What makes a document of the one before it, encoded. None if that is another one.
pub(crate) fn delta(base: &Document, document: &Document) -> Option<Vec<u8>> {
    if document.previous() != base.hash() {
        return None;
    }
    let (expelled, evidence) = document.expelled().to_wire();
    let mut delta = wire::Delta {
        header: document.header().encode(),
        expelled,
        evidence,
        ..Default::default()
    };
    let mut stays = std::collections::BTreeSet::new();
    for (place, before) in (0_u32..).zip(base.members()) {
        let now = document.member(&before.id);
        let Some((now, later)) = now.and_then(|now| Some((now, step(before, now)?))) else {
            delta.gone.push(place);
            continue;
        };
        stays.insert(now.id);
        delta.sphinx_keys.extend_from_slice(now.key.as_bytes());
        delta.later.push(later);
        if now.seat_key != before.seat_key {
            delta.reseated.push(place);
            delta.seat_keys.extend_from_slice(now.seat_key.as_bytes());
        }
    }
    let come = document.members().filter(|it| !stays.contains(&it.id));
    delta.come.extend(come.map(Member::encode));
    Some(delta.encode_to_vec())
}

/// By how much the sequence has grown, if nothing has changed but that and the keys.
fn step(before: &Member, now: &Member) -> Option<u64> {
    let same = Member {
        sequence: now.sequence,
        key: now.key,
        seat_key: now.seat_key,
        ..before.clone()
    };
    let later = now.sequence.checked_sub(before.sequence)?;
    (same == *now).then_some(later)
}

fn apply(
    rules: &Rules,
    base: &Document,
    delta: &wire::Delta,
) -> Result<BTreeMap<NodeId, Member>, DocumentError> {
    let (gone, reseated) = (&delta.gone, &delta.reseated);
    let ascending = |places: &[u32]| places.is_sorted_by(|one, next| one < next);
    if !ascending(gone) || !ascending(reseated) {
        return Err(DocumentError::Malformed);
    }
    let mut keys = delta.sphinx_keys.chunks_exact(32);
    let mut seat_keys = delta.seat_keys.chunks_exact(32);
    let (mut later, mut gone) = (delta.later.iter(), gone.iter().peekable());
    let mut reseated = reseated.iter().peekable();
    let mut members = BTreeMap::new();
    for (place, before) in (0_u32..).zip(base.members()) {
        if gone.next_if(|it| **it == place).is_some() {
            continue;
        }
        let key = keys.next().and_then(|key| key.try_into().ok());
        let key = key.and_then(|key| SphinxPublic::parse(key).ok());
        let later = later.next().ok_or(DocumentError::Malformed)?;
        let mut now = Member {
            key: key.ok_or(DocumentError::Malformed)?,
            sequence: before.sequence.wrapping_add(*later),
            ..before.clone()
        };
        if reseated.next_if(|it| **it == place).is_some() {
            let key = seat_keys.next().and_then(|key| NodeId::try_from(key).ok());
            let key = key.filter(crate::identity::usable);
            now.seat_key = key.ok_or(DocumentError::Malformed)?;
        }
        members.insert(now.id, now);
    }
    // Whatever is left over belongs to nobody.
    let over = [keys.next(), seat_keys.next()]
        .into_iter()
        .flatten()
        .count()
        + keys.remainder().len()
        + seat_keys.remainder().len()
        + later.count()
        + gone.count()
        + reseated.count();
    if over > 0 {
        return Err(DocumentError::Malformed);
    }
    let mut last = None;
    for bytes in &delta.come {
        let member = Member::decode(bytes, rules)?;
        let id = member.id;
        if last >= Some(id) || members.insert(id, member).is_some() {
            return Err(DocumentError::Order);
        }
        last = Some(id);
    }
    if members.len() > MAX_MEMBERS {
        return Err(DocumentError::TooManyMembers(members.len()));
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;
    use shoal_packet::token::IssuerSecret;
    use shoal_proto::Epoch;

    use super::*;
    use crate::sample::Network;
    use crate::{NetworkParameters, Role, TokenDemand, TokenTerms};

    fn open(rules: &Rules, base: &Document, delta: Vec<u8>) -> Result<Document, DocumentError> {
        let find = |hash: &DocumentHash| (base.hash() == hash).then_some(base);
        Body::Delta(delta.into()).open(rules, find)
    }

    /// One document, and the next one after somebody left, somebody came, and some changed.
    fn two(layers: u8) -> (Rules, Arc<Document>, Arc<Document>) {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let mut net = Network::new(&mut rng, NetworkParameters::example(), layers, 3);
        let all: Vec<NodeId> = net.nodes.keys().copied().collect();
        let mix = |id: &&NodeId| net.nodes[*id].role == Role::Mix;
        let mixes: Vec<NodeId> = all.iter().filter(mix).copied().collect();
        let comes = net.nodes.remove(&mixes[0]).unwrap();
        let one = net.document(&mut rng, Epoch::new(5), None).unwrap();
        net.nodes.insert(mixes[0], comes);
        net.nodes.remove(&mixes[1]);
        net.nodes.get_mut(&mixes[2]).unwrap().capacity_class = 4;
        let provider = one.providers()[0];
        let key = IssuerSecret::derive(&[1; 32], 9).unwrap().public();
        let demand = TokenDemand::Code;
        net.nodes.get_mut(&provider).unwrap().tokens = Some(TokenTerms { key, demand });
        let two = net.document(&mut rng, Epoch::new(6), Some(&one)).unwrap();
        assert!(two.member(&mixes[0]).is_some() && one.member(&mixes[0]).is_none());
        assert!(two.member(&provider).unwrap().tokens.is_some());
        (Rules::new(Arc::clone(&net.params)), one, two)
    }

    #[test]
    fn a_delta_makes_the_next_document() {
        let (rules, one, two) = two(3);
        let bytes = delta(&one, &two).unwrap();
        let made = open(&rules, &one, bytes.clone()).unwrap();
        assert!(made == *two && made.encode() == two.encode());
        assert_eq!(delta(&two, &one), None);
        let elsewhere = open(&rules, &two, bytes);
        assert_eq!(elsewhere.err(), Some(DocumentError::Base(two.height())));
    }

    /// A tenth of a whole one where nobody changes.
    #[test]
    fn a_delta_is_small() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let mut net = Network::new(&mut rng, NetworkParameters::example(), 80, 60);
        let one = net.document(&mut rng, Epoch::new(5), None).unwrap();
        let two = net.document(&mut rng, Epoch::new(6), Some(&one)).unwrap();
        let bytes = delta(&one, &two).unwrap();
        assert!(bytes.len() < 300 + 34 * 300, "{}", bytes.len());
        assert!(two.encode().len() > 300 * 160, "{}", two.encode().len());
    }

    #[test]
    fn what_is_no_delta_makes_nothing() {
        let (rules, one, two) = two(3);
        let good = delta(&one, &two).unwrap();
        let check = |change: &dyn Fn(&mut wire::Delta)| {
            let mut delta = wire::Delta::decode(good.as_slice()).unwrap();
            change(&mut delta);
            open(&rules, &one, delta.encode_to_vec()).err()
        };
        assert_eq!(check(&|_| {}), None);
        let other = Some(DocumentError::NotAsNamed);
        assert_eq!(check(&|d| d.gone.clear()), other);
        assert_eq!(check(&|d| d.gone.reverse()), other);
        assert_eq!(check(&|d| d.gone.push(u32::MAX)), other);
        assert_eq!(check(&|d| d.gone.insert(0, d.gone[0])), other);
        assert_eq!(check(&|d| d.later.push(1)), other);
        assert_eq!(check(&|d| d.later[0] = u64::MAX), other);
        assert_eq!(check(&|d| d.later.truncate(3)), other);
        assert_eq!(check(&|d| d.sphinx_keys.extend([9; 32])), other);
        assert_eq!(check(&|d| d.sphinx_keys.push(9)), other);
        assert_eq!(check(&|d| d.sphinx_keys.truncate(40)), other);
        assert_eq!(check(&|d| d.sphinx_keys[..32].fill(0)), other);
        assert_eq!(check(&|d| d.seat_keys.extend([9; 32])), other);
        assert_eq!(check(&|d| d.reseated.push(0)), other);
        assert_eq!(check(&|d| d.come.reverse()), other);
        assert_eq!(check(&|d| d.come.push(d.come[0].clone())), other);
        assert_eq!(check(&|d| d.come[0].push(0)), other);
        let malformed = Some(DocumentError::Malformed);
        assert_eq!(check(&|d| d.header.clear()), malformed);
        assert_eq!(
            check(&|d| d.come = vec![Vec::new(); MAX_MEMBERS + 1]),
            malformed
        );
        assert_eq!(open(&rules, &one, vec![0xff; 9]).err(), malformed);
        assert_eq!(
            open(&rules, &one, [&good[..], &[0x78, 1]].concat()).err(),
            malformed
        );
    }
}

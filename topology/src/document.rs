//! The members of one epoch and their layers: formed from descriptors, or decoded and verified.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use prost::Message;
use rand::CryptoRng;
use shoal_proto::{DocumentHash, Epoch, NetworkHash, NodeId, wire};

use crate::agreement::{Height, Holder, Reveal, Seats, Seed};
use crate::apart;
use crate::bounded::has_at_most;
use crate::canonical::Canonical;
use crate::expelled::{Expelled, Expulsion, Forming, MAX_EXPELLED_BYTES, Offences, contents_hash};
use crate::header::DocumentHeader;
use crate::inviters;
use crate::layers::{Candidate, assign};
use crate::member::{MAX_EXTRACT_BYTES, Member};
use crate::newcomers::{self, is_of_age};
use crate::position::Position;
use crate::rules::Rules;
use crate::ties::{Tie, Ties};
use crate::{
    Address, DocumentError, Family, NetworkParameters, Role, SignedDescriptor, TokenTerms,
};

/// Most members of a document.
pub const MAX_MEMBERS: usize = 10_000;
/// Most bytes of an encoded document: its head, its members with what is around each, and who is expelled.
pub const MAX_DOCUMENT_BYTES: usize =
    512 + MAX_MEMBERS * (MAX_EXTRACT_BYTES + 3) + MAX_EXPELLED_BYTES;

/// What a document is made of besides descriptors.
#[derive(Clone, PartialEq, Eq)]
pub struct Place<D> {
    /// The epoch that it is for.
    pub epoch: Epoch,
    /// The document before; none for the first one.
    pub base: Option<D>,
    /// The seats that decide it.
    pub seats: Seats,
    /// Whose turn it is, and the proof; none for the first one only.
    pub reveal: Option<Reveal>,
    /// What is held against seats.
    pub offences: Offences,
}

impl<D: AsRef<Document>> Place<D> {
    pub(crate) fn base(&self) -> Option<&Document> {
        self.base.as_ref().map(AsRef::as_ref)
    }

    /// The height of what has this place.
    #[must_use]
    pub fn height(&self) -> Height {
        let base = self.base();
        base.map_or(Height::FIRST, |base| base.height().next())
    }

    /// The seed after it: drawn from the output of who made it, so that nobody can choose it.
    ///
    /// # Errors
    /// [`DocumentError::Proof`].
    fn seed(&self, network: &NetworkHash) -> Result<Seed, DocumentError> {
        let Some(base) = self.base() else {
            let none = self.reveal.is_none();
            return none
                .then(|| Seed::first(network))
                .ok_or(DocumentError::Proof);
        };
        let reveal = self.reveal.as_ref().ok_or(DocumentError::Proof)?;
        let proposer = reveal.proposer(&self.seats.proposers(base.seed()));
        let key = self.seats.holder(proposer).and_then(|holder| holder.vrf);
        let seed = key.and_then(|key| reveal.verify(base.seed(), self.height(), &key));
        seed.ok_or(DocumentError::Proof)
    }

    /// Who decides the next height. In the first term all that is known of the first members is the network
    /// file; their keys for proofs stand in the first document. The seats of a term are drawn from the
    /// last document but one of the term before, by the seed of the last one.
    fn next_seats(
        &self,
        rules: &Rules,
        seed: &Seed,
        members: &BTreeMap<NodeId, Member>,
        expelled: &Expelled,
    ) -> Result<Seats, DocumentError> {
        let height = self.height();
        if height == Height::FIRST {
            let vrf = |id: &NodeId| members.get(id).map(|member| member.vrf_key);
            return Ok(self.seats.with_proofs(vrf));
        }
        match self.base().filter(|_| rules.terms.draws(height)) {
            None => Ok(self.seats.clone()),
            Some(base) => {
                let sits = |member: &&Member| !expelled.holds(self.epoch, &member.id);
                let of_age = |member: &&Member| is_of_age(rules, member, height);
                // Where all who were of age are gone, the others are all that there is.
                let any = base.members().filter(sits).any(|member| of_age(&member));
                let sits = |member: &&Member| sits(member) && (!any || of_age(member));
                let holders = base.members().filter(sits).map(holder);
                Seats::draw(rules.network, holders, seed).map_err(DocumentError::Seats)
            }
        }
    }
}

/// A seat of a member, by the keys that it has in a document.
pub(crate) const fn holder(member: &Member) -> Holder {
    Holder {
        id: member.id,
        key: member.seat_key,
        vrf: Some(member.vrf_key),
    }
}

/// The members of one epoch, each with its layer. Made from descriptors, or verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    header: DocumentHeader,
    hash: DocumentHash,
    /// Shared by what an amendment makes of it: clients make that where their clocks run.
    members: Arc<BTreeMap<NodeId, Member>>,
    /// Providers first, then layer 1 and on; each ascending by identity.
    positions: Vec<Position>,
    /// What routes are drawn from, where somebody is suspended.
    routes: Option<Vec<Position>>,
    suspended: Arc<BTreeSet<NodeId>>,
    expelled: Expelled,
    bytes: Arc<[u8]>,
}

impl AsRef<Self> for Document {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Document {
    /// The document that has this place, of a set of descriptors, and the seats that decide what follows. Of
    /// several descriptors of one node the one with the highest sequence counts; those without a key for
    /// the epoch are left out. If there are more than [`MAX_MEMBERS`], genesis members come first
    /// and then those with the smallest hash. Left out is, too, who advertises an address of another; who is tied
    /// to members in a position where it can't stand; and who is expelled, unless a position would be empty: see docs/directory.md.
    ///
    /// # Errors
    /// When a layer would be empty or there is no provider, or the proof is wrong.
    pub fn form<'a, D: AsRef<Self>>(
        params: &NetworkParameters,
        place: &Place<D>,
        descriptors: impl IntoIterator<Item = &'a SignedDescriptor>,
    ) -> Result<(Self, Seats), DocumentError> {
        Self::form_by(&Rules::of(params), place, descriptors)
    }

    /// As [`form`](Self::form).
    pub(crate) fn form_by<'a, D: AsRef<Self>>(
        rules: &Rules,
        place: &Place<D>,
        descriptors: impl IntoIterator<Item = &'a SignedDescriptor>,
    ) -> Result<(Self, Seats), DocumentError> {
        let mut newest: BTreeMap<NodeId, &SignedDescriptor> = BTreeMap::new();
        for signed in descriptors {
            let known = newest.get(&signed.id());
            if known.is_none_or(|known| known.sequence() < signed.sequence())
                && signed.descriptor().key_for(place.epoch).is_some()
            {
                newest.insert(signed.id(), signed);
            }
        }
        let member = |signed: &SignedDescriptor| {
            let descriptor = signed.descriptor();
            Some(Member {
                invited_by: inviters::named(rules.at(place.epoch), descriptor),
                ..Member::of(descriptor, place.epoch)?
            })
        };
        let members = newest.into_values().filter_map(member);
        let members = members.map(|member| (member.id, member)).collect();
        Self::of_candidates(rules, place, &members)
    }

    /// Of those among these that have a place and are not expelled.
    fn of_candidates<D: AsRef<Self>>(
        rules: &Rules,
        place: &Place<D>,
        candidates: &BTreeMap<NodeId, Member>,
    ) -> Result<(Self, Seats), DocumentError> {
        let rules = rules.at(place.epoch);
        let (seed, base) = (place.seed(&rules.network)?, place.base());
        let stand = |members| Self::give_places(rules, place, &seed, members);
        let (expelled, members) = Forming::at(rules, place).settle(base, candidates, stand)?;
        let seats = place.next_seats(rules, &seed, &members, &expelled)?;
        let header = DocumentHeader {
            height: place.height(),
            epoch: place.epoch,
            previous: base.map_or(DocumentHash::new([0; 32]), |base| *base.hash()),
            reveal: place.reveal.clone(),
            seed,
            seats: seats.hash(),
            members: [0; 32],
        };
        let document = Self::build(rules, header, members, expelled)?;
        Ok((document, seats))
    }

    /// Gives these their layers, and leaves out who has no place.
    fn give_places<D: AsRef<Self>>(
        rules: &Rules,
        place: &Place<D>,
        seed: &Seed,
        mut members: BTreeMap<NodeId, Member>,
    ) -> Result<BTreeMap<NodeId, Member>, DocumentError> {
        limit(rules, place.epoch, &mut members);
        let base = place.base();
        for member in members.values_mut() {
            let before = base.and_then(|base| base.member(&member.id));
            member.since = before.map_or(place.height(), |before| before.since);
            member.invited_by = inviters::recorded(rules, place.height(), before, member);
        }
        apart::settle(rules, place, seed, &mut members);
        let candidate = |member: &Member| {
            let before = base.and_then(|document| document.member(&member.id));
            let before = before.filter(|before| before.role == member.role);
            Candidate {
                id: member.id,
                role: member.role,
                ties: member.ties(),
                genesis: rules.is_genesis(&member.id),
                before: before.and_then(|before| Some((before.position()?, before.ties()))),
            }
        };
        let draw = NetworkHash::new(*seed.as_bytes());
        let layers = rules.params.layers;
        let place_all = |candidates| assign(&draw, place.epoch, layers, candidates);
        // Who could not stand anywhere does not come in.
        let all = place_all(members.values().map(candidate).collect());
        all.check_filled(layers)?;
        for id in &all.left_out {
            members.remove(id);
        }
        newcomers::draw(rules, place, seed, &mut members);
        // A mix that comes now gets a layer from the next seed: this one may be known to whoever made it.
        let waits = |member: &Member| {
            let listed = base.is_none_or(|base| base.member(&member.id).is_some());
            member.role == Role::Mix && !listed
        };
        let standing = members.values().filter(|member| !waits(member));
        let positions = place_all(standing.map(candidate).collect());
        positions.check_filled(layers)?;
        for id in &positions.left_out {
            members.remove(id);
        }
        for member in members.values_mut() {
            member.layer = positions.of.get(&member.id).copied().unwrap_or(0);
        }
        Ok(members)
    }

    /// With the hash of these members in place of that of the header.
    fn build(
        rules: &Rules,
        mut header: DocumentHeader,
        members: BTreeMap<NodeId, Member>,
        expelled: Expelled,
    ) -> Result<Self, DocumentError> {
        let mut wire = contents(&members, &expelled);
        header.members = contents_hash(&wire);
        wire.header = Some(header.to_wire());
        let bytes = wire.encode_to_vec().into();
        Self::stand(rules, header, members, expelled, bytes)
    }

    /// With exactly these contents: those of which the head has the hash.
    pub(crate) fn of_contents(
        rules: &Rules,
        header: DocumentHeader,
        members: BTreeMap<NodeId, Member>,
        expelled: Expelled,
    ) -> Result<Self, DocumentError> {
        let mut wire = contents(&members, &expelled);
        if header.members != contents_hash(&wire) {
            return Err(DocumentError::NotAsNamed);
        }
        wire.header = Some(header.to_wire());
        let bytes = wire.encode_to_vec().into();
        Self::stand(rules, header, members, expelled, bytes)
    }

    /// Of members that all have their layers.
    fn stand(
        rules: &Rules,
        header: DocumentHeader,
        members: BTreeMap<NodeId, Member>,
        expelled: Expelled,
        bytes: Arc<[u8]>,
    ) -> Result<Self, DocumentError> {
        if members.keys().any(|id| expelled.holds(header.epoch, id)) {
            return Err(DocumentError::Expelled);
        }
        let mut tied: BTreeMap<Tie, u8> = BTreeMap::new();
        let mut taken: BTreeSet<&Address> = BTreeSet::new();
        let deepest = members.values().map(|member| member.layer).max();
        let layers = rules.layers(header.epoch).or(deepest).unwrap_or(0);
        let mut positions = vec![Vec::new(); usize::from(layers) + 1];
        for member in members.values() {
            if member.since < Height::FIRST || member.since > header.height {
                return Err(DocumentError::Since(member.since));
            }
            if member.role == Role::Provider && member.layer > 0 {
                return Err(DocumentError::Layer(member.layer.into()));
            }
            let own = BTreeSet::from_iter(&member.addresses);
            if own.into_iter().any(|address| !taken.insert(address)) {
                return Err(DocumentError::SharedAddress);
            }
            let Some(position) = member.position() else {
                continue;
            };
            positions
                .get_mut(usize::from(position))
                .ok_or_else(|| DocumentError::Layer(member.layer.into()))?
                .push((member.id, member.capacity_class));
            for tie in member.ties().iter() {
                if *tied.entry(*tie).or_insert(position) != position {
                    return Err(DocumentError::Torn(tie.kind()));
                }
            }
        }
        let position = |(layer, members)| Position::new(layer, members);
        let positions = (0..).zip(positions).map(position);
        Ok(Self {
            hash: header.hash(rules),
            header,
            members: Arc::new(members),
            positions: positions.collect::<Result<Vec<_>, _>>()?,
            routes: None,
            suspended: Arc::default(),
            expelled,
            bytes,
        })
    }

    /// The same document while these of its members are suspended: no new route leads over them, and packets that
    /// are on their way still pass. Who would be the last of a position stays in routes.
    #[must_use]
    pub fn without(&self, suspended: &BTreeSet<NodeId>) -> Self {
        let listed = suspended.iter().filter(|id| self.members.contains_key(*id));
        let suspended: BTreeSet<NodeId> = listed.copied().collect();
        let route = |(layer, position): (u8, &Position)| {
            let class = |id: &NodeId| Some((*id, self.members.get(id)?.capacity_class));
            let left = position.ids().iter().filter(|id| !suspended.contains(*id));
            let left = Position::new(layer, left.filter_map(class).collect());
            left.unwrap_or_else(|_| position.clone())
        };
        let routes = (0..).zip(&self.positions).map(route).collect();
        Self {
            routes: (!suspended.is_empty()).then_some(routes),
            suspended: Arc::new(suspended),
            ..self.clone()
        }
    }

    /// Its members that no new route leads over.
    #[must_use]
    pub fn suspended(&self) -> &BTreeSet<NodeId> {
        &self.suspended
    }

    /// Who stands in each position, providers first, suspended or not.
    pub(crate) fn standing(&self) -> impl Iterator<Item = &[NodeId]> {
        self.positions.iter().map(Position::ids)
    }

    /// For each position, providers first, those of the positions before and after it, which are the same where there
    /// is but one layer.
    pub(crate) fn beside(&self) -> impl Iterator<Item = Vec<NodeId>> + '_ {
        let count = self.positions.len();
        (0..count).map(move |position| {
            let before = (position + count - 1) % count;
            let after = (position + 1) % count;
            let beside = BTreeSet::from([before, after]);
            let beside = beside.into_iter().filter_map(|it| self.positions.get(it));
            beside.flat_map(Position::ids).copied().collect()
        })
    }

    /// Decodes a document and verifies it by itself: every member's keys and addresses, its layer, no member
    /// twice, no layer empty, a provider, no family and no address prefix in two positions, no two with one
    /// address, one canonical encoding.
    /// Whether its members have said so of themselves, and whether it follows from the document before, is
    /// for who has their descriptors and that; whether it counts its certificate says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode_verified(
        bytes: &[u8],
        params: &NetworkParameters,
    ) -> Result<Self, DocumentError> {
        Self::decode(&bytes.into(), &Rules::of(params))
    }

    /// As [`decode_verified`](Self::decode_verified). What comes out shares the bytes.
    pub(crate) fn decode(bytes: &Arc<[u8]>, rules: &Rules) -> Result<Self, DocumentError> {
        let (header, wire) = read(bytes)?;
        let expelled = Expelled::read(rules, (header.epoch, header.height), &wire)?;
        let mut members: BTreeMap<NodeId, Member> = BTreeMap::new();
        for bytes in wire.members {
            let member = Member::decode(&bytes, rules)?;
            if members.last_key_value().map(|(last, _)| last) >= Some(&member.id) {
                return Err(DocumentError::Order);
            }
            members.insert(member.id, member);
        }
        Self::stand(rules, header, members, expelled, Arc::clone(bytes))
    }

    /// Who decides the next height, if this is the document that has this place, of its own members and
    /// evidence: its seed, its layers and those seats follow from that. Forms it anew.
    pub(crate) fn follows<D: AsRef<Self>>(&self, place: &Place<D>, rules: &Rules) -> Option<Seats> {
        let formed = Self::of_candidates(rules, place, &self.members);
        let (formed, seats) = formed.ok()?;
        (formed.hash == self.hash).then_some(seats)
    }

    /// What it says of itself.
    #[must_use]
    pub const fn header(&self) -> &DocumentHeader {
        &self.header
    }

    /// Its place in the chain.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.header.height
    }

    /// The epoch it is for.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.header.epoch
    }

    /// The hash of the document before; all zeros for the first one.
    #[must_use]
    pub const fn previous(&self) -> &DocumentHash {
        &self.header.previous
    }

    /// The seed after it.
    #[must_use]
    pub const fn seed(&self) -> &Seed {
        &self.header.seed
    }

    /// What names it: a hash of the network's hash and its header.
    #[must_use]
    pub const fn hash(&self) -> &DocumentHash {
        &self.hash
    }

    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> &[u8] {
        &self.bytes
    }

    /// The canonical encoding, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<[u8]> {
        Arc::clone(&self.bytes)
    }

    /// How many layers of mixes there are.
    #[must_use]
    pub fn layers(&self) -> u8 {
        u8::try_from(self.positions.len().saturating_sub(1)).unwrap_or(u8::MAX)
    }

    /// The member with this identity.
    #[must_use]
    pub fn member(&self, id: &NodeId) -> Option<&Member> {
        self.members.get(id)
    }

    /// The mixes of a layer from 1, ascending; none for another layer.
    #[must_use]
    pub fn mixes(&self, layer: u8) -> &[NodeId] {
        if layer == 0 {
            &[]
        } else {
            self.position(layer)
        }
    }

    /// The providers, ascending.
    #[must_use]
    pub fn providers(&self) -> &[NodeId] {
        self.position(0)
    }

    /// The providers that issue tokens to anybody, ascending, and on what terms.
    pub fn issuers(&self) -> impl Iterator<Item = (NodeId, TokenTerms)> + '_ {
        self.providers().iter().filter_map(|id| {
            let tokens = self.member(id)?.tokens?;
            tokens.for_anybody().then_some((*id, tokens))
        })
    }

    /// Those of `nodes`, in order, that have nothing in common with one of `taken` or with one before: a
    /// family, or the prefix of an address. Who is no member has nothing in common with anybody.
    pub fn apart(
        &self,
        mut taken: Vec<Ties>,
        nodes: impl IntoIterator<Item = NodeId>,
    ) -> Vec<NodeId> {
        let mut found = Vec::new();
        for node in nodes {
            let ties = self.member(&node).map(Member::ties).unwrap_or_default();
            if taken.iter().all(|taken| taken.meet(&ties).is_none()) {
                taken.push(ties);
                found.push(node);
            }
        }
        found
    }

    /// All members, ascending by identity.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }

    /// Why a node is no member for a while, as far as it is because of what it said in its seat; or that
    /// this is over.
    #[must_use]
    pub fn expulsion(&self, id: &NodeId) -> Option<&Expulsion> {
        self.expelled.of(id)
    }

    /// All of those, ascending by identity.
    pub fn expulsions(&self) -> impl Iterator<Item = (&NodeId, &Expulsion)> {
        self.expelled.iter()
    }

    pub(crate) const fn expelled(&self) -> &Expelled {
        &self.expelled
    }

    /// The family of a node. Who is no member is one of its own, as far as is known.
    #[must_use]
    pub fn family(&self, id: &NodeId) -> Family {
        Family::of(*id, self.member(id).and_then(|member| member.family))
    }

    /// Whether packets go from the one to the other: provider, layer 1, 2, ..., L, provider.
    #[must_use]
    pub fn position_ok(&self, from: &NodeId, to: &NodeId) -> bool {
        let position = |id| self.member(id).and_then(Member::position);
        let (Some(from), Some(to)) = (position(from), position(to)) else {
            return false;
        };
        to == self.layer_after(from)
    }

    /// The members of the position before a node's: those from which it gets packets. None for who is
    /// no member.
    #[must_use]
    pub fn before(&self, id: &NodeId) -> &[NodeId] {
        let layer = self.member(id).and_then(Member::position);
        let before = layer.map(|layer| layer.checked_sub(1).unwrap_or(self.layers()));
        before.map_or(&[], |before| self.position(before))
    }

    /// The members of the position after a node's: those to which it sends packets. None for who is no
    /// member.
    #[must_use]
    pub fn after(&self, id: &NodeId) -> &[NodeId] {
        let layer = self.member(id).and_then(Member::position);
        let after = layer.map(|layer| self.layer_after(layer));
        after.map_or(&[], |after| self.position(after))
    }

    fn layer_after(&self, layer: u8) -> u8 {
        if layer == self.layers() { 0 } else { layer + 1 }
    }

    fn position(&self, layer: u8) -> &[NodeId] {
        self.positions
            .get(usize::from(layer))
            .map_or(&[], Position::ids)
    }

    /// A member of a position, 0 for the providers: how every route picks its nodes. None for a position
    /// that there is not.
    pub(crate) fn choose<R: CryptoRng + ?Sized>(&self, rng: &mut R, layer: u8) -> Option<&Member> {
        let routes = self.routes.as_ref().unwrap_or(&self.positions);
        self.member(routes.get(usize::from(layer))?.choose(rng)?)
    }
}

/// Tells the height, the epoch, the hash's beginning and how many members, not who they are.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.hash.as_bytes();
        f.debug_struct("Document")
            .field("height", &self.header.height.number())
            .field("epoch", &self.header.epoch.number())
            .field("hash", &format_args!("{a:02x}{b:02x}{c:02x}{d:02x}"))
            .field("members", &self.members.len())
            .finish_non_exhaustive()
    }
}

/// A document without its head.
fn contents(members: &BTreeMap<NodeId, Member>, expelled: &Expelled) -> wire::Document {
    let (expelled, evidence) = expelled.to_wire();
    wire::Document {
        header: None,
        members: members.values().map(Member::encode).collect(),
        expelled,
        evidence,
    }
}

/// A document as it is encoded, and its head, which agrees with the rest.
fn read(bytes: &[u8]) -> Result<(DocumentHeader, wire::Document), DocumentError> {
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(DocumentError::Size(bytes.len()));
    }
    if !has_at_most(2 * MAX_MEMBERS, bytes) {
        return Err(DocumentError::Malformed);
    }
    let wire = wire::Document::decode(bytes).map_err(|_| DocumentError::Malformed)?;
    if wire.members.len() > MAX_MEMBERS {
        return Err(DocumentError::TooManyMembers(wire.members.len()));
    }
    if wire.encode_to_vec() != *bytes {
        return Err(DocumentError::Malformed);
    }
    let header = wire.header.as_ref().ok_or(DocumentError::Malformed)?;
    let header = DocumentHeader::from_wire(header)?;
    if header.members != contents_hash(&wire) {
        return Err(DocumentError::Malformed);
    }
    Ok((header, wire))
}

/// The head of the document that these bytes encode, without looking at its members.
pub(crate) fn header_of(bytes: &[u8]) -> Result<DocumentHeader, DocumentError> {
    read(bytes).map(|(header, _)| header)
}

/// Keeps at most [`MAX_MEMBERS`], the same ones everywhere.
fn limit(rules: &Rules, epoch: Epoch, chosen: &mut BTreeMap<NodeId, Member>) {
    if chosen.len() <= MAX_MEMBERS {
        return;
    }
    let rank = |id: &NodeId| {
        let hash = Canonical::new("shoal member rank 1")
            .bytes(rules.network.as_bytes())
            .number(epoch.number())
            .bytes(id.as_bytes())
            .finish();
        (!rules.is_genesis(id), hash)
    };
    let mut ids: Vec<NodeId> = chosen.keys().copied().collect();
    ids.sort_by_cached_key(rank);
    for id in ids.iter().skip(MAX_MEMBERS) {
        chosen.remove(id);
    }
}

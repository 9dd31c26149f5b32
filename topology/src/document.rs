//! The members of one epoch and their layers: formed from descriptors, or decoded and verified.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prost::Message;
use rand::CryptoRng;
use shoal_packet::SphinxPublic;
use shoal_proto::{Epoch, FamilyId, NodeId, wire};

use crate::bounded::has_at_most;
use crate::canonical::Canonical;
use crate::descriptor::UnverifiedDescriptor;
use crate::layers::{Candidate, assign};
use crate::position::Position;
use crate::rules::Rules;
use crate::ties::Tie;
use crate::{
    Address, Descriptor, DocumentError, Family, NetworkParameters, Role, SignedDescriptor,
};

/// Most members of a document.
pub const MAX_MEMBERS: usize = 1024;
/// Most bytes of an encoded document: its members and 16 bytes around each.
pub const MAX_DOCUMENT_BYTES: usize =
    64 + MAX_MEMBERS * (shoal_proto::size::MAX_DESCRIPTOR_BYTES + 16);

/// A member of one epoch.
#[derive(Clone, PartialEq, Eq)]
pub struct Member {
    /// Its identity.
    pub id: NodeId,
    /// What it does.
    pub role: Role,
    /// 1 to L for a mix, 0 for a provider.
    pub layer: u8,
    /// Its Sphinx key of the document's epoch.
    pub key: SphinxPublic,
    /// Where it listens.
    pub addresses: Vec<Address>,
    /// Its family, if it is of one.
    pub family: Option<FamilyId>,
    /// What it says that it carries.
    pub capacity_class: u32,
}

/// The members of one epoch, each with its layer. Made from descriptors, or verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    epoch: Epoch,
    previous: [u8; 32],
    hash: [u8; 32],
    members: BTreeMap<NodeId, Member>,
    descriptors: BTreeMap<NodeId, SignedDescriptor>,
    /// Providers first, then layer 1 and on; each ascending by identity.
    positions: Vec<Position>,
    bytes: Arc<[u8]>,
}

impl Document {
    /// The document that follows from a set of descriptors and the document before. Of several
    /// descriptors of one node the one with the highest sequence counts; those without a key for
    /// the epoch are left out. If there are more than [`MAX_MEMBERS`], genesis members come first
    /// and then those with the smallest hash. Left out is, too, who is tied to members in a position where
    /// it can't stand.
    ///
    /// # Errors
    /// When a layer would be empty or there is no provider.
    pub fn form<'a>(
        params: &NetworkParameters,
        epoch: Epoch,
        previous: Option<&Self>,
        descriptors: impl IntoIterator<Item = &'a SignedDescriptor>,
    ) -> Result<Self, DocumentError> {
        Self::form_by(&Rules::of(params), epoch, previous, descriptors)
    }

    /// As [`form`](Self::form).
    pub(crate) fn form_by<'a>(
        rules: &Rules,
        epoch: Epoch,
        previous: Option<&Self>,
        descriptors: impl IntoIterator<Item = &'a SignedDescriptor>,
    ) -> Result<Self, DocumentError> {
        let mut chosen: BTreeMap<NodeId, SignedDescriptor> = BTreeMap::new();
        for signed in descriptors {
            let newer = chosen
                .get(&signed.id())
                .is_none_or(|c| c.sequence() < signed.sequence());
            if newer && signed.descriptor().key_for(epoch).is_some() {
                chosen.insert(signed.id(), signed.clone());
            }
        }
        limit(rules, epoch, &mut chosen);
        let candidate = |signed: &SignedDescriptor| {
            let (id, descriptor) = (signed.id(), signed.descriptor());
            let before = previous.and_then(|document| document.member(&id));
            let before = before.filter(|before| before.role == descriptor.role);
            Candidate {
                id,
                role: descriptor.role,
                ties: descriptor.ties(),
                genesis: rules.is_genesis(&id),
                before: before.map(|before| (before.layer, before.ties())),
            }
        };
        let candidates = chosen.values().map(candidate).collect();
        let positions = assign(&rules.network, epoch, rules.params.layers, candidates);
        positions.check_filled(rules.params.layers)?;
        for id in &positions.left_out {
            chosen.remove(id);
        }
        let hash = previous.map_or([0; 32], |document| document.hash);
        Self::build(rules, epoch, hash, chosen, &positions.of)
    }

    fn build(
        rules: &Rules,
        epoch: Epoch,
        previous: [u8; 32],
        descriptors: BTreeMap<NodeId, SignedDescriptor>,
        layers: &BTreeMap<NodeId, u8>,
    ) -> Result<Self, DocumentError> {
        let mut members = BTreeMap::new();
        let mut tied: BTreeMap<Tie, u8> = BTreeMap::new();
        let mut positions = vec![Vec::new(); usize::from(rules.params.layers) + 1];
        for (id, signed) in &descriptors {
            let descriptor = signed.descriptor();
            let layer = layers.get(id).copied().unwrap_or(0);
            if (descriptor.role == Role::Provider) != (layer == 0) {
                return Err(DocumentError::Layer(layer.into()));
            }
            positions
                .get_mut(usize::from(layer))
                .ok_or(DocumentError::Layer(layer.into()))?
                .push((*id, descriptor.capacity_class));
            for tie in descriptor.ties().iter() {
                if *tied.entry(*tie).or_insert(layer) != layer {
                    return Err(DocumentError::Torn(tie.kind()));
                }
            }
            let member = Member {
                id: *id,
                role: descriptor.role,
                layer,
                key: descriptor
                    .key_for(epoch)
                    .ok_or(DocumentError::NoKey(epoch))?,
                addresses: descriptor.addresses.clone(),
                family: descriptor.family.map(|proof| proof.family),
                capacity_class: descriptor.capacity_class,
            };
            members.insert(*id, member);
        }
        let position = |(layer, members)| Position::new(layer, members);
        let positions = (0..).zip(positions).map(position);
        let positions = positions.collect::<Result<Vec<_>, _>>()?;
        let member = |(id, signed): (&NodeId, &SignedDescriptor)| wire::Member {
            signed_descriptor: signed.encode().to_vec(),
            layer: members.get(id).map_or(0, |member| member.layer.into()),
        };
        let bytes = wire::Document {
            epoch: epoch.number(),
            previous: previous.to_vec(),
            members: descriptors.iter().map(member).collect(),
        }
        .encode_to_vec();
        Ok(Self {
            epoch,
            previous,
            hash: hash(rules, &bytes),
            members,
            descriptors,
            positions,
            bytes: bytes.into(),
        })
    }

    /// Decodes a document and verifies it by itself: every member's descriptor and key for the
    /// epoch, its layer, no member twice, no layer empty, a provider, no family and no address prefix in
    /// two positions, one canonical encoding.
    /// Whether the layers follow from the document before is for who has that.
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
        UnverifiedDocument::read(bytes, rules)?.verify(rules)
    }

    /// The hash that names these bytes, which need not be a document.
    ///
    /// # Errors
    /// [`DocumentError::Size`].
    pub(crate) fn hash_of(rules: &Rules, bytes: &[u8]) -> Result<[u8; 32], DocumentError> {
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(DocumentError::Size(bytes.len()));
        }
        Ok(hash(rules, bytes))
    }

    /// Whether this is the document that its members make after `base`: its layers follow from
    /// those that they had there. Forms it anew, which takes 23 ms for 1,024 members.
    pub(crate) fn follows_from(&self, base: Option<&Self>, rules: &Rules) -> bool {
        Self::form_by(rules, self.epoch, base, self.descriptors.values())
            .is_ok_and(|formed| formed.hash == self.hash)
    }

    /// The epoch it is for.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The hash of the document before; all zeros if it was formed without one.
    #[must_use]
    pub const fn previous(&self) -> &[u8; 32] {
        &self.previous
    }

    /// BLAKE2b-256 of the network's hash and the encoded document.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
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

    /// All members, ascending by identity.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }

    /// The members' descriptors, ascending by identity.
    pub fn descriptors(&self) -> impl ExactSizeIterator<Item = &SignedDescriptor> {
        self.descriptors.values()
    }

    /// The family of a node. Who is no member is one of its own, as far as is known.
    #[must_use]
    pub fn family(&self, id: &NodeId) -> Family {
        Family::of(*id, self.member(id).and_then(|member| member.family))
    }

    /// The descriptor of a member.
    #[must_use]
    pub fn descriptor(&self, id: &NodeId) -> Option<&SignedDescriptor> {
        self.descriptors.get(id)
    }

    /// Whether packets go from the one to the other: provider, layer 1, 2, ..., L, provider.
    #[must_use]
    pub fn position_ok(&self, from: &NodeId, to: &NodeId) -> bool {
        let (Some(from), Some(to)) = (self.member(from), self.member(to)) else {
            return false;
        };
        to.layer == self.layer_after(from.layer)
    }

    /// The members of the position before a node's: those from which it gets packets. None for who is
    /// no member.
    #[must_use]
    pub fn before(&self, id: &NodeId) -> &[NodeId] {
        let layer = self.member(id).map(|member| member.layer);
        let before = layer.map(|layer| layer.checked_sub(1).unwrap_or(self.layers()));
        before.map_or(&[], |before| self.position(before))
    }

    /// The members of the position after a node's: those to which it sends packets. None for who is no
    /// member.
    #[must_use]
    pub fn after(&self, id: &NodeId) -> &[NodeId] {
        let layer = self.member(id).map(|member| member.layer);
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
        let position = self.positions.get(usize::from(layer))?;
        self.member(position.choose(rng)?)
    }
}

/// Tells the epoch, the hash's beginning and how many members, not who they are.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.hash;
        f.debug_struct("Document")
            .field("epoch", &self.epoch.number())
            .field("hash", &format_args!("{a:02x}{b:02x}{c:02x}{d:02x}"))
            .field("members", &self.members.len())
            .finish_non_exhaustive()
    }
}

/// A document that keeps every rule that can be seen without checking a signature, but for those of its
/// layers.
pub(crate) struct UnverifiedDocument {
    epoch: Epoch,
    previous: [u8; 32],
    members: Vec<(UnverifiedDescriptor, u8)>,
    bytes: Arc<[u8]>,
}

impl UnverifiedDocument {
    pub(crate) fn read(bytes: &Arc<[u8]>, rules: &Rules) -> Result<Self, DocumentError> {
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(DocumentError::Size(bytes.len()));
        }
        if !has_at_most(2 * MAX_MEMBERS, bytes) {
            return Err(DocumentError::Malformed);
        }
        let wire = wire::Document::decode(&**bytes).map_err(|_| DocumentError::Malformed)?;
        if wire.members.len() > MAX_MEMBERS {
            return Err(DocumentError::TooManyMembers(wire.members.len()));
        }
        if wire.encode_to_vec() != **bytes {
            return Err(DocumentError::Malformed);
        }
        let previous = wire.previous.as_slice().try_into();
        let mut document = Self {
            epoch: Epoch::new(wire.epoch),
            previous: previous.map_err(|_| DocumentError::Malformed)?,
            members: Vec::with_capacity(wire.members.len()),
            bytes: Arc::clone(bytes),
        };
        for member in wire.members {
            document.read_member(member, rules)?;
        }
        Ok(document)
    }

    fn read_member(&mut self, member: wire::Member, rules: &Rules) -> Result<(), DocumentError> {
        let read = UnverifiedDescriptor::read(&member.signed_descriptor.into(), rules);
        let read = read.map_err(DocumentError::Descriptor)?;
        check_dates(&rules.params, self.epoch, &read.descriptor)?;
        let last = self.ids().next_back();
        if last >= Some(&read.descriptor.identity) {
            return Err(DocumentError::Order);
        }
        let layer = u8::try_from(member.layer).map_err(|_| DocumentError::Layer(member.layer))?;
        self.members.push((read, layer));
        Ok(())
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) const fn previous(&self) -> &[u8; 32] {
        &self.previous
    }

    /// Who is listed, ascending.
    pub(crate) fn ids(&self) -> impl DoubleEndedIterator<Item = &NodeId> {
        let members = self.members.iter();
        members.map(|(member, _)| &member.descriptor.identity)
    }

    /// Checks the signatures and the layers.
    pub(crate) fn verify(self, rules: &Rules) -> Result<Document, DocumentError> {
        let (mut descriptors, mut layers) = (BTreeMap::new(), BTreeMap::new());
        for (member, layer) in self.members {
            let signed = member.verify(&rules.network);
            let signed = signed.map_err(DocumentError::Descriptor)?;
            layers.insert(signed.id(), layer);
            descriptors.insert(signed.id(), signed);
        }
        let document = Document::build(rules, self.epoch, self.previous, descriptors, &layers)?;
        if document.bytes != self.bytes {
            return Err(DocumentError::Malformed);
        }
        Ok(Document {
            bytes: self.bytes,
            ..document
        })
    }
}

fn hash(rules: &Rules, bytes: &[u8]) -> [u8; 32] {
    Canonical::new("shoal document 1")
        .bytes(rules.network.as_bytes())
        .bytes(bytes)
        .finish()
}

/// A member's descriptor is issued before its epoch ends and outlasts it.
fn check_dates(
    params: &NetworkParameters,
    epoch: Epoch,
    descriptor: &Descriptor,
) -> Result<(), DocumentError> {
    let end = params.start_of(epoch.next());
    if descriptor.key_for(epoch).is_none() {
        return Err(DocumentError::NoKey(epoch));
    }
    if descriptor.issued_at >= end {
        return Err(DocumentError::Descriptor(
            crate::DescriptorError::IssuedInFuture,
        ));
    }
    if descriptor.expires_at < end {
        return Err(DocumentError::Descriptor(crate::DescriptorError::Expired));
    }
    Ok(())
}

/// Keeps at most [`MAX_MEMBERS`], the same ones everywhere.
fn limit(rules: &Rules, epoch: Epoch, chosen: &mut BTreeMap<NodeId, SignedDescriptor>) {
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

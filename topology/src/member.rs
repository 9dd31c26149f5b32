//! What a document says of a member: an extract of its descriptor.

use prost::Message;
use shoal_packet::SphinxPublic;
use shoal_proto::{Epoch, FamilyId, NodeId, wire};

use crate::agreement::{Height, VrfPublic};
use crate::bounded::has_at_most;
use crate::descriptor::MAX_ADDRESSES;
use crate::identity::usable;
use crate::rules::Rules;
use crate::{Address, Descriptor, DescriptorError, DocumentError, Role, Ties, TokenTerms};

/// Most bytes of an encoded member, so that ten thousand take less than 3.8 MB. Only a provider that issues tokens has more than 328.
pub const MAX_EXTRACT_BYTES: usize = 371;
/// Most bytes of its addresses, with two around each. The longest one there is takes 62.
const ADDRESS_BYTES: usize = 96;

/// A member of one epoch.
#[derive(Clone, PartialEq, Eq)]
pub struct Member {
    /// Its identity.
    pub id: NodeId,
    /// What it does.
    pub role: Role,
    /// 1 to L for a mix, 0 for a provider, and for a mix that has just come: see
    /// [`position`](Self::position).
    pub layer: u8,
    /// Of the descriptor that this is an extract of.
    pub sequence: u64,
    /// Its Sphinx key of the document's epoch.
    pub key: SphinxPublic,
    /// Where it listens: the first addresses of its descriptor, one at least.
    pub addresses: Vec<Address>,
    /// Its family, if it is of one.
    pub family: Option<FamilyId>,
    /// What it says that it carries.
    pub capacity_class: u32,
    /// What the proofs of its proposals are checked with.
    pub vrf_key: VrfPublic,
    /// What it votes with if it gets a seat in the next term.
    pub seat_key: NodeId,
    /// The height of the first of the documents that have listed it ever since.
    pub since: Height,
    /// Who has brought it in by an invitation, as long as that keeps this one from bringing in another.
    pub invited_by: Option<NodeId>,
    /// On what terms it issues tokens, if it does.
    pub tokens: Option<TokenTerms>,
}

impl Member {
    /// Where packets pass it: 1 to L for a mix, 0 for a provider. None for a mix that has just come: the
    /// next document gives it a layer, by a seed that nobody knew when it came.
    #[must_use]
    pub const fn position(&self) -> Option<u8> {
        match (self.role, self.layer) {
            (Role::Mix, 0) => None,
            (_, layer) => Some(layer),
        }
    }

    /// By what it is tied to others, of what a document says of it.
    #[must_use]
    pub fn ties(&self) -> Ties {
        Ties::of(self.family, &self.addresses)
    }

    /// Of who says this of itself, without a layer, and invited by nobody. None without a key for the epoch.
    pub(crate) fn of(descriptor: &Descriptor, epoch: Epoch) -> Option<Self> {
        Some(Self {
            id: descriptor.identity,
            role: descriptor.role,
            layer: 0,
            sequence: descriptor.sequence,
            key: descriptor.key_for(epoch)?,
            addresses: extracted(&descriptor.addresses).to_vec(),
            family: descriptor.family.map(|proof| proof.family),
            capacity_class: descriptor.capacity_class,
            vrf_key: descriptor.vrf_key,
            seat_key: descriptor.seat_key,
            since: Height::default(),
            invited_by: None,
            tokens: descriptor.tokens,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let family = self.family.as_ref();
        let invited_by = self.invited_by.as_ref();
        wire::Extract {
            identity: self.id.as_bytes().to_vec(),
            role: self.role.to_wire().into(),
            layer: self.layer.into(),
            sequence: self.sequence,
            sphinx_key: self.key.as_bytes().to_vec(),
            seat_key: self.seat_key.as_bytes().to_vec(),
            vrf_key: self.vrf_key.as_bytes().to_vec(),
            family: family.map_or_else(Vec::new, |family| family.as_bytes().to_vec()),
            capacity_class: self.capacity_class,
            addresses: self.addresses.iter().map(Address::to_string).collect(),
            // A height each epoch: it takes 10,000 years to get there.
            since: u32::try_from(self.since.number()).unwrap_or(u32::MAX),
            invited_by: invited_by.map_or_else(Vec::new, |by| by.as_bytes().to_vec()),
            tokens: self.tokens.map(TokenTerms::to_wire),
        }
        .encode_to_vec()
    }

    /// Reads an encoding, of which each member has one.
    pub(crate) fn decode(bytes: &[u8], rules: &Rules) -> Result<Self, DocumentError> {
        // Twelve fields, and the addresses.
        if bytes.len() > MAX_EXTRACT_BYTES || !has_at_most(12 + MAX_ADDRESSES, bytes) {
            return Err(DocumentError::Malformed);
        }
        let wire = wire::Extract::decode(bytes).map_err(|_| DocumentError::Malformed)?;
        let layer = u8::try_from(wire.layer).map_err(|_| DocumentError::Layer(wire.layer))?;
        let member = Self::from_wire(&wire, layer, rules).map_err(DocumentError::Descriptor)?;
        let same = member.encode() == bytes;
        same.then_some(member).ok_or(DocumentError::Malformed)
    }

    fn from_wire(wire: &wire::Extract, layer: u8, rules: &Rules) -> Result<Self, DescriptorError> {
        let node = |bytes: &[u8]| NodeId::try_from(bytes).ok().filter(usable);
        let key = wire.sphinx_key.as_slice().try_into().ok();
        let key = key.and_then(|bytes| SphinxPublic::parse(bytes).ok());
        let vrf_key = wire.vrf_key.as_slice().try_into().ok();
        let vrf_key = vrf_key.and_then(VrfPublic::from_bytes);
        let family = match wire.family.as_slice() {
            [] => None,
            bytes => Some(FamilyId::try_from(bytes).map_err(|_| DescriptorError::Family)?),
        };
        let invited_by = match wire.invited_by.as_slice() {
            [] => None,
            bytes => Some(node(bytes).ok_or(DescriptorError::Admission)?),
        };
        let role = Role::from_wire(wire.role).ok_or(DescriptorError::Role)?;
        let tokens = wire
            .tokens
            .as_ref()
            .map(TokenTerms::from_wire)
            .transpose()?;
        if let Some(tokens) = &tokens {
            tokens.check(role)?;
        }
        let address = |text: &String| {
            let address: Address = text.parse().map_err(DescriptorError::Address)?;
            let fits = rules.reach.check(address.ip());
            fits.map_err(|why| DescriptorError::Misfit(address.ip(), why))?;
            Ok(address)
        };
        let taken = wire.addresses.iter().map(|text| text.len() + 2);
        if wire.addresses.is_empty() || taken.sum::<usize>() > ADDRESS_BYTES {
            return Err(DescriptorError::AddressCount(wire.addresses.len()));
        }
        let addresses = wire.addresses.iter().map(address);
        Ok(Self {
            id: node(&wire.identity).ok_or(DescriptorError::Identity)?,
            role,
            layer,
            sequence: wire.sequence,
            key: key.ok_or(DescriptorError::Keys)?,
            addresses: addresses.collect::<Result<_, _>>()?,
            family,
            capacity_class: wire.capacity_class,
            vrf_key: vrf_key.ok_or(DescriptorError::SeatKeys)?,
            seat_key: node(&wire.seat_key).ok_or(DescriptorError::SeatKeys)?,
            since: Height::new(wire.since.into()),
            invited_by,
            tokens,
        })
    }
}

/// The addresses of a descriptor that a document says: from the first on, as many as fit.
pub(crate) fn extracted(addresses: &[Address]) -> &[Address] {
    let mut room = ADDRESS_BYTES;
    let fits = |address: &&Address| {
        let left = room.checked_sub(address.to_string().len() + 2);
        room = left.unwrap_or(0);
        left.is_some()
    };
    let count = addresses.iter().take_while(fits).count();
    addresses.get(..count).unwrap_or(addresses)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use shoal_packet::token::IssuerSecret;

    use super::*;
    use crate::{Identity, MAX_TOKEN_WORK, NetworkParameters, TokenDemand};

    #[test]
    fn the_longest_extract_is_as_long_as_it_may_be() {
        let identity = Identity::from_bytes(&[7; 32]);
        let long = "/ip6/2001:db8:1111:2222:3333:4444:5555:6666/udp/65535/quic-v1";
        let fill = "/ip4/203.0.113.77/tcp/4000";
        let addresses: Vec<Address> = [long, fill].map(|text| text.parse().unwrap()).into();
        let taken: usize = addresses.iter().map(|it| it.to_string().len() + 2).sum();
        let issuer = IssuerSecret::derive(&[1; 32], u32::MAX).unwrap();
        let terms = TokenTerms {
            key: issuer.public(),
            demand: TokenDemand::Work {
                bits: MAX_TOKEN_WORK,
            },
        };
        let mix = Member {
            id: identity.id(),
            role: Role::Mix,
            layer: u8::MAX,
            sequence: u64::MAX,
            key: shoal_packet::SphinxSecret::from_bytes([9; 32]).public(),
            addresses,
            family: Some(FamilyId::new(*identity.id().as_bytes())),
            capacity_class: u32::MAX,
            vrf_key: identity.vrf_key().public(),
            seat_key: identity.id(),
            since: Height::new(u32::MAX.into()),
            invited_by: Some(identity.id()),
            tokens: None,
        };
        let spare = ADDRESS_BYTES - taken;
        assert_eq!(mix.encode().len() + spare, 328);
        let provider = Member {
            role: Role::Provider,
            layer: 0,
            tokens: Some(terms),
            ..mix.clone()
        };
        assert_eq!(provider.encode().len() + spare, MAX_EXTRACT_BYTES);
        let rules = Rules::of(&NetworkParameters::example());
        let issuing_mix = Member {
            tokens: Some(terms),
            addresses: vec![fill.parse().unwrap()],
            ..mix.clone()
        };
        let read = Member::decode(&issuing_mix.encode(), &rules);
        let expected = DocumentError::Descriptor(DescriptorError::Tokens);
        assert_eq!(read.err(), Some(expected));
        for member in [mix, provider] {
            let read = Member::decode(&member.encode(), &rules);
            assert!(matches!(
                read,
                Ok(_) | Err(DocumentError::Descriptor(DescriptorError::Misfit(..)))
            ));
        }
    }
}

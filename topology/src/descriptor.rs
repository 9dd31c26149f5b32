//! What a node says about itself, signed: the rules for it, and its bytes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use prost::Message;
use serde::{Deserialize, Serialize};
use shoal_packet::SphinxPublic;
use shoal_proto::size::MAX_DESCRIPTOR_BYTES;
use shoal_proto::{Epoch, FamilyId, NetworkHash, NodeId, Span, Time, wire};

use crate::agreement::VrfPublic;
use crate::canonical::Canonical;
use crate::identity::{usable, verify};
use crate::invitation::Invitation;
use crate::rules::Rules;
use crate::work::Work;
use crate::{
    Address, Admission, DescriptorError, FamilyProof, Identity, NetworkParameters, Ties, TokenTerms,
};

/// The packet version that every member has to speak.
pub const PACKET_VERSION: u32 = 260;
/// Most addresses of a node.
pub const MAX_ADDRESSES: usize = 8;
/// Most keys, for consecutive epochs, in a descriptor.
pub const MAX_KEYS: usize = 4;
/// Most versions that a descriptor may list.
const MAX_VERSIONS: usize = 8;
/// In front of what is signed, so that the signature means nothing elsewhere.
const DOMAIN: &[u8] = b"shoal descriptor 1";

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sits in one of the layers.
    Mix,
    /// Entry for clients, and keeper of mailboxes.
    Provider,
}

impl Role {
    /// `mix` or `provider`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mix => "mix",
            Self::Provider => "provider",
        }
    }

    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Mix => 1,
            Self::Provider => 2,
        }
    }

    pub(crate) const fn to_wire(self) -> wire::Role {
        match self {
            Self::Mix => wire::Role::Mix,
            Self::Provider => wire::Role::Provider,
        }
    }

    pub(crate) fn from_wire(role: i32) -> Option<Self> {
        match wire::Role::try_from(role) {
            Ok(wire::Role::Mix) => Some(Self::Mix),
            Ok(wire::Role::Provider) => Some(Self::Provider),
            _ => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// From `mix` or `provider`.
impl FromStr for Role {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "mix" => Ok(Self::Mix),
            "provider" => Ok(Self::Provider),
            _ => Err(()),
        }
    }
}

/// What a node says about itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Who says it.
    pub identity: NodeId,
    /// What it does.
    pub role: Role,
    /// Grows with every descriptor that the node issues; the highest one counts.
    pub sequence: u64,
    /// When it was issued.
    pub issued_at: Time,
    /// Until when it is valid: at most the end of the last epoch with a key.
    pub expires_at: Time,
    /// The epoch of the first key.
    pub first_epoch: Epoch,
    /// Sphinx keys for consecutive epochs: 1 to [`MAX_KEYS`].
    pub keys: Vec<SphinxPublic>,
    /// Where it listens: 1 to [`MAX_ADDRESSES`].
    pub addresses: Vec<Address>,
    /// Packet versions that it speaks; [`PACKET_VERSION`] is among them.
    pub versions: Vec<u32>,
    /// 0 is unknown, and counts as the lowest; each further class is about twice the packets per second.
    /// Nobody vouches for it, so what it weighs is bounded: see [`capacity`](crate::capacity).
    pub capacity_class: u32,
    /// Providers: storage on offer, in MiB.
    pub storage_mib: u64,
    /// Nodes of one operator are of one family and stand in one position. It counts only if the family's
    /// key has signed for this node in this network.
    pub family: Option<FamilyProof>,
    /// The work that a newcomer of an open network has done for its place, or the invitation of a member; empty for a
    /// member, and where neither is asked for. See docs/directory.md.
    pub admission: Vec<u8>,
    /// What the proofs of its proposals are checked with.
    pub vrf_key: VrfPublic,
    /// The Ed25519 key that it votes with if it gets a seat in the next term.
    pub seat_key: NodeId,
    /// It leaves: no further document is to list it, and no new route is to lead over it.
    pub leaving: bool,
    /// Providers: on what terms it issues tokens, if it does.
    pub tokens: Option<TokenTerms>,
}

impl Descriptor {
    /// The Sphinx key for this epoch.
    #[must_use]
    pub fn key_for(&self, epoch: Epoch) -> Option<SphinxPublic> {
        let index = epoch.number().checked_sub(self.first_epoch.number())?;
        self.keys.get(usize::try_from(index).ok()?).copied()
    }

    /// By what it is tied to others.
    #[must_use]
    pub fn ties(&self) -> Ties {
        Ties::of(self.family.map(|proof| proof.family), &self.addresses)
    }

    /// How long a descriptor may be valid: four epochs.
    pub(crate) fn max_lifetime(params: &NetworkParameters) -> Span {
        params.epoch.scale(4, 1)
    }

    /// How far in the future a descriptor may be issued by a clock that is ahead.
    pub(crate) fn clock_tolerance(params: &NetworkParameters) -> Span {
        params.epoch.scale(1, 20).min(Span::from_secs(120))
    }

    fn to_wire(&self) -> wire::Descriptor {
        wire::Descriptor {
            identity: self.identity.as_bytes().to_vec(),
            role: self.role.to_wire().into(),
            sequence: self.sequence,
            issued_at_us: self.issued_at.as_micros(),
            expires_at_us: self.expires_at.as_micros(),
            first_epoch: self.first_epoch.number(),
            sphinx_keys: self
                .keys
                .iter()
                .map(|key| key.as_bytes().to_vec())
                .collect(),
            addresses: self.addresses.iter().map(Address::to_string).collect(),
            versions: self.versions.clone(),
            capacity_class: self.capacity_class,
            storage_mib: self.storage_mib,
            family: self
                .family
                .map_or_else(Vec::new, |proof| proof.family.as_bytes().to_vec()),
            admission: self.admission.clone(),
            family_signature: self
                .family
                .map_or_else(Vec::new, |proof| proof.signature.to_vec()),
            vrf_key: self.vrf_key.as_bytes().to_vec(),
            seat_key: self.seat_key.as_bytes().to_vec(),
            leaving: self.leaving,
            tokens: self.tokens.map(TokenTerms::to_wire),
        }
    }

    fn from_wire(wire: wire::Descriptor) -> Result<Self, DescriptorError> {
        let identity = NodeId::try_from(wire.identity.as_slice())
            .ok()
            .filter(usable)
            .ok_or(DescriptorError::Identity)?;
        let role = Role::from_wire(wire.role).ok_or(DescriptorError::Role)?;
        if wire.sphinx_keys.is_empty() || wire.sphinx_keys.len() > MAX_KEYS {
            return Err(DescriptorError::Keys);
        }
        let key = |bytes: &Vec<u8>| {
            let bytes: [u8; 32] = bytes
                .as_slice()
                .try_into()
                .map_err(|_| DescriptorError::Keys)?;
            SphinxPublic::parse(bytes).map_err(|_| DescriptorError::Keys)
        };
        let vrf_key = wire.vrf_key.as_slice().try_into().ok();
        let vrf_key = vrf_key.and_then(VrfPublic::from_bytes);
        let seat_key = NodeId::try_from(wire.seat_key.as_slice()).ok();
        let tokens = wire.tokens.as_ref().map(TokenTerms::from_wire);
        check_address_count(wire.addresses.len())?;
        let address = |text: &String| text.parse().map_err(DescriptorError::Address);
        Ok(Self {
            identity,
            role,
            sequence: wire.sequence,
            issued_at: Time::from_micros(wire.issued_at_us),
            expires_at: Time::from_micros(wire.expires_at_us),
            first_epoch: Epoch::new(wire.first_epoch),
            keys: wire.sphinx_keys.iter().map(key).collect::<Result<_, _>>()?,
            addresses: wire
                .addresses
                .iter()
                .map(address)
                .collect::<Result<_, _>>()?,
            versions: wire.versions,
            capacity_class: wire.capacity_class,
            storage_mib: wire.storage_mib,
            family: family(&wire.family, &wire.family_signature)?,
            admission: wire.admission,
            vrf_key: vrf_key.ok_or(DescriptorError::SeatKeys)?,
            seat_key: seat_key.filter(usable).ok_or(DescriptorError::SeatKeys)?,
            leaving: wire.leaving,
            tokens: tokens.transpose()?,
        })
    }

    /// What can be checked without a clock.
    fn check(&self, rules: &Rules) -> Result<(), DescriptorError> {
        self.check_dates(&rules.params)?;
        if self.keys.is_empty() || self.keys.len() > MAX_KEYS {
            return Err(DescriptorError::Keys);
        }
        check_address_count(self.addresses.len())?;
        for address in &self.addresses {
            let ip = address.ip();
            let fits = rules.reach.check(ip);
            fits.map_err(|why| DescriptorError::Misfit(ip, why))?;
        }
        if let Some(missing) = rules.params.families.missing(&self.addresses) {
            return Err(DescriptorError::Families(missing));
        }
        if self.versions.len() > MAX_VERSIONS || !self.versions.contains(&PACKET_VERSION) {
            return Err(DescriptorError::Versions);
        }
        if let Some(tokens) = &self.tokens {
            tokens.check(self.role)?;
        }
        // Proofs of nothing would make room for whatever somebody wants to have spread.
        let shows = match rules.params.admission {
            Admission::Open => rules.params.work > 0 && Work::read(&self.admission).is_some(),
            Admission::Invitation => Invitation::read(&self.admission).is_some(),
            Admission::List => false,
        };
        if !shows && !self.admission.is_empty() {
            return Err(DescriptorError::Admission);
        }
        Ok(())
    }

    /// Whether the work that it shows has been done, or the invitation is signed: hashes to be computed.
    fn check_admission(&self, rules: &Rules) -> Result<(), DescriptorError> {
        if rules.params.admission == Admission::Invitation {
            let proves = |shown: Invitation| shown.proves(&rules.network, &self.identity);
            let signed = Invitation::read(&self.admission).is_none_or(proves);
            return signed.then_some(()).ok_or(DescriptorError::Invitation);
        }
        let work = Work::read(&self.admission);
        let bits = rules.params.work;
        let done = work.is_none_or(|work| work.proves(rules.network, self.identity, bits));
        done.then_some(()).ok_or(DescriptorError::Admission)
    }

    /// Whether the family that it names has signed for it: a signature to be checked.
    fn check_family(&self, network: &NetworkHash) -> Result<(), DescriptorError> {
        let proven = self
            .family
            .is_none_or(|proof| proof.proves(network, &self.identity));
        proven.then_some(()).ok_or(DescriptorError::Unproven)
    }

    fn check_dates(&self, params: &NetworkParameters) -> Result<(), DescriptorError> {
        let lifetime = self.expires_at.since(self.issued_at);
        if self.expires_at <= self.issued_at || lifetime > Self::max_lifetime(params) {
            return Err(DescriptorError::Lifetime);
        }
        let count = u64::try_from(self.keys.len()).unwrap_or(u64::MAX);
        let end = Epoch::new(self.first_epoch.number().saturating_add(count));
        let first = params.epoch_at(self.issued_at).next();
        if self.first_epoch > first || self.expires_at > params.start_of(end) {
            return Err(DescriptorError::KeyEpochs);
        }
        Ok(())
    }
}

/// A descriptor with its signature, in the bytes that travel. Its signature has been verified, or
/// made here. Copies share their memory.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedDescriptor(Arc<Signed>);

#[derive(PartialEq, Eq)]
struct Signed {
    descriptor: Descriptor,
    bytes: Arc<[u8]>,
    /// A hash of the bytes.
    digest: [u8; 32],
}

impl SignedDescriptor {
    /// Signs a descriptor for the network.
    ///
    /// # Errors
    /// When the descriptor breaks a rule that every other node would refuse it for, or does not
    /// name this identity.
    pub fn sign(
        identity: &Identity,
        params: &NetworkParameters,
        descriptor: Descriptor,
    ) -> Result<Self, DescriptorError> {
        Self::sign_by(identity, &Rules::of(params), descriptor)
    }

    /// As [`sign`](Self::sign).
    pub(crate) fn sign_by(
        identity: &Identity,
        rules: &Rules,
        descriptor: Descriptor,
    ) -> Result<Self, DescriptorError> {
        if descriptor.identity != identity.id() {
            return Err(DescriptorError::Identity);
        }
        descriptor.check(rules)?;
        descriptor.check_family(&rules.network)?;
        descriptor.check_admission(rules)?;
        let inner = descriptor.to_wire().encode_to_vec();
        let signature = identity.sign(&message(&rules.network, &inner)).to_vec();
        let bytes = wire::SignedDescriptor {
            descriptor: inner,
            signature,
        }
        .encode_to_vec();
        if bytes.len() > MAX_DESCRIPTOR_BYTES {
            return Err(DescriptorError::Size(bytes.len()));
        }
        Ok(Self::new(descriptor, bytes.into()))
    }

    fn new(descriptor: Descriptor, bytes: Arc<[u8]>) -> Self {
        let digest = Canonical::new("shoal descriptor digest 1")
            .bytes(&bytes)
            .finish();
        Self(Arc::new(Signed {
            descriptor,
            bytes,
            digest,
        }))
    }

    /// Names these bytes among all others.
    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.0.digest
    }

    /// Decodes and verifies a descriptor that is to be valid now.
    ///
    /// # Errors
    /// What is wrong with it, each in a variant of its own.
    pub fn decode_verified(
        bytes: &[u8],
        params: &NetworkParameters,
        now: Time,
    ) -> Result<Self, DescriptorError> {
        let signed = Self::decode(&bytes.into(), &Rules::of(params))?;
        signed.check_now(params, now)?;
        Ok(signed)
    }

    /// Everything but the current time. What comes out shares the bytes.
    pub(crate) fn decode(bytes: &Arc<[u8]>, rules: &Rules) -> Result<Self, DescriptorError> {
        if bytes.len() > MAX_DESCRIPTOR_BYTES {
            return Err(DescriptorError::Size(bytes.len()));
        }
        let malformed = |_| DescriptorError::Malformed;
        let outer = wire::SignedDescriptor::decode(&**bytes).map_err(malformed)?;
        // One envelope for one signed text, or copies that differ would count as two.
        if outer.encode_to_vec() != **bytes {
            return Err(DescriptorError::Malformed);
        }
        let inner = wire::Descriptor::decode(outer.descriptor.as_slice()).map_err(malformed)?;
        let descriptor = Descriptor::from_wire(inner)?;
        descriptor.check(rules)?;
        let signature = outer.signature.as_slice().try_into();
        let signature = signature.map_err(|_| DescriptorError::Signature)?;
        let signed = message(&rules.network, &outer.descriptor);
        if !verify(&descriptor.identity, &signed, signature) {
            return Err(DescriptorError::Signature);
        }
        descriptor.check_family(&rules.network)?;
        descriptor.check_admission(rules)?;
        Ok(Self::new(descriptor, Arc::clone(bytes)))
    }

    /// Whether it is valid at this time.
    pub(crate) fn check_now(
        &self,
        params: &NetworkParameters,
        now: Time,
    ) -> Result<(), DescriptorError> {
        let descriptor = self.descriptor();
        let dates = (descriptor.issued_at, descriptor.expires_at);
        Self::check_dates_now(params, now, dates)
    }

    /// Whether one that was issued at the first of these times and expires at the second is valid.
    pub(crate) fn check_dates_now(
        params: &NetworkParameters,
        now: Time,
        (issued_at, expires_at): (Time, Time),
    ) -> Result<(), DescriptorError> {
        if issued_at > now + Descriptor::clock_tolerance(params) {
            return Err(DescriptorError::IssuedInFuture);
        }
        if expires_at <= now {
            return Err(DescriptorError::Expired);
        }
        Ok(())
    }

    /// What it says.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.0.descriptor
    }

    /// The bytes that travel, at most 1 KiB.
    #[must_use]
    pub fn encode(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The bytes that travel, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<[u8]> {
        Arc::clone(&self.0.bytes)
    }

    /// Whether both are one in memory, not only in what they say.
    #[must_use]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Who issued it.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.0.descriptor.identity
    }

    /// Its place among the issuer's descriptors.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.0.descriptor.sequence
    }
}

/// A key and its signature, or neither.
fn family(key: &[u8], signature: &[u8]) -> Result<Option<FamilyProof>, DescriptorError> {
    if key.is_empty() && signature.is_empty() {
        return Ok(None);
    }
    let family = FamilyId::try_from(key).map_err(|_| DescriptorError::Family)?;
    let signature = signature.try_into().map_err(|_| DescriptorError::Family)?;
    Ok(Some(FamilyProof { family, signature }))
}

fn check_address_count(count: usize) -> Result<(), DescriptorError> {
    if count == 0 || count > MAX_ADDRESSES {
        Err(DescriptorError::AddressCount(count))
    } else {
        Ok(())
    }
}

fn message(network: &NetworkHash, descriptor: &[u8]) -> Vec<u8> {
    [DOMAIN, network.as_bytes(), descriptor].concat()
}

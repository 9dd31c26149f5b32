//! What a document says of itself, and what its hash is of.

use prost::Message as _;
use shoal_proto::{DocumentHash, Epoch, wire};

use crate::DocumentError;
use crate::agreement::{Height, Reveal, Seed, VrfProof};
use crate::canonical::Canonical;
use crate::rules::Rules;

/// The head of a document, without its members. Its hash is the document's, so that the last one of a
/// term can be shown without them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DocumentHeader {
    /// Its place in the chain.
    pub height: Height,
    /// The epoch that it is for.
    pub epoch: Epoch,
    /// The hash of the document before; all zeros for the first one.
    pub previous: DocumentHash,
    /// Whose turn it was when it was made, and the proof; none for the first document only.
    pub reveal: Option<Reveal>,
    /// The seed after this height.
    pub seed: Seed,
    /// The hash of the seats that decide the next height.
    pub seats: [u8; 32],
    /// The hash of the members, of who is expelled, and of the evidence for that: see
    /// [`contents_hash`](crate::contents_hash).
    pub members: [u8; 32],
}

impl DocumentHeader {
    pub(crate) fn to_wire(&self) -> wire::DocumentHeader {
        let proof = |reveal: &Reveal| reveal.proof.as_bytes().to_vec();
        wire::DocumentHeader {
            height: self.height.number(),
            epoch: self.epoch.number(),
            previous: self.previous.as_bytes().to_vec(),
            round: self.reveal.as_ref().map_or(0, |reveal| reveal.round),
            proof: self.reveal.as_ref().map_or_else(Vec::new, proof),
            seed: self.seed.as_bytes().to_vec(),
            seats: self.seats.to_vec(),
            members: self.members.to_vec(),
        }
    }

    pub(crate) fn from_wire(wire: &wire::DocumentHeader) -> Result<Self, DocumentError> {
        let hash = |bytes: &[u8]| bytes.try_into().map_err(|_| DocumentError::Malformed);
        let reveal = match wire.proof.as_slice() {
            [] if wire.round == 0 => None,
            [] => return Err(DocumentError::Malformed),
            bytes => {
                let proof = bytes.try_into().ok().and_then(VrfProof::from_bytes);
                Some(Reveal {
                    round: wire.round,
                    proof: proof.ok_or(DocumentError::Proof)?,
                })
            }
        };
        let header = Self {
            height: Height::new(wire.height),
            epoch: Epoch::new(wire.epoch),
            previous: DocumentHash::new(hash(&wire.previous)?),
            reveal,
            seed: Seed::new(hash(&wire.seed)?),
            seats: hash(&wire.seats)?,
            members: hash(&wire.members)?,
        };
        // The first one has nobody before it, and nobody's proof.
        let first = header.height == Height::FIRST;
        let sound = header.height >= Height::FIRST
            && first == (header.previous == DocumentHash::new([0; 32]))
            && first == header.reveal.is_none();
        sound.then_some(header).ok_or(DocumentError::Malformed)
    }

    /// Reads an encoding, of which each header has one.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DocumentError> {
        let wire = wire::DocumentHeader::decode(bytes).map_err(|_| DocumentError::Malformed)?;
        if wire.encode_to_vec() != bytes {
            return Err(DocumentError::Malformed);
        }
        Self::from_wire(&wire)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        self.to_wire().encode_to_vec()
    }

    /// BLAKE2b-256 of the network's hash and the encoded header.
    pub(crate) fn hash(&self, rules: &Rules) -> DocumentHash {
        let hash = Canonical::new("shoal document 2")
            .bytes(rules.network.as_bytes())
            .bytes(&self.encode())
            .finish();
        DocumentHash::new(hash)
    }
}

/// The hash of a document's members, each an encoded extract: BLAKE2b-256.
#[must_use]
pub(crate) fn members_hash(members: &[Vec<u8>]) -> [u8; 32] {
    let hash = Canonical::new("shoal members 2");
    let hash = members.iter().fold(hash, |hash, member| hash.bytes(member));
    hash.finish()
}

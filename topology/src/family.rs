//! Which nodes belong to one operator, proven by a key.
//!
//! A name would let anybody join anybody's family, and be put where that stands. So a family is a public
//! key, and each of its nodes shows that key's signature over the network and the node's identity. The
//! secret stays off the nodes: who takes one over can't make others.

use std::fmt;
use std::str::FromStr;

use rand::CryptoRng;
use shoal_proto::{FamilyId, NetworkHash, NodeId};
use zeroize::Zeroizing;

use crate::identity::{Identity, verify_by};

/// In front of what is signed, so that the signature means nothing elsewhere.
const DOMAIN: &[u8] = b"shoal family 1";
/// Bytes of a proof's signature.
const SIGNATURE_BYTES: usize = 64;

/// The secret of a family: an Ed25519 signing key. Wiped when dropped; no `Debug`, no `Clone`.
pub struct FamilyKey(Identity);

impl FamilyKey {
    /// A new family.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(Identity::generate(rng))
    }

    /// From the 32-byte seed of RFC 8032.
    #[must_use]
    pub fn from_bytes(seed: &[u8; 32]) -> Self {
        Self(Identity::from_bytes(seed))
    }

    /// The 32-byte seed of RFC 8032.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.0.to_bytes()
    }

    /// The public key, by which everybody names the family.
    #[must_use]
    pub fn id(&self) -> FamilyId {
        FamilyId::new(*self.0.id().as_bytes())
    }

    /// Says that a node of a network is of this family.
    #[must_use]
    pub fn prove(&self, network: &NetworkHash, node: &NodeId) -> FamilyProof {
        FamilyProof {
            family: self.id(),
            signature: self.0.sign(&message(network, node)),
        }
    }
}

/// That a node is of a family, as the family's key has signed it. Whether it has is for
/// [`proves`](Self::proves) to say. Nothing secret: every descriptor of the node shows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FamilyProof {
    /// The family.
    pub family: FamilyId,
    /// Ed25519 over the domain, the network's hash and the node's identity.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl FamilyProof {
    /// Whether the family's key has signed for this node in this network, by strict verification.
    #[must_use]
    pub fn proves(&self, network: &NetworkHash, node: &NodeId) -> bool {
        verify_by(
            self.family.as_bytes(),
            &message(network, node),
            &self.signature,
        )
    }
}

/// The family and the signature in base58, with a colon between them.
impl fmt::Display for FamilyProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}",
            self.family,
            bs58::encode(&self.signature).into_string()
        )
    }
}

/// Redacted: it names an operator's nodes.
impl fmt::Debug for FamilyProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FamilyProof(..)")
    }
}

/// From `FAMILY:SIGNATURE`, both in base58.
impl FromStr for FamilyProof {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (family, signature) = text.split_once(':').ok_or(())?;
        let mut bytes = [0; SIGNATURE_BYTES];
        let length = bs58::decode(signature).onto(&mut bytes).map_err(|_| ())?;
        if length != SIGNATURE_BYTES {
            return Err(());
        }
        Ok(Self {
            family: family.parse().map_err(|_| ())?,
            signature: bytes,
        })
    }
}

fn message(network: &NetworkHash, node: &NodeId) -> Vec<u8> {
    [DOMAIN, network.as_bytes(), node.as_bytes()].concat()
}

/// What nodes of one operator have in common, as far as they say so: their family. Who is of none is a
/// family of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// That of this key.
    Of(FamilyId),
    /// That of a node that is alone.
    Alone(NodeId),
}

impl Family {
    /// That of a node which is of this family, or of none.
    #[must_use]
    pub const fn of(node: NodeId, family: Option<FamilyId>) -> Self {
        match family {
            Some(family) => Self::Of(family),
            None => Self::Alone(node),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_proof_is_for_one_node_in_one_network() {
        let (key, other) = ([1, 2])
            .map(|byte| FamilyKey::from_bytes(&[byte; 32]))
            .into();
        let (network, node) = (NetworkHash::new([3; 32]), NodeId::new([4; 32]));
        let proof = key.prove(&network, &node);
        assert!(proof.proves(&network, &node));
        assert!(!proof.proves(&NetworkHash::new([4; 32]), &node));
        assert!(!proof.proves(&network, &NodeId::new([5; 32])));
        let family = other.id();
        assert!(!FamilyProof { family, ..proof }.proves(&network, &node));
        // A key of small order signs for everybody.
        let mut weak = [0; 32];
        weak[0] = 1;
        let family = FamilyId::new(weak);
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!FamilyProof { family, signature }.proves(&network, &node));
    }

    #[test]
    fn a_proof_has_one_text() {
        let key = FamilyKey::from_bytes(&[1; 32]);
        let proof = key.prove(&NetworkHash::new([3; 32]), &NodeId::new([4; 32]));
        let text = proof.to_string();
        assert_eq!(text.parse(), Ok(proof));
        let id = key.id().to_string();
        for wrong in [
            id.clone(),
            format!("{id}:"),
            format!("{id}:abc"),
            format!("{text}1"),
            format!("x{text}"),
            String::new(),
        ] {
            assert_eq!(wrong.parse::<FamilyProof>(), Err(()), "{wrong}");
        }
    }
}

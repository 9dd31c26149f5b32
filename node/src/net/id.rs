//! Node ids in libp2p's terms and back.

use libp2p::PeerId;
use libp2p::identity::{Keypair, PublicKey, ed25519};
use shoal_proto::NodeId;

/// The code of a multihash that carries the public key itself.
const INLINE: u64 = 0;

/// The libp2p name of a node; none if its bytes are not an Ed25519 public key.
pub(super) fn peer_of(node: &NodeId) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(node.as_bytes()).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// The node behind a libp2p name; none if its identity is not an Ed25519 key.
pub(super) fn node_of(peer: &PeerId) -> Option<NodeId> {
    let multihash = peer.as_ref();
    if multihash.code() != INLINE {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(multihash.digest()).ok()?;
    let key = key.try_into_ed25519().ok()?;
    Some(NodeId::new(key.to_bytes()))
}

/// The node that libp2p writes so: `12D3KooW…`.
#[must_use]
pub fn node_named(text: &str) -> Option<NodeId> {
    node_of(&text.parse().ok()?)
}

/// The libp2p key pair and our own name, from the secret key. Leaves zeros in `secret`.
pub(super) fn identity(secret: &mut [u8; 32]) -> Option<(Keypair, NodeId)> {
    let keypair = Keypair::ed25519_from_bytes(secret).ok()?;
    let node = node_of(&keypair.public().to_peer_id())?;
    Some((keypair, node))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_node_is_its_peer() {
        let mut secret = [7; 32];
        let (keypair, node) = identity(&mut secret).unwrap();
        assert_eq!(secret, [0; 32], "the secret is wiped");
        assert_eq!(peer_of(&node), Some(keypair.public().to_peer_id()));
        assert_eq!(node_of(&keypair.public().to_peer_id()), Some(node));
    }

    #[test]
    fn hashed_peers_are_nobody() {
        assert_eq!(
            node_of(&PeerId::from_bytes(&[&[0x12, 32][..], &[1; 32]].concat()).unwrap()),
            None
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_peer_or_not(bytes: [u8; 32]) {
            let node = NodeId::new(bytes);
            if let Some(peer) = peer_of(&node) {
                prop_assert_eq!(node_of(&peer), Some(node));
            }
        }

        #[test]
        fn any_peer_is_a_node_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(peer) = PeerId::from_bytes(&bytes) {
                let _ = node_of(&peer);
            }
        }
    }
}

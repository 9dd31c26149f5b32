//! That a member brings a node in, in a network whose members invite newcomers.
//!
//! An invitation is the signature of the member's identity over the network, the node's identity, and the last
//! epoch in which it counts. It is good for that node in that network only, and no secret. What a member may do
//! with it is in [`newcomers`](crate::newcomers).

use std::fmt;
use std::str::FromStr;

use shoal_proto::{Epoch, NetworkHash, NodeId};

use crate::identity::{Identity, usable, verify};

/// In front of what is signed, so that the signature means nothing elsewhere.
const DOMAIN: &[u8] = b"shoal invitation 1";
/// Bytes of an encoded invitation.
const INVITATION_BYTES: usize = 32 + 8 + 64;

/// That a member brings a node in, as its identity has signed it. Whether it has is for
/// [`proves`](Self::proves) to say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Invitation {
    /// The member.
    pub by: NodeId,
    /// The last epoch in which it counts.
    pub last: Epoch,
    /// Ed25519 over the domain, the network's hash, the invited node's identity and that epoch.
    pub signature: [u8; 64],
}

impl Invitation {
    /// Invites a node to a network, up to this epoch.
    #[must_use]
    pub fn sign(by: &Identity, network: &NetworkHash, node: &NodeId, last: Epoch) -> Self {
        Self {
            by: by.id(),
            last,
            signature: by.sign(&message(network, node, last)),
        }
    }

    /// Whether it is for this node in this network, by strict verification.
    #[must_use]
    pub fn proves(&self, network: &NetworkHash, node: &NodeId) -> bool {
        verify(
            &self.by,
            &message(network, node, self.last),
            &self.signature,
        )
    }

    /// Whether it counts in this epoch, as far as time goes.
    #[must_use]
    pub fn lasts(&self, epoch: Epoch) -> bool {
        epoch <= self.last
    }

    /// The encoding, as a descriptor shows it: member 32, epoch 8 (big-endian), signature 64. As long as a proof of work: the network's
    /// parameters say which of the two it is.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let last = self.last.number().to_be_bytes();
        [&self.by.as_bytes()[..], &last, &self.signature].concat()
    }

    /// Reads an encoding, of which each invitation has one.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (by, rest) = bytes.split_first_chunk()?;
        let (last, rest) = rest.split_first_chunk()?;
        let by = Some(NodeId::new(*by)).filter(usable)?;
        Some(Self {
            by,
            last: Epoch::new(u64::from_be_bytes(*last)),
            signature: rest.try_into().ok()?,
        })
    }
}

/// In base58.
impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.encode()).into_string())
    }
}

/// Redacted: it names two operators' nodes.
impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invitation(..)")
    }
}

/// From base58.
impl FromStr for Invitation {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        // One byte more than there can be, so that what is too long shows.
        let mut bytes = [0; INVITATION_BYTES + 1];
        let length = bs58::decode(text).onto(&mut bytes).map_err(|_| ())?;
        bytes.get(..length).and_then(Self::read).ok_or(())
    }
}

fn message(network: &NetworkHash, node: &NodeId, last: Epoch) -> Vec<u8> {
    let last = last.number().to_be_bytes();
    [DOMAIN, network.as_bytes(), node.as_bytes(), &last].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn invitation() -> (Invitation, NetworkHash, NodeId) {
        let (network, node) = (NetworkHash::new([3; 32]), NodeId::new([4; 32]));
        let by = Identity::from_bytes(&[1; 32]);
        let invitation = Invitation::sign(&by, &network, &node, Epoch::new(77));
        (invitation, network, node)
    }

    #[test]
    fn an_invitation_is_for_one_node_in_one_network_up_to_one_epoch() {
        let (invitation, network, node) = invitation();
        assert!(invitation.proves(&network, &node));
        assert!(!invitation.proves(&NetworkHash::new([4; 32]), &node));
        assert!(!invitation.proves(&network, &NodeId::new([5; 32])));
        let last = Epoch::new(78);
        assert!(!Invitation { last, ..invitation }.proves(&network, &node));
        let by = Identity::from_bytes(&[2; 32]).id();
        assert!(!Invitation { by, ..invitation }.proves(&network, &node));
        assert!(invitation.lasts(Epoch::new(77)) && !invitation.lasts(last));
    }

    #[test]
    fn an_invitation_has_one_encoding_and_one_text() {
        let (invitation, ..) = invitation();
        let bytes = invitation.encode();
        assert_eq!(bytes.len(), INVITATION_BYTES);
        assert_eq!(Invitation::read(&bytes), Some(invitation));
        assert_eq!(Invitation::read(&bytes[1..]), None);
        assert_eq!(Invitation::read(&[&bytes[..], &[0]].concat()), None);
        // A key of small order signs for everybody.
        let mut weak = bytes.clone();
        weak[..32].fill(0);
        weak[0] = 1;
        assert_eq!(Invitation::read(&weak), None);
        let text = invitation.to_string();
        assert_eq!(text.parse(), Ok(invitation));
        let short = text.get(1..).unwrap().to_owned();
        for wrong in [short, format!("{text}1"), format!("1{text}"), String::new()] {
            assert_eq!(wrong.parse::<Invitation>(), Err(()), "{wrong}");
        }
    }
}

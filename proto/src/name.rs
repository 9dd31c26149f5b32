//! Names of protocols and topics. Each but one carries the hash of the network parameters, so that nodes
//! with other parameters never understand each other.

use crate::NetworkHash;

/// Which network a node is of, between nodes only: the one name that carries no network, so that those of
/// different networks can find out that they are.
pub const HELLO: &str = "/shoal/hello/1";

/// One-way substreams of frames.
#[must_use]
pub fn packets(network: &NetworkHash) -> String {
    format!("/shoal/{}/packets/1", network.short())
}

/// Set reconciliation of the directory between neighbours, and the whole documents for clients.
#[must_use]
pub fn directory(network: &NetworkHash) -> String {
    format!("/shoal/{}/directory/1", network.short())
}

/// A client introducing itself to the provider it enters by.
#[must_use]
pub fn attach(network: &NetworkHash) -> String {
    format!("/shoal/{}/attach/1", network.short())
}

/// Whether a member is still there; between nodes only.
#[must_use]
pub fn alive(network: &NetworkHash) -> String {
    format!("/shoal/{}/alive/1", network.short())
}

/// Prefix of gossipsub's own protocol names.
#[must_use]
pub fn gossip_prefix(network: &NetworkHash) -> String {
    format!("/shoal/{}/gossip", network.short())
}

/// The gossipsub topic that descriptors are published under.
#[must_use]
pub fn descriptor_topic(network: &NetworkHash) -> String {
    format!("/shoal/{}/descriptors/1", network.short())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_carries_the_network() {
        let (a, b) = (NetworkHash::new([1; 32]), NetworkHash::new([2; 32]));
        for name in [
            packets,
            directory,
            attach,
            alive,
            gossip_prefix,
            descriptor_topic,
        ] {
            assert_ne!(name(&a), name(&b));
            assert!(name(&a).contains(&a.short()));
        }
    }
}

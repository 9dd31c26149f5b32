//! Small networks out of thin air, for tests, examples and simulations of the other crates: no
//! gossip, just identities, keys and documents that belong together.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::sync::Arc;

use rand::CryptoRng;
use shoal_proto::{Epoch, NodeId};

use crate::rules::Rules;
use crate::{
    Address, Descriptor, DescriptorError, Document, DocumentError, FamilyKey, GenesisMember,
    Identity, KeyRing, NetworkParameters, PACKET_VERSION, Role, SignedDescriptor, View,
};

/// A node of a [`Network`].
pub struct Node {
    /// Its signing key.
    pub identity: Identity,
    /// What it does.
    pub role: Role,
    /// Its Sphinx secrets.
    pub keys: KeyRing,
    /// The key of its family, if it is of one.
    pub family: Option<Arc<FamilyKey>>,
    /// Its capacity class.
    pub capacity_class: u32,
}

/// A network that exists in memory only.
pub struct Network {
    /// Its parameters, with the nodes as genesis members.
    pub params: Arc<NetworkParameters>,
    /// The nodes by identity.
    pub nodes: BTreeMap<NodeId, Node>,
}

impl Network {
    /// A network of so many mixes for each layer and so many providers, on made-up loopback
    /// addresses. The parameters' genesis members are replaced by these nodes.
    #[must_use]
    pub fn new<R: CryptoRng + ?Sized>(
        rng: &mut R,
        mut params: NetworkParameters,
        mixes_per_layer: u8,
        providers: u8,
    ) -> Self {
        let mixes = u16::from(params.layers) * u16::from(mixes_per_layer);
        let mut nodes = BTreeMap::new();
        params.genesis_members.clear();
        for index in 0..mixes + u16::from(providers) {
            let role = if index < mixes {
                Role::Mix
            } else {
                Role::Provider
            };
            let identity = Identity::generate(rng);
            let id = identity.id();
            let port = NonZeroU16::MIN.saturating_add(3999 + index);
            let addresses = vec![Address::tcp(Ipv4Addr::LOCALHOST.into(), port)];
            params.genesis_members.push(GenesisMember {
                id,
                role,
                addresses,
                family: None,
            });
            nodes.insert(
                id,
                Node {
                    identity,
                    role,
                    keys: KeyRing::new(),
                    family: None,
                    capacity_class: 0,
                },
            );
        }
        Self {
            params: Arc::new(params),
            nodes,
        }
    }

    /// The document of an epoch, made without one before it. Makes the nodes' keys for it.
    ///
    /// # Errors
    /// When there are too few nodes, or the parameters leave no valid descriptors.
    pub fn document<R: CryptoRng + ?Sized>(
        &mut self,
        rng: &mut R,
        epoch: Epoch,
        previous: Option<&Document>,
    ) -> Result<Arc<Document>, DocumentError> {
        let rules = Rules::new(Arc::clone(&self.params));
        let mut descriptors = Vec::new();
        for member in &self.params.genesis_members {
            let Some(node) = self.nodes.get_mut(&member.id) else {
                continue;
            };
            node.keys.ensure(rng, epoch);
            let keys = node.keys.public(epoch).into_iter().collect();
            let signed = describe(&rules, node, epoch, keys, member.addresses.clone());
            descriptors.push(signed.map_err(DocumentError::Descriptor)?);
        }
        Document::form_by(&rules, epoch, previous, &descriptors).map(Arc::new)
    }

    /// A view with the documents of these epochs, each following the one before.
    ///
    /// # Errors
    /// As [`document`](Self::document).
    pub fn view<R: CryptoRng + ?Sized>(
        &mut self,
        rng: &mut R,
        epochs: impl IntoIterator<Item = Epoch>,
    ) -> Result<Arc<View>, DocumentError> {
        let mut view = View::default();
        let mut previous: Option<Arc<Document>> = None;
        for epoch in epochs {
            let document = self.document(rng, epoch, previous.as_deref())?;
            view.documents.insert(epoch, Arc::clone(&document));
            previous = Some(document);
        }
        Ok(Arc::new(view))
    }

    /// The nodes of a role, ascending.
    pub fn ids(&self, role: Role) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes
            .iter()
            .filter(move |(_, node)| node.role == role)
            .map(|(id, _)| *id)
    }
}

fn describe(
    rules: &Rules,
    node: &Node,
    epoch: Epoch,
    keys: Vec<shoal_packet::SphinxPublic>,
    addresses: Vec<Address>,
) -> Result<SignedDescriptor, DescriptorError> {
    let params = &rules.params;
    let descriptor = Descriptor {
        identity: node.identity.id(),
        role: node.role,
        sequence: epoch.number(),
        issued_at: params.start_of(epoch),
        expires_at: params.start_of(epoch.next()),
        first_epoch: epoch,
        keys,
        addresses,
        versions: vec![PACKET_VERSION],
        capacity_class: node.capacity_class,
        storage_mib: 0,
        family: node
            .family
            .as_ref()
            .map(|key| key.prove(&rules.network, &node.identity.id())),
        admission: Vec::new(),
    };
    SignedDescriptor::sign_by(&node.identity, rules, descriptor)
}

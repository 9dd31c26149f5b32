//! Small networks out of thin air, for tests, examples and simulations of the other crates: no
//! gossip, just identities, keys and documents that belong together.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::sync::Arc;

use rand::CryptoRng;
use shoal_proto::{DocumentHash, Epoch, NodeId};

use crate::agreement::{Certificate, Evidence, Height, Reveal, Seat, Seats};
use crate::rules::Rules;
use crate::{
    Address, Certified, Descriptor, DescriptorError, Document, DocumentError, FamilyKey,
    GenesisMember, Handover, Identity, KeyRing, NetworkParameters, Offences, PACKET_VERSION, Place,
    Role, SignedDescriptor, TokenTerms, View,
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
    /// On what terms it issues tokens.
    pub tokens: Option<TokenTerms>,
}

/// A network that exists in memory only.
pub struct Network {
    /// Its parameters, with the nodes as genesis members.
    pub params: Arc<NetworkParameters>,
    /// The nodes by identity.
    pub nodes: BTreeMap<NodeId, Node>,
    /// The documents that were made, each with the seats that decide it and those that decide the next one.
    made: BTreeMap<DocumentHash, Made>,
    /// Evidence that the documents are made with.
    evidence: BTreeMap<NodeId, Evidence>,
}

struct Made {
    document: Arc<Document>,
    seats: Seats,
    next: Seats,
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
                    tokens: None,
                },
            );
        }
        Self {
            params: Arc::new(params),
            nodes,
            made: BTreeMap::new(),
            evidence: BTreeMap::new(),
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
        let descriptors = self.descriptors(rng, epoch);
        let descriptors = descriptors.map_err(DocumentError::Descriptor)?;
        let (base, seats) = match previous {
            None => (None, self.first_seats(&rules)?),
            Some(base) => {
                let known = self.made.get(base.hash());
                let known = known.ok_or(DocumentError::NotDerived)?;
                (Some(base), known.next.clone())
            }
        };
        let reveal = match base {
            None => None,
            Some(base) => Some(self.reveal(base, &seats).ok_or(DocumentError::Proof)?),
        };
        let place = Place {
            epoch,
            base,
            seats,
            reveal,
            offences: Offences::new(None, self.evidence.clone()),
        };
        let (document, next) = Document::form_by(&rules, &place, &descriptors)?;
        let document = Arc::new(document);
        let made = Made {
            document: Arc::clone(&document),
            seats: place.seats,
            next,
        };
        self.made.insert(*document.hash(), made);
        Ok(document)
    }

    /// What the nodes say of themselves in an epoch. Makes their keys for it.
    ///
    /// # Errors
    /// When the parameters leave no valid descriptors.
    pub fn descriptors<R: CryptoRng + ?Sized>(
        &mut self,
        rng: &mut R,
        epoch: Epoch,
    ) -> Result<Vec<SignedDescriptor>, DescriptorError> {
        let rules = Rules::new(Arc::clone(&self.params));
        let mut descriptors = Vec::new();
        for member in &self.params.genesis_members {
            let Some(node) = self.nodes.get_mut(&member.id) else {
                continue;
            };
            node.keys.ensure(rng, epoch);
            let keys = node.keys.public(epoch).into_iter().collect();
            let addresses = member.addresses.clone();
            descriptors.push(describe(&rules, node, epoch, keys, addresses)?);
        }
        Ok(descriptors)
    }

    /// Has a node vote for two things in the first seats, so that a first document that is made from now on
    /// expels it, if the network can do without it.
    pub fn contradict(&mut self, id: &NodeId) {
        let seats = self.first_seats(&Rules::new(Arc::clone(&self.params)));
        if let (Some(node), Ok(seats)) = (self.nodes.get(id), seats)
            && let Some(evidence) = Evidence::sign(&seats, &node.identity, Height::FIRST)
        {
            self.evidence.insert(*id, evidence);
        }
    }

    fn first_seats(&self, rules: &Rules) -> Result<Seats, DocumentError> {
        let first = Seats::first(rules.network, rules.genesis().copied());
        first.map_err(DocumentError::Seats)
    }

    /// The proof of the first proposer that is there.
    fn reveal(&self, base: &Document, seats: &Seats) -> Option<Reveal> {
        let order = seats.proposers(base.seed());
        let there = |(round, seat): (u32, &Seat)| {
            let node = self.nodes.get(&seats.holder(*seat)?.id)?;
            let height = base.height().next();
            let key = node.identity.vrf_key();
            Some(Reveal::new(&key, base.seed(), (height, round)))
        };
        (0..).zip(&order).find_map(there)
    }

    /// A document that was made here, with the signatures of all seats that are there.
    ///
    /// # Panics
    /// If it was not made here.
    #[must_use]
    #[expect(clippy::expect_used, reason = "as the documentation says")]
    pub fn certify(&self, document: &Arc<Document>) -> Certified {
        let seats = &self.made.get(document.hash()).expect("made here").seats;
        let signed = |seat: Seat| {
            let node = self.nodes.get(&seats.holder(seat)?.id)?;
            Some((seat, &node.identity))
        };
        let signed: Vec<_> = seats.all().filter_map(signed).collect();
        let place = (document.height(), 0, *document.hash());
        Certified {
            document: Arc::clone(document),
            certificate: Certificate::sign(seats, place, &signed),
        }
    }

    /// The handover of a document that was made here, if the seats change with it.
    #[must_use]
    pub fn handover(&self, document: &Arc<Document>) -> Option<Handover> {
        let rules = Rules::new(Arc::clone(&self.params));
        let next = &self.made.get(document.hash())?.next;
        rules.terms.hands_over(document.height()).then(|| Handover {
            header: document.header().clone(),
            certificate: self.certify(document).certificate,
            seats: next.clone(),
        })
    }

    /// What a node answers that has these documents: they were made here, and each follows the one before or
    /// its own predecessors do. The handovers that lead to them, and they with their certificates,
    /// encoded.
    #[must_use]
    pub fn answer(&self, documents: &[Arc<Document>]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let mut handovers = BTreeMap::new();
        for document in documents {
            let mut made = self.made.get(document.hash());
            while let Some(Made { document, .. }) = made {
                if let Some(handover) = self.handover(document) {
                    let height = document.height();
                    handovers.entry(height).or_insert_with(|| handover.encode());
                }
                made = self.made.get(document.previous());
            }
        }
        let certified = documents.iter().map(|it| self.certify(it).encode());
        (handovers.into_values().collect(), certified.collect())
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
        vrf_key: node.identity.vrf_key().public(),
        seat_key: node.identity.id(),
        leaving: false,
        tokens: node.tokens,
    };
    SignedDescriptor::sign_by(&node.identity, rules, descriptor)
}

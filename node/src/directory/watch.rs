//! What is new of the directory, of one round of questions after the other. Without IO: nodes have been asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shoal_proto::{Epoch, NodeId, Time};
use shoal_topology::agreement::Height;
use shoal_topology::{Certified, Document, DocumentError, NetworkParameters};

use super::{Chain, Clash, Unheard, clashes};

/// A member that stands elsewhere than before: 0 for a provider, a layer for a mix, none for a mix that waits
/// for its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Who.
    pub node: NodeId,
    /// Where it stood.
    pub from: Option<u8>,
    /// Where it stands.
    pub to: Option<u8>,
}

/// What is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A document.
    Document {
        /// It, and who signed it.
        certified: Certified,
        /// Who showed it first.
        by: NodeId,
        /// Members that the document told before does not have; all for the first one.
        came: Vec<NodeId>,
        /// Members that only that one has.
        gone: Vec<NodeId>,
        /// Members that stand elsewhere.
        moved: Vec<Move>,
    },
    /// There is none for the epoch that has begun.
    Missing {
        /// The epoch.
        epoch: Epoch,
        /// Whose document stays in force; none is if that is too old, too.
        in_force: Option<Epoch>,
    },
    /// A node that answered does not any more, or has not so far.
    Silent {
        /// The node.
        node: NodeId,
        /// Why.
        why: Unheard,
    },
    /// It answers again.
    Back {
        /// The node.
        node: NodeId,
    },
    /// What a node answered does not verify.
    Fault {
        /// The node.
        node: NodeId,
        /// What is wrong with it.
        why: DocumentError,
    },
    /// Two signed things that contradict each other.
    Clash(Clash),
}

/// What has been told.
pub struct Watch {
    params: Arc<NetworkParameters>,
    last: Option<Arc<Document>>,
    missing: Option<Epoch>,
    silent: BTreeMap<NodeId, Unheard>,
    faults: BTreeMap<NodeId, DocumentError>,
    clashes: BTreeSet<Clash>,
}

impl Watch {
    /// Nothing has been told.
    #[must_use]
    pub const fn new(params: Arc<NetworkParameters>) -> Self {
        Self {
            params,
            last: None,
            missing: None,
            silent: BTreeMap::new(),
            faults: BTreeMap::new(),
            clashes: BTreeSet::new(),
        }
    }

    /// Every node was asked: with what success, and what follows from all that it has shown. Gives what was
    /// not told before. The first document is the one in force.
    pub fn round<'a>(
        &mut self,
        now: Time,
        nodes: impl IntoIterator<Item = (NodeId, Result<(), Unheard>, &'a Chain)>,
    ) -> Vec<Told> {
        let epoch = self.params.epoch_at(now);
        let mut told = Vec::new();
        let mut chains = Vec::new();
        let mut answered = false;
        for (node, outcome, chain) in nodes {
            answered |= outcome.is_ok();
            told.extend(self.heard(node, outcome, chain));
            chains.push((node, chain));
        }
        for clash in clashes(chains.iter().copied()) {
            if self.clashes.insert(clash.clone()) {
                told.push(Told::Clash(clash));
            }
        }
        told.extend(self.documents(epoch, &chains));
        if answered {
            told.extend(self.missing(epoch, &chains));
        }
        told
    }

    fn heard(&mut self, node: NodeId, outcome: Result<(), Unheard>, chain: &Chain) -> Option<Told> {
        if let Err(why) = outcome {
            let before = self.silent.insert(node, why.clone());
            return (before.as_ref() != Some(&why)).then_some(Told::Silent { node, why });
        }
        let back = self.silent.remove(&node).map(|_| Told::Back { node });
        let Some(why) = chain.fault().cloned() else {
            self.faults.remove(&node);
            return back;
        };
        let before = self.faults.insert(node, why.clone());
        (before.as_ref() != Some(&why))
            .then_some(Told::Fault { node, why })
            .or(back)
    }

    fn documents(&mut self, epoch: Epoch, chains: &[(NodeId, &Chain)]) -> Vec<Told> {
        let from = match &self.last {
            Some(last) => last.height().next(),
            None => first(epoch, chains),
        };
        let mut new: BTreeMap<Height, (NodeId, Certified)> = BTreeMap::new();
        for (node, chain) in chains {
            let documents = chain.documents();
            for certified in documents.filter(|it| it.document.height() >= from) {
                let height = certified.document.height();
                new.entry(height)
                    .or_insert_with(|| (*node, certified.clone()));
            }
        }
        let told = new.into_values().map(|(by, certified)| {
            let document = Arc::clone(&certified.document);
            let before = self.last.replace(Arc::clone(&document));
            told(certified, by, before.as_deref(), &document)
        });
        told.collect()
    }

    fn missing(&mut self, epoch: Epoch, chains: &[(NodeId, &Chain)]) -> Option<Told> {
        let in_force = chains.iter().filter_map(|(_, chain)| chain.in_force(epoch));
        let in_force = in_force.map(|certified| certified.document.epoch()).max();
        let is_missing = in_force != Some(epoch) && self.missing != Some(epoch);
        is_missing.then(|| {
            self.missing = Some(epoch);
            Told::Missing { epoch, in_force }
        })
    }
}

/// The height of the document in force, else of the newest.
fn first(epoch: Epoch, chains: &[(NodeId, &Chain)]) -> Height {
    let height = |certified: &Certified| certified.document.height();
    let in_force = chains.iter().filter_map(|(_, chain)| chain.in_force(epoch));
    let newest = chains
        .iter()
        .filter_map(|(_, chain)| chain.documents().next_back());
    let in_force = in_force.map(height).max();
    in_force
        .or_else(|| newest.map(height).max())
        .unwrap_or_default()
}

fn told(certified: Certified, by: NodeId, before: Option<&Document>, now: &Document) -> Told {
    let stood = |document: Option<&Document>, id: &NodeId| {
        let member = document.and_then(|document| document.member(id));
        member.map(|member| member.position())
    };
    let mut came = Vec::new();
    let mut moved = Vec::new();
    for member in now.members() {
        match stood(before, &member.id) {
            None => came.push(member.id),
            Some(from) if from != member.position() => moved.push(Move {
                node: member.id,
                from,
                to: member.position(),
            }),
            Some(_) => {}
        }
    }
    let members = before.into_iter().flat_map(Document::members);
    let gone = members.map(|member| member.id);
    let gone = gone.filter(|id| now.member(id).is_none());
    Told::Document {
        gone: gone.collect(),
        certified,
        by,
        came,
        moved,
    }
}

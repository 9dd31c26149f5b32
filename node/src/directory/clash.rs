//! What two nodes can't both be right about, though seats have signed both.

use std::collections::{BTreeMap, BTreeSet};

use shoal_proto::{DocumentHash, Epoch, NodeId};
use shoal_topology::agreement::Height;
use thiserror::Error;

use super::Chain;

/// Who shows what.
type Shown = (NodeId, DocumentHash);

/// Two things that are both signed. Then a third of the seats is dishonest, or its keys are stolen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
#[non_exhaustive]
pub enum Clash {
    /// Two documents of one height.
    #[error(
        "two documents of height {height} are signed: {} by {}, {} by {}",
        .seen[0].1, .seen[0].0, .seen[1].1, .seen[1].0
    )]
    Height {
        /// The height.
        height: Height,
        /// The two, each with a node that shows it or one that follows it.
        seen: [Shown; 2],
    },
    /// Two documents for one epoch.
    #[error(
        "two documents of epoch {epoch} are signed: {} by {}, {} by {}",
        .seen[0].1, .seen[0].0, .seen[1].1, .seen[1].0
    )]
    Epoch {
        /// The epoch.
        epoch: Epoch,
        /// The two, each with a node that shows it.
        seen: [Shown; 2],
    },
    /// Two successions of seats.
    #[error("height {height} hands over to other seats by {} than by {}", .nodes[0], .nodes[1])]
    Seats {
        /// The height.
        height: Height,
        /// Who shows the one and the other.
        nodes: [NodeId; 2],
    },
}

impl Clash {
    /// What to do about any.
    pub const ADVICE: &'static str = "A third of the seats has signed both, or their keys are stolen, or the \
        network's file is made up. Send nothing over this network, keep this output, and compare with what \
        others see, by another way; then speak with who runs the network.";
}

/// All that these nodes can't both be right about; of each height and epoch one pair. A node that has shown
/// two things clashes with itself.
#[must_use]
pub fn clashes<'a>(nodes: impl IntoIterator<Item = (NodeId, &'a Chain)>) -> BTreeSet<Clash> {
    let mut found = BTreeSet::new();
    let mut heights: BTreeMap<Height, Shown> = BTreeMap::new();
    let mut epochs: BTreeMap<Epoch, Shown> = BTreeMap::new();
    let mut seats: BTreeMap<Height, (NodeId, [u8; 32])> = BTreeMap::new();
    for (node, chain) in nodes {
        for certified in chain.documents() {
            let document = &certified.document;
            let (height, hash) = (document.height(), *document.hash());
            let before = height.number().checked_sub(1).map(Height::new);
            let before = before.filter(|before| *before >= Height::FIRST);
            let before = before.map(|before| (before, *document.previous()));
            for (height, hash) in before.into_iter().chain([(height, hash)]) {
                let other = *heights.entry(height).or_insert((node, hash));
                if other.1 != hash {
                    let seen = [other, (node, hash)];
                    found.insert(Clash::Height { height, seen });
                }
            }
            let epoch = document.epoch();
            let other = *epochs.entry(epoch).or_insert((node, hash));
            if other.1 != hash {
                let seen = [other, (node, hash)];
                found.insert(Clash::Epoch { epoch, seen });
            }
        }
        for (height, hash) in chain.successions() {
            let other = *seats.entry(height).or_insert((node, hash));
            if other.1 != hash {
                let nodes = [other.0, node];
                found.insert(Clash::Seats { height, nodes });
            }
        }
    }
    found
}
